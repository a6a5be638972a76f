"""The ledger of a replay: what trains when and why, what is served, and that nobody knows the future."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from mlops_assets.project import Freshness, Gate, Retraining
from mlops_assets.replay.calendar import Calendar
from mlops_assets.replay.history import History, of_frames
from mlops_assets.replay.store import Store
from mlops_assets.replay.strategies import EVERY, NEVER
from mlops_assets.replay.world import TooEarlyError, World
from mlops_assets_tests.replay import toy

if TYPE_CHECKING:
    from pathlib import Path

    from mlops_assets.replay.play import Played

MARCH, APRIL, MAY, JUNE = (datetime(2013, month, 1, tzinfo=UTC) for month in (3, 4, 5, 6))


def served(played: Played) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for one in played.served:
        versions = found.setdefault(one.partition, [])
        if one.version not in versions:
            versions.append(one.version)
    return found


def test_nothing_is_trained_for_while_all_is_as_it_was(tmp_path: Path) -> None:
    played = toy.play(toy.project(), toy.calm(), tmp_path)
    [first] = played.trainings
    assert (first.at, first.cause, first.on, first.held_out) == (MARCH, "first", ("2013-01",), "2013-02")
    assert served(played) == {month: ["1"] for month in toy.MONTHS[2:]}  # before March there was no model
    assert sum(one.rows for one in played.served) == 4 * toy.ROWS


def test_drift_leads_to_a_training_as_soon_as_the_labels_of_the_moved_month_arrive(tmp_path: Path) -> None:
    played = toy.play(toy.project(), toy.moved("2013-04"), tmp_path)
    [_, second, third] = played.trainings
    # March's labels were there in April, and nothing called for them until drift was seen in its first week.
    assert (second.cause, second.on, second.held_out) == ("drift", ("2013-01", "2013-02"), "2013-03")
    assert APRIL < second.at < APRIL + timedelta(days=10)
    # The version of then has not seen the new world either: April's labels bring one that was judged on it.
    assert (third.at, third.cause) == (MAY, "drift")
    assert (third.on, third.held_out) == (("2013-01", "2013-02", "2013-03"), "2013-04")
    assert served(played) == {
        "2013-03": ["1"],
        "2013-04": ["1", "2"],
        "2013-05": ["3"],
        "2013-06": ["3"],
    }


def test_a_reason_has_its_figures(tmp_path: Path) -> None:
    second = toy.play(toy.project(), toy.moved(), tmp_path).trainings[1]
    assert second.why.startswith("Drift of version 1: 1 of 3 columns have drifted (33%)")
    assert "1,200 labelled rows are new since the last training, 50% of those it had." in second.why


def test_broken_promises_are_seen_when_labels_arrive_and_not_before(tmp_path: Path) -> None:
    played = toy.play(toy.project(), toy.turned("2013-04"), tmp_path)
    failed = [note for note in played.notes if "performance failed" in note.said.get("performance", "")]
    assert failed[0].at == MAY
    assert failed[0].event == "labels of 2013-04"
    [_, second, third] = played.trainings
    assert (second.at, second.cause) == (MAY, "performance")
    assert "beats_baseline" in second.refused  # trained on the old world, judged on the new one
    assert (third.at, third.version) == (JUNE, None)  # not before there are new labels


def test_an_old_champion_is_trained_for_where_freshness_is_a_cause(tmp_path: Path) -> None:
    fresh = toy.project(
        freshness=Freshness(champion=timedelta(days=45)),
        retraining=Retraining(on=("freshness",), growth=None),
    )
    played = toy.play(fresh, toy.calm(), tmp_path)
    assert [t.cause for t in played.trainings] == ["first", "freshness", "freshness"]
    assert played.trainings[1].at - MARCH > timedelta(days=45)
    assert "promoted 2013-03-01" in played.trainings[1].why


def test_never_trains_once_and_every_chance_at_each_arrival(tmp_path: Path) -> None:
    history = toy.calm()
    never = toy.play(toy.project(), history, tmp_path, NEVER)
    assert [t.at for t in never.trainings] == [MARCH]
    every = toy.play(toy.project(), history, tmp_path, EVERY)
    assert [t.at for t in every.trainings] == [MARCH, APRIL, MAY, JUNE]
    assert [t.held_out for t in every.trainings] == list(toy.MONTHS[1:5])
    assert served(every) == {m: [str(n)] for n, m in enumerate(toy.MONTHS[2:], 1)}


def test_what_the_gate_refuses_is_not_served(tmp_path: Path) -> None:
    refusing = toy.project(gate=Gate(bootstrap_rounds=100, min_auc_over_baseline=0.45))
    played = toy.play(refusing, toy.calm(), tmp_path, EVERY)
    assert [(t.at, t.version) for t in played.trainings] == [(at, None) for at in (MARCH, APRIL, MAY, JUNE)]
    assert all(t.refused == ("beats_baseline",) for t in played.trainings)
    assert not played.served
    assert not played.retrainings


def test_labels_that_lag_two_months_come_two_months_later(tmp_path: Path) -> None:
    every = toy.play(toy.project(), toy.calm(), tmp_path, EVERY, lag=2)
    assert [t.at for t in every.trainings] == [APRIL, MAY, JUNE]
    assert [t.held_out for t in every.trainings] == ["2013-02", "2013-03", "2013-04"]
    with pytest.raises(ValueError, match="give 1 or more"):
        Calendar("month", toy.MONTHS, 0)


def flipped(history: History, month: str) -> History:
    """The history with all labels of ``month`` turned round, and its features as they were."""
    frames = dict(history.frames)
    frames[month] = frames[month].assign(y=1 - frames[month]["y"])
    return of_frames(frames)


def story(played: Played, until: datetime) -> tuple[list[Any], list[Any]]:
    """All that was done before ``until``, and all answers that were given."""
    trainings = [replace(t) for t in played.trainings if t.at < until]
    notes = [(n.at, n.event, n.train, n.said) for n in played.notes if n.at < until]
    return trainings, notes


@pytest.mark.parametrize(("month", "lag"), [("2013-03", 1), ("2013-04", 1), ("2013-05", 1), ("2013-03", 2)])
def test_labels_change_nothing_before_they_arrive(tmp_path: Path, month: str, lag: int) -> None:
    """Turn the labels of a month round: whoever peeks does something else before they arrive."""
    history = toy.moved()
    other = flipped(history, month)
    arrival = datetime(2013, int(month[-2:]) + lag, 1, tzinfo=UTC)
    one = toy.play(toy.project(), history, tmp_path / "one", lag=lag)
    two = toy.play(toy.project(), other, tmp_path / "two", lag=lag)
    assert story(one, arrival) == story(two, arrival)
    for a, b in zip(one.served, two.served, strict=False):
        if datetime(2013, int(a.partition[-2:]), 1, tzinfo=UTC) < arrival:
            given, instead = (
                s.model.predictor.predict_frame(h.frames[s.partition]).probability[s.first : s.last]
                for s, h in ((a, history), (b, other))
            )
            assert np.array_equal(given, instead)


def test_the_flip_is_seen_once_the_labels_are_there(tmp_path: Path) -> None:
    """The test above can fail: after the arrival, the two stories do differ."""
    history = toy.moved()
    one = toy.play(toy.project(), history, tmp_path / "one")
    two = toy.play(toy.project(), flipped(history, "2013-03"), tmp_path / "two")
    later = datetime(2014, 1, 1, tzinfo=UTC)
    assert story(one, later) != story(two, later)


def test_labels_cannot_be_asked_for_before_they_arrive() -> None:
    history = toy.calm()
    world = World(toy.project(), history, Calendar("month", history.partitions))
    world.move(MARCH)
    assert world.labelled() == ("2013-01", "2013-02")
    assert world.labels("2013-02").sum() == history.frames["2013-02"]["y"].sum()
    assert "y" not in world.fields("2013-03")
    with pytest.raises(TooEarlyError, match="labels of 2013-03 arrive at 2013-04-01"):
        world.labels("2013-03")
    with pytest.raises(ValueError, match="only goes forward"):
        world.move(MARCH - timedelta(days=1))


def test_what_was_made_once_is_not_made_again(tmp_path: Path) -> None:
    history, store = toy.moved(), Store(tmp_path)
    from mlops_assets.replay.play import Player

    first = Player(toy.setting(toy.project(), history, store), "a", EVERY).play()
    made = dict(store.made)
    assert made["models"] == len(first.trainings) == 4
    again = Store(tmp_path)
    second = Player(toy.setting(toy.project(), history, again), "b", EVERY).play()
    assert again.made == {}
    assert again.found["models"] == 4
    assert [replace(t) for t in second.trainings] == [replace(t) for t in first.trainings]


def test_other_rows_or_another_family_are_other_trainings(tmp_path: Path) -> None:
    store = Store(tmp_path)
    a = toy.setting(toy.project(), toy.calm(), store).trainer.train(("2013-01",))
    b = toy.setting(toy.project(), flipped(toy.calm(), "2013-01"), store).trainer.train(("2013-01",))
    family = toy.project().families[0]
    slower = toy.project(families=(replace(family, learning_rate=0.01),))  # type: ignore[type-var]
    c = toy.setting(slower, toy.calm(), store).trainer.train(("2013-01",))
    assert len({candidate.key for candidate in (*a, *b, *c)}) == 3
    assert store.made["models"] == 3
