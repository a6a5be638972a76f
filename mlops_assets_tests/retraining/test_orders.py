"""However the events are ordered, the champion is the same in the end.

What makes it so is said in ``docs/retraining.md``: states are compared, not events; a training set depends
on the features' contents alone, and a model on its training set and code alone; and rows that no training
had become a training in the end, when the champion's freshness policy fails.
"""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING, Any

import dagster as dg
import numpy as np
import pytest
from dagster._core.definitions.freshness import FreshnessState, FreshnessStateChange

from mlops_assets.lifecycle.describe import asset_key
from mlops_assets.lifecycle.lineage import TRAINING_SET
from mlops_assets.project import Retraining
from mlops_assets.resources.registry import Registry
from mlops_assets_tests.retraining import flow
from mlops_assets_tests.retraining.clock import HOUR, Clock, project

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from mlops_assets_tests.lifecycle.world import World

Event = tuple[str, str, str]
"""(kind, month or check, content)."""

MONTHS = tuple(f"2013-{month:02d}" for month in range(1, 8))
UPLOADS: tuple[Event, ...] = tuple(("upload", month, "0") for month in MONTHS)
AGAIN: tuple[Event, ...] = (
    ("upload", "2013-02", "1"),
    ("upload", "2013-05", "0"),
    ("upload", "2013-05", "0"),
)
"""A correction, and the same once more, twice."""
CHECKS: tuple[Event, ...] = (("drift", "feature_drift", ""), ("performance", "performance", ""))
DAY_OFF: Event = ("nobody looks", "", "")


def shuffled(seed: int) -> list[Event]:
    """The events in another order; the uploads of one month stay in theirs, so that the last one counts."""
    draw = np.random.default_rng(seed)
    order = [*UPLOADS, *AGAIN, *CHECKS, *CHECKS, DAY_OFF]
    order = [order[place] for place in draw.permutation(len(order))]
    versions: dict[str, list[Event]] = {}
    for event in (*UPLOADS, *AGAIN):
        versions.setdefault(event[1], []).append(event)
    return [versions[event[1]].pop(0) if event[0] == "upload" else event for event in order]


def test_the_orders_differ_and_the_last_upload_of_a_month_is_the_same() -> None:
    orders = [shuffled(seed) for seed in range(12)]
    assert len({tuple(order) for order in orders}) == 12
    for order in orders:
        assert {month: content for kind, month, content in order if kind == "upload"} == {
            **dict.fromkeys(MONTHS, "0"),
            "2013-02": "1",
        }


def play(clock: Clock, events: Sequence[Event]) -> int:
    """Let the events happen, with ticks between them but on the day off; how many trainings there were."""
    asleep = 0
    for kind, name, content in events:
        if kind == "upload":
            clock.upload(name, content)
        elif kind == DAY_OFF[0]:
            asleep = 5
        else:
            clock.check(kind, name, passed=False, about=clock.champion() or "")
        clock.now += HOUR
        asleep -= 1
        if asleep < 0:
            clock.ticks(2, dt.timedelta(minutes=1))
    clock.ticks(3, 8 * HOUR)
    before = len(clock.rows())
    clock.stale_champion()
    clock.ticks(3, 8 * HOUR)
    assert len(clock.rows()) - before <= 1
    return len(clock.rows())


@pytest.mark.parametrize("seed", range(6))
def test_the_last_training_had_all_rows_as_they_are(database: str, seed: int) -> None:
    clock = Clock(project(), database)
    play(clock, shuffled(seed))
    champion = clock.champion()
    assert champion is not None
    assert clock.trained() == {**dict.fromkeys(MONTHS, "0"), "2013-02": "1"}
    promoted = next(clock.log.entries(clock.project.name))
    assert promoted.dagster_run == clock.rows()[-1].run_id
    keys = [row.key for row in clock.rows()]
    assert len(keys) == len(set(keys))


def test_without_freshness_some_rows_may_wait_for_ever(database: str) -> None:
    """Why the champion has a freshness policy: growth alone would leave the last rows untrained."""
    deaf = Retraining(on=("performance", "drift", "code"), cool_down=HOUR)
    clock = Clock(project(retraining=deaf), database)
    play(clock, UPLOADS)
    assert set(clock.trained()) < set(MONTHS)


# The same with real trainings: the champion's model is the same, not only its name.


def champion_of(world: World) -> tuple[str, Any]:
    """The champion's training set, and what its model is: its bundle, and the probabilities it gives."""
    import pandas as pd

    from mlops_assets.bundle import read_bundle
    from serving.predictor import Predictor

    registry = Registry(world.settings.mlflow_url)
    champion = registry.champion(world.project.name)
    assert champion is not None
    data = registry.model_bytes(champion.model_uri)
    bundle = read_bundle(data)
    frame = pd.DataFrame(
        {"x": np.linspace(-3, 3, 50), "z": np.linspace(1, -1, 50), "color": ["red", "blue"] * 25}
    )
    project = world.project.model_copy(update={"name": bundle.project})
    answers = Predictor.load(data, project).predict_frame(frame).probability
    told = (bundle.vocabularies, bundle.threshold, bundle.code_version, bundle.examples, bundle.expected)
    return champion.tags[TRAINING_SET], (told, answers.tolist())


def play_for_real(world: World, events: Sequence[Event]) -> int:
    """As ``play``, through store, sensor, features, fits, gate and registry."""
    trainings, asleep = 0, 0

    def tick() -> None:
        nonlocal trainings
        world.settle()
        trainings += flow.train(world) is not None

    for kind, name, content in events:
        if kind == "upload":
            world.upload(f"rows/{name}.csv", flow.rows(name, int(content)))
        elif kind == DAY_OFF[0]:
            asleep = 5
        else:
            champion = Registry(world.settings.mlflow_url).champion(world.project.name)
            told: dict[str, Any] = {"champion": champion.number if champion else "", "observed": "it moved"}
            key = asset_key(world.project, kind)
            world.instance.report_runless_asset_event(
                dg.AssetCheckEvaluation(asset_key=key, check_name=name, passed=False, metadata=told)
            )
        asleep -= 1
        if asleep < 0:
            tick()
    tick()
    stale = FreshnessStateChange(
        key=asset_key(world.project, "champion"),
        previous_state=FreshnessState.PASS,
        new_state=FreshnessState.FAIL,
        state_change_timestamp=dt.datetime.now(dt.UTC).timestamp(),
    )
    world.instance.report_runless_asset_event(stale)
    tick()
    tick()
    return trainings


@pytest.mark.timeout(900)
def test_the_champion_is_the_same_model_in_every_order(make_world: Callable[..., World]) -> None:
    few = [event for event in UPLOADS if event[1] <= "2013-05"]
    orders: list[list[Event]] = [
        [*few, *AGAIN],
        [DAY_OFF, *few[::-1], *AGAIN, CHECKS[0]],
        [few[0], few[3], CHECKS[1], few[1], AGAIN[0], few[4], CHECKS[0], few[2], AGAIN[1]],
    ]
    ends, trainings = [], []
    for order in orders:
        world = flow.make(make_world)
        trainings.append(play_for_real(world, order))
        ends.append(champion_of(world))
    assert len(set(trainings)) > 1  # they came there by different ways
    assert ends[0] == ends[1] == ends[2]
