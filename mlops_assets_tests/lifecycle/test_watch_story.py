"""From live traffic to a verdict: predictions, drift, outcomes and performance, told in order."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from mlops_assets.families.boosting import Boosting
from mlops_assets.lifecycle.reference_profile import watched
from mlops_assets.project import Drift, Performance
from mlops_assets_tests.lifecycle.data import FIRST_MONTHS, month, planes
from mlops_assets_tests.lifecycle.watching import NOON, Watch

if TYPE_CHECKING:
    from collections.abc import Callable

    import pandas as pd

    from mlops_assets_tests.lifecycle.world import World

EVERY = 8
TRAINING = ("training_set", "candidates/boosting", "evaluation", "champion", "reference_profile")
DAY = "2026-11-01"


@pytest.fixture(scope="module")
def watch(make_world: Callable[..., World]) -> Watch:
    """Three thin months and a first champion."""
    world = make_world(
        families=(Boosting(stages=40),),
        drift=Drift(window_rows=1500, min_rows=500),
        performance=Performance(min_outcomes=500),
    )
    world.upload("planes/planes.csv", planes())
    for name in FIRST_MONTHS:
        upload(world, name)
    world.settle()
    assert world.train(*TRAINING).success
    return Watch(world)


def upload(world: World, name: str, every: int = EVERY) -> None:
    for key, data in month(name, every).items():
        world.upload(key, data)


def evaluations(watch: Watch, stage: str, check: str) -> list[Any]:
    import dagster as dg

    from mlops_assets.lifecycle.describe import asset_key

    key = dg.AssetCheckKey(asset_key(watch.world.project, stage), check)
    records = watch.world.instance.event_log_storage.get_asset_check_execution_history(key, limit=100)
    return [
        r.event.dagster_event.asset_check_evaluation_data
        for r in records
        if r.event and r.event.dagster_event
    ]


def test_the_reference_follows_the_champion(watch: Watch) -> None:
    champion = watched(watch.world.instance, watch.world.project)
    reference = champion.reference(watch.lake)
    made, promised = (
        watch.made("reference_profile"),
        watch.made("evaluation")["evidence"]["scores"]["boosting"],
    )
    assert champion.version == "1"
    assert reference.champion == "1"
    assert (
        reference.features.rows == made["rows trained on"] == watch.made("training_set")["dagster/row_count"]
    )
    assert reference.scores.rows == len(watch.features("2013-03"))
    assert made["promised"] == promised
    sample = watch.lake.get_frame(champion.sample_key)
    assert 1900 < len(sample) <= 2000
    assert list(sample.columns) == list(watch.predictor("1").bundle.columns)
    assert watch.registry.version(watch.world.project.name, "1").tags["reference_profile"] == made["address"]


def test_without_traffic_nothing_is_asked_for(watch: Watch) -> None:
    assert watch.look() == []
    assert watch.look() == []


def test_traffic_like_the_training_set_passes(watch: Watch) -> None:
    seen = watch.features("2013-02")
    watch.serve(seen.sample(1600, random_state=0), "1")
    assert watch.settle() == [f"predictions[{DAY}]", "drift", "outcomes[2013-02]", "performance"]
    made = watch.made("predictions", DAY)
    assert made["rows"] == 1600
    assert made["versions"] == {"1": 1600}
    assert made["partitions"] == {"2013-02": 1600}
    assert watch.world.check("log_complete", "predictions").passed
    drift = watch.made("drift")
    assert drift["window"]["rows"] == 1500
    assert drift["champion"] == "1"
    assert drift["answered by other versions"] == 0
    assert watch.world.check("score_drift", "drift").passed
    assert drift["verdict"] == "" or "score_drift" not in drift["verdict"]


def test_when_nothing_is_new_nothing_is_asked_for(watch: Watch) -> None:
    assert watch.look() == []
    assert watch.look() == []
