"""What a watch has to do follows from states alone; and how often it is tried."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import dagster as dg
import pytest

from mlops_assets.automation.watch import LANE_TAG, WORK_TAG, Asking, Cursor
from mlops_assets.automation.watch_plan import Listed, View, WatchLimits, due, report_due
from mlops_assets.automation.watch_view import _days_to_list
from mlops_assets.lifecycle import drift, drift_report, outcomes, performance
from mlops_assets.lifecycle.log_days import LoggedDay
from mlops_assets.lifecycle.reference_profile import Watched
from mlops_assets_tests.automation import toy

if TYPE_CHECKING:
    from collections.abc import Iterator

ONE, TWO = (Watched(number, "set", f"models:/m-{number}", f"{number}.json") for number in "12")
DAYS = {"2026-11-01": "a.x", "2026-11-02": "b.x"}
LOGGED = {"2013-04": {"2026-11-01": "p", "2026-11-02": "q"}}
FEATURES = {"2013-03": "f3", "2013-04": "f4"}
OUTCOMES = {"2013-04": outcomes.state_of("f4", LOGGED["2013-04"])}
RESTED = View(
    listed={day: Listed(state, 1000) for day, state in DAYS.items()},
    days=DAYS,
    logged_days={day: LoggedDay(100, 1000, 5.0) for day in DAYS},
    logged=LOGGED,
    features=FEATURES,
    outcomes=OUTCOMES,
    champion=ONE,
    drift=drift.state_of(ONE, DAYS),
    failure={},
    performance=performance.state_of(ONE, OUTCOMES),
    measured={"1"},
    report="",
)
LIMITS = WatchLimits(share=0.05, patience=60.0, attempts=3, backoff=0.0)


def wanted(**changes: Any) -> list[tuple[str, ...]]:
    """The stages, and the partition, of each run that is due."""
    work = due(replace(RESTED, **changes), 1000, LIMITS)
    return [(*one.stages, one.partition or "") for one in work]


def test_at_rest_nothing_is_due() -> None:
    assert wanted() == []
    assert report_due(RESTED) is None


def test_a_new_day_is_looked_into_at_once_and_judged() -> None:
    listed = {**RESTED.listed, "2026-11-03": Listed("c.x", 10)}
    assert wanted(listed=listed) == [("predictions", "drift", "2026-11-03")]
    assert wanted(listed=listed, champion=None) == [("predictions", "2026-11-03")]


def test_of_several_days_the_last_is_judged() -> None:
    listed = {day: Listed("new", 9000) for day in DAYS}
    assert wanted(listed=listed) == [("predictions", "2026-11-01"), ("predictions", "drift", "2026-11-02")]


@pytest.mark.parametrize(
    ("size", "age", "asked"),
    [(1000, 5.0, False), (1400, 5.0, False), (1500, 5.0, True), (1001, 59.0, False), (1001, 60.0, True)],
)
def test_a_day_that_grows_waits_for_rows_or_for_patience(size: int, age: float, asked: bool) -> None:  # noqa: FBT001 - a table's column
    """100 rows in 1,000 bytes: a twentieth of the window of 1,000 rows is 50 rows, 500 bytes."""
    listed = {**RESTED.listed, "2026-11-02": Listed("new.x", size)}
    known = {day: LoggedDay(100, 1000, age) for day in DAYS}
    found = wanted(listed=listed, logged_days=known)
    assert found == ([("predictions", "drift", "2026-11-02")] if asked else [])


def test_labels_new_or_corrected_are_joined_and_measured() -> None:
    assert wanted(features={"2013-04": "corrected"}) == [("outcomes", "performance", "2013-04")]
    assert wanted(outcomes={}) == [("outcomes", "performance", "2013-04")]


def test_answers_from_before_or_after_the_labels_are_joined() -> None:
    logged = {"2013-04": {**LOGGED["2013-04"], "2026-11-03": "r"}, "2013-03": {"2026-11-03": "s"}}
    found = wanted(logged=logged)
    assert found == [("outcomes", "2013-03"), ("outcomes", "performance", "2013-04")]


def test_answers_without_labels_wait() -> None:
    assert wanted(logged={**LOGGED, "2013-05": {"2026-11-02": "t"}}) == []


def test_a_new_champion_is_judged_on_known_traffic_but_not_on_others_outcomes() -> None:
    assert wanted(champion=TWO) == [("drift", "")]
    assert wanted(champion=TWO, measured={"1", "2"}) == [("drift", ""), ("performance", "")]


def test_what_servers_count_later_is_no_new_traffic() -> None:
    """The second part of a day's state is what was answered: the check's business, not drift's."""
    days = {day: state.replace(".x", ".y") for day, state in DAYS.items()}
    listed = {day: Listed(state, 1000) for day, state in days.items()}
    assert wanted(days=days, listed=listed) == []


def failure(verdict: str, age: float = 0.0) -> dict[str, Any]:
    return {"verdict": verdict, "champion": verdict[0], "sample": "key", "at": time.time() - age}


def test_a_report_is_due_once_for_each_failing_verdict() -> None:
    failing = replace(RESTED, failure=failure("1/feature_drift/abc"))
    report = report_due(failing)
    assert report is not None
    assert report.stages == ("drift_report",)
    assert report_due(replace(failing, report=drift_report.state_of("1/feature_drift/abc"))) is None
    assert report_due(replace(failing, failure=failure("2/score_drift/abd"), report=report.state)) is not None


@pytest.fixture
def asking() -> Iterator[Asking]:
    with dg.DagsterInstance.ephemeral() as instance:
        yield Asking(instance, toy.project(), LIMITS)


def run(asking: Asking, request: dg.RunRequest, status: dg.DagsterRunStatus) -> None:
    """The request became a run that came to ``status``."""
    tags = {**request.tags, "dagster/run_key": request.run_key or ""}
    asking.instance.add_run(dg.DagsterRun(job_name="j", run_id=str(uuid4()), status=status, tags=tags))


NEW_LABELS = replace(RESTED, features={"2013-04": "corrected"})


def ask(asking: Asking, view: View = NEW_LABELS, last: str = "") -> list[dg.RunRequest]:
    return asking.requests(view, Cursor(last))[0]


def test_the_same_state_asks_for_the_same_run(asking: Asking) -> None:
    """A daemon that died between asking and running asks again; Dagster knows the run key."""
    assert ask(asking)[0].run_key == ask(asking)[0].run_key
    assert (
        ask(asking)[0].run_key != ask(asking, replace(NEW_LABELS, features={"2013-04": "again"}))[0].run_key
    )


def test_one_run_at_a_time(asking: Asking) -> None:
    [first] = ask(asking)
    run(asking, first, dg.DagsterRunStatus.STARTED)
    assert ask(asking) == []


def test_a_report_is_drawn_when_all_is_calm(asking: Asking) -> None:
    drawn = replace(RESTED, failure=failure("1/score_drift/abc"))
    [report] = ask(asking, drawn)
    assert report.asset_selection == [dg.AssetKey(["toy", "drift_report"])]
    assert len(ask(asking, replace(drawn, features=NEW_LABELS.features))) == 1  # the labels first
    training = dg.DagsterRun(job_name="j", run_id=str(uuid4()), status=dg.DagsterRunStatus.STARTED)
    asking.instance.add_run(training)
    assert ask(asking, drawn) == []


def test_a_report_does_not_wait_for_ever(asking: Asking) -> None:
    late = replace(NEW_LABELS, failure=failure("1/score_drift/abc", age=121))
    labels, report = ask(asking, late)
    assert labels.tags[LANE_TAG] != report.tags[LANE_TAG]
    run(asking, labels, dg.DagsterRunStatus.STARTED)
    assert [r.run_key for r in ask(asking, late)] == [report.run_key]
    run(asking, report, dg.DagsterRunStatus.NOT_STARTED)
    assert ask(asking, late) == []


def test_work_that_fails_is_tried_three_times(asking: Asking) -> None:
    keys = []
    for _ in range(3):
        [request] = ask(asking)
        keys.append(request.run_key)
        run(asking, request, dg.DagsterRunStatus.FAILURE)
    assert len(set(keys)) == 3
    assert ask(asking) == []
    assert ask(asking, replace(NEW_LABELS, features={"2013-04": "mended"})) != []


def test_it_waits_before_it_tries_again(asking: Asking) -> None:
    patient = replace(asking, limits=replace(LIMITS, backoff=3600.0))
    [request] = ask(patient)
    run(patient, request, dg.DagsterRunStatus.FAILURE)
    assert ask(patient) == []
    assert ask(asking) != []


def test_what_a_person_canceled_is_left_alone(asking: Asking) -> None:
    [request] = ask(asking)
    run(asking, request, dg.DagsterRunStatus.CANCELED)
    assert ask(asking) == []


def test_a_state_that_comes_back_is_made_again(asking: Asking) -> None:
    """A month is corrected and the correction taken back: Dagster takes each run key once."""
    [request] = ask(asking)
    run(asking, request, dg.DagsterRunStatus.SUCCESS)
    [again] = ask(asking)
    assert again.tags[WORK_TAG] == request.tags[WORK_TAG]
    assert again.run_key != request.run_key


def test_kinds_take_turns(asking: Asking) -> None:
    """Steady traffic does not keep labels waiting."""
    listed = {**RESTED.listed, "2026-11-02": Listed("new", 99_000)}
    both = replace(NEW_LABELS, listed=listed)
    stages = {last: ask(asking, both, last)[0].tags[WORK_TAG].split("/")[1] for last in ("", "predictions")}
    assert stages == {"": "predictions", "predictions": "outcomes"}
    assert asking.requests(both, Cursor("predictions"))[1] == "outcomes"
    assert ask(asking, both, "outcomes")[0].tags[WORK_TAG].split("/")[1] == "predictions"


def test_what_fails_does_not_stop_the_rest(asking: Asking) -> None:
    both = replace(NEW_LABELS, listed={**RESTED.listed, "2026-11-02": Listed("new", 99_000)})
    for _ in range(3):
        run(asking, ask(asking, both)[0], dg.DagsterRunStatus.FAILURE)
    assert ask(asking, both)[0].tags[WORK_TAG].split("/")[1] == "outcomes"


def test_each_day_of_the_log_is_listed_in_its_turn() -> None:
    days = [f"2026-11-{day:02}" for day in range(1, 8)]
    seen, after = [], ""
    for _ in range(5):
        listed, after = _days_to_list(days, set(days), after)
        assert listed[-2:] == days[-2:]
        seen += listed[:-2]
    assert seen == days[:5]
    assert _days_to_list(days, set(days), after)[1] == days[0]
    assert set(days[:5]) <= set(_days_to_list(days, set(), "")[0])
    assert _days_to_list([], set(), "2026-11-01") == ([], "")


@pytest.mark.parametrize("text", [None, "", "nonsense", "[]", "3", '{"kind": null}'])
def test_any_cursor_will_do(text: str | None) -> None:
    assert Cursor.parse(text).dump()
    assert Cursor.parse(Cursor("drift", "2026-11-01").dump()) == Cursor("drift", "2026-11-01")
