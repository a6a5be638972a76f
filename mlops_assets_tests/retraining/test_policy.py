"""The policy by itself: causes and their order, what holds a training back, and its sentences."""

from __future__ import annotations

import datetime as dt
import itertools
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from mlops_assets.project import Retraining
from mlops_assets.retraining.policy import BY_HAND, Cause, Decision, Key, Part, Signal, State, decide

if TYPE_CHECKING:
    from collections.abc import Mapping

NOW = dt.datetime(2026, 5, 1, 12, tzinfo=dt.UTC)
HOUR = dt.timedelta(hours=1)
POLICY = Retraining(cool_down=HOUR, trainings_per_day=3, min_new_rows=50, growth=0.5)
FIRST = {"2013-01": Part("a", 100), "2013-02": Part("b", 100), "2013-03": Part("c", 100)}
MORE = {**FIRST, "2013-04": Part("d", 100)}


def state(available: Mapping[str, Part] = MORE, **changes: Any) -> State:
    """Version 3 was trained on ``FIRST``; another month came since."""
    trained = {name: part.content for name, part in FIRST.items()}
    values: dict[str, Any] = {"champion": "3", "trained": trained, "available": available, "code": "c1"}
    return State(now=NOW, **{**values, **changes})


def signal(cause: Cause = "drift", about: str = "3", **evidence: Any) -> Signal:
    return Signal(cause, {"observed": "6 of 19 columns moved", "allowed": "3", **evidence}, about)


def ask(given: State, policy: Retraining = POLICY) -> Decision:
    return decide(policy, 2, given)


def test_the_first_champion_is_trained_for_as_soon_as_there_are_partitions_enough() -> None:
    none: dict[str, Any] = {"champion": None, "trained": {}}
    too_few = ask(state({"2013-01": Part("a", 100)}, **none))
    assert not too_few.train
    assert too_few.why == "Waits for features: a training needs 2 partitions, there are 1 (2013-01)."
    assert "there are none" in ask(state({}, **none)).why
    first = ask(state(FIRST, **none))
    assert (first.train, first.cause) == (True, "first")
    assert first.why == "There is no champion, and features of 3 partitions are there (300 rows)."


def test_nothing_calls_for_a_training_and_it_says_what_would() -> None:
    calm = ask(state())
    assert not calm.train
    assert (calm.causes, calm.key, calm.tried) == ((), "", False)
    assert calm.why == (
        "Nothing calls for a training. Waits for a sign that version 3 needs one (performance, drift, "
        "freshness or new code) or for 150 new labelled rows (there are 100)."
    )
    never = POLICY.model_copy(update={"growth": None, "on": ()})
    assert "asks for none by itself" in ask(state(), never).why


def test_the_rows_have_grown_enough() -> None:
    grown = {**MORE, "2013-05": Part("e", 50)}
    assert ask(state(grown)).why == "150 labelled rows are new on top of 300, 50% more (asked for: 50%)."
    assert ask(state(grown)).train
    assert not ask(state({**MORE, "2013-05": Part("e", 49)})).train
    assert not ask(state(grown), POLICY.model_copy(update={"growth": None})).train


def test_other_content_of_a_partition_is_new_and_the_same_is_not() -> None:
    corrected = {**FIRST, "2013-01": Part("a2", 100), "2013-02": Part("b2", 90)}
    assert state(corrected).new_rows == 190
    assert state(corrected).growth == pytest.approx(1.9)
    assert state(FIRST).new_rows == 0
    assert ask(state({name: Part("x", 100) for name in FIRST})).train  # nothing is as it was


def test_of_several_causes_the_most_important_leads_and_all_are_told() -> None:
    signals = [signal("freshness"), signal("drift"), signal("code"), signal("performance")]
    found = ask(state(signals=signals))
    assert (found.train, found.cause) == (True, "performance")
    assert found.causes == ("performance", "drift", "code", "freshness")
    assert set(found.evidence) == set(found.causes)
    assert found.evidence["drift"] == {"observed": "6 of 19 columns moved", "allowed": "3", "about": "3"}
    assert found.why == (
        "Performance of version 3: 6 of 19 columns moved (allowed: 3). 100 labelled rows are new since the "
        "last training, 33% of those it had. Also: drift, new code and freshness."
    )


def test_what_the_project_does_not_ask_for_and_what_is_said_of_another_version_do_not_count() -> None:
    assert ask(state(signals=[signal()])).train
    assert not ask(state(signals=[signal(about="2")])).train
    assert not ask(state(signals=[signal(about="")])).train
    only_performance = POLICY.model_copy(update={"on": ("performance",)})
    assert not ask(state(signals=[signal()]), only_performance).train


@pytest.mark.parametrize("cause", ["drift", "performance", "freshness"])
def test_without_new_rows_a_failing_check_waits_for_them(cause: Cause) -> None:
    found = ask(state(FIRST, signals=[signal(cause)]))
    assert (found.train, found.causes, found.tried) == (False, (cause,), False)
    assert "Only 0 labelled rows are new since the last training. Waits for 50." in found.why
    few = {**FIRST, "2013-04": Part("d", 49)}
    assert not ask(state(few, signals=[signal(cause)])).train
    assert ask(state({**FIRST, "2013-04": Part("d", 50)}, signals=[signal(cause)])).train


def test_new_code_needs_no_new_rows() -> None:
    found = ask(state(FIRST, signals=[signal("code", observed="candidates/boosting changed", allowed="")]))
    assert (found.train, found.cause) == (True, "code")
    assert found.why.startswith("New code of version 3: candidates/boosting changed. 0 labelled rows are new")


@pytest.mark.parametrize("cause", ["drift", "performance", "freshness", "code"])
def test_never_twice_for_the_same_cause_on_the_same_data(cause: Cause) -> None:
    given = state(signals=[signal(cause)])
    first = ask(given)
    again = ask(replace(given, asked={first.key}))
    assert (first.train, again.train, again.tried) == (True, False, True)
    assert "on the same 400 rows already. Waits for new labelled rows, new code, or a person." in again.why
    more = {**MORE, "2013-05": Part("e", 10)}
    assert ask(replace(given, asked={first.key}, available=more)).train
    assert ask(replace(given, asked={first.key}, code="c2")).train
    of_4 = replace(given, champion="4", signals=[signal(cause, about="4")])
    assert ask(replace(of_4, asked={first.key})).train


def test_a_cause_that_was_only_a_further_one_of_a_training_was_asked_for_as_well() -> None:
    both = ask(state(signals=[signal("drift"), signal("performance")]))
    assert both.cause == "performance"
    assert not ask(state(signals=[signal("drift")], asked={both.key})).train
    assert ask(state(signals=[signal("freshness")], asked={both.key})).train


def test_a_first_champion_is_sought_once_on_the_same_data_whoever_began() -> None:
    none = state(FIRST, champion=None, trained={})
    key = Key((BY_HAND,), "", none.data, none.code)
    assert not ask(replace(none, asked={str(key)})).train
    assert ask(replace(none, asked={str(replace(key, about="2"))})).train  # it was retired since
    assert ask(replace(none, asked={str(key)}, available=MORE)).train


def test_a_due_training_waits_until_all_is_calm_and_says_for_what() -> None:
    given = state(signals=[signal()])
    busy = ask(replace(given, busy="a training is under way (run 12345678)"))
    assert not busy.train
    assert busy.cause == "drift"
    assert busy.key == ask(given).key
    assert busy.why.endswith("A training is due, but waits: a training is under way (run 12345678).")
    under_way = ask(replace(given, asked={ask(given).key}, busy=True))
    assert not under_way.tried  # it is not known yet what comes of it
    assert "Waits: a training is under way" in under_way.why


def test_the_cool_down_is_waited_for() -> None:
    given = state(signals=[signal()])
    soon = ask(replace(given, trainings=[NOW - HOUR + dt.timedelta(seconds=1)]))
    assert not soon.train
    assert soon.until == NOW + dt.timedelta(seconds=1)
    assert soon.why.endswith(
        "waits: the last one was less than 1 h ago, the next may be at 2026-05-01 12:00:01 UTC."
    )
    assert ask(replace(given, trainings=[NOW - HOUR])).train


def test_the_budget_of_a_day_is_kept_to() -> None:
    given = state(signals=[signal()])
    today = [NOW - 20 * HOUR, NOW - 10 * HOUR, NOW - 2 * HOUR]
    spent = ask(replace(given, trainings=today))
    assert not spent.train
    assert spent.until == NOW + 4 * HOUR
    assert "the 3 trainings of a day are used up until 2026-05-01 16:00:00 UTC" in spent.why
    assert ask(replace(given, trainings=today[1:])).train
    assert ask(replace(given, trainings=[NOW - 24 * HOUR, *today[1:]])).train


def test_the_order_in_which_things_are_listed_makes_no_difference() -> None:
    given = state({**MORE, "2013-05": Part("e", 100)}, signals=[signal("drift"), signal("freshness")])
    turned = replace(
        given,
        available=dict(reversed(list(given.available.items()))),
        signals=given.signals[::-1],
    )
    assert ask(given) == ask(turned)


def test_a_key_says_what_it_was_made_of() -> None:
    key = Key(("drift", "new_data"), "3", "abc", "c1")
    assert Key.read(str(key)) == key
    with pytest.raises(ValueError, match="unpack"):
        Key.read("something else")


@pytest.mark.parametrize("seed", range(6))
def test_a_storm_of_signals_stays_within_cool_down_and_budget_and_repeats_nothing(seed: int) -> None:
    """Each minute of two days: checks fail at random, rows come at random, trainings succeed at random."""
    draw = np.random.default_rng(seed)
    given = state(FIRST, champion=None, trained={})
    asked: list[str] = []
    at: list[dt.datetime] = []
    on_data: list[tuple[str, str, str]] = []
    for minute in range(2 * 24 * 60):
        now = NOW + dt.timedelta(minutes=minute)
        causes: list[Cause] = ["drift", "performance", "freshness"]
        if draw.random() < 0.01:
            name = f"2013-{draw.integers(1, 13):02d}"
            content = str(draw.integers(3))
            given = replace(given, available={**given.available, name: Part(content, 100)})
        about = given.champion or ""
        signals = [signal(cause, about=about) for cause in causes if draw.random() < 0.5]
        given = replace(given, now=now, signals=signals, trainings=at, asked=asked)
        found = ask(given)
        if found.train:
            assert found.key not in asked
            asked.append(found.key)
            at.append(now)
            if draw.random() < 0.7:  # else it fails before it has read anything
                on_data.append((found.cause, about, given.data))
                trained = {name: part.content for name, part in given.available.items()}
                version = str(len(at)) if draw.random() < 0.5 else given.champion
                given = replace(given, trained=trained, champion=version)
    assert len(at) >= 3
    assert len(set(on_data)) == len(on_data)
    assert all(later - earlier >= HOUR for earlier, later in itertools.pairwise(at))
    assert max(sum(0 <= (t - s) / HOUR < 24 for s in at) for t in at) == POLICY.trainings_per_day
