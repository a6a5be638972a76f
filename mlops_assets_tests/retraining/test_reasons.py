"""Why a training ran can be read wherever a person may look: runs, MLflow, promotion log, assets."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import dagster as dg
import pytest

from mlops_assets.lifecycle.describe import asset_key
from mlops_assets.lifecycle.lineage import EVIDENCE, latest
from mlops_assets.lifecycle.tracking import RUN_TAG
from mlops_assets.resources.registry import Registry
from mlops_assets.retraining.reasons import REASON
from mlops_assets_tests.retraining import flow

if TYPE_CHECKING:
    from collections.abc import Callable

    from mlops_assets_tests.lifecycle.world import World


def key(world: World, *path: str) -> dg.AssetKey:
    return asset_key(world.project, *path)


@pytest.fixture(scope="module")
def world(make_world: Callable[..., World]) -> World:
    """Two trainings: the first, and one because of drift."""
    world = flow.make(make_world)
    for month in ("2013-01", "2013-02", "2013-03"):
        world.upload(f"rows/{month}.csv", flow.rows(month))
    world.settle()
    first = flow.train(world)
    assert first is not None
    assert first.success
    world.upload("rows/2013-04.csv", flow.rows("2013-04"))
    world.settle()
    told: dict[str, Any] = {"champion": "1", "observed": "2 of 3 columns moved", "allowed": "1"}
    world.instance.report_runless_asset_event(
        dg.AssetCheckEvaluation(
            asset_key=key(world, "drift"), check_name="feature_drift", passed=False, metadata=told
        )
    )
    return world


@pytest.fixture(scope="module")
def result(world: World) -> dg.ExecuteInProcessResult:
    done = flow.train(world)
    assert done is not None
    assert done.success
    return done


WHY = (
    "Drift of version 1: 2 of 3 columns moved (allowed: 1). 300 labelled rows are new since the last "
    "training, 33% of those it had."
)


def test_the_run_is_tagged(world: World, result: dg.ExecuteInProcessResult) -> None:
    run = world.instance.get_run_by_id(result.run_id)
    assert run is not None
    assert (run.tags["mlops/cause"], run.tags["mlops/why"]) == ("drift", WHY)
    evidence = json.loads(run.tags["mlops/evidence"])["drift"]
    assert evidence["check"] == f"{world.project.name}/drift:feature_drift"
    assert evidence["evaluation"] > 0


@pytest.mark.parametrize("stage", ["training_set", "champion"])
def test_the_assets_say_it(world: World, result: dg.ExecuteInProcessResult, stage: str) -> None:
    made = latest(world.instance, key(world, stage))
    assert made.run_id == result.run_id
    assert (made.metadata["cause"], made.metadata["why"]) == ("drift", WHY)
    assert made.metadata[REASON]["evidence"]["drift"]["observed"] == "2 of 3 columns moved"


def test_the_runs_in_mlflow_are_tagged(world: World, result: dg.ExecuteInProcessResult) -> None:
    client = Registry(world.settings.mlflow_url).client
    experiments = [e.experiment_id for e in client.search_experiments()]
    runs = [
        run
        for run in client.search_runs(experiments, max_results=1000)
        if run.info.run_name.startswith(f"{world.project.name}/")
    ]
    assert {run.data.tags[RUN_TAG] for run in runs if "boosting" in run.info.run_name} >= {result.run_id}
    told = {(run.info.run_name.partition("/")[2], run.data.tags.get("mlops.cause")) for run in runs}
    assert told == {(name, cause) for name in ("boosting", "evaluation") for cause in ("first", "drift")}
    assert {run.data.tags["mlops.why"] for run in runs if run.data.tags["mlops.cause"] == "drift"} == {WHY}


def test_the_registered_version_and_the_promotion_log_say_it(
    world: World, result: dg.ExecuteInProcessResult
) -> None:
    champion = Registry(world.settings.mlflow_url).champion(world.project.name)
    assert champion is not None
    assert (champion.number, champion.tags["mlops.cause"], champion.tags["mlops.why"]) == ("2", "drift", WHY)
    second, first = world.promotions()
    assert second.dagster_run == result.run_id
    assert second.evidence[REASON]["why"] == WHY
    assert second.evidence[REASON]["evidence"]["drift"]["about"] == "1"
    assert first.evidence[REASON]["cause"] == "first"
    assert latest(world.instance, key(world, "evaluation")).metadata[EVIDENCE][REASON]["why"] == WHY
