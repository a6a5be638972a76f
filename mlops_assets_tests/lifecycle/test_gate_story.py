"""What moves the champion, and what does not: the stages after a training, run again with other givens.

Every test says which world it starts from; they share one training, and no test trains.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import dagster as dg
import pytest

from mlops_assets.judging.gate import CHECKS
from mlops_assets.lifecycle.champion import promote, rollback
from mlops_assets.lifecycle.describe import asset_key
from mlops_assets.project import Gate
from mlops_assets.resources.promotions import PromotionLog
from mlops_assets.resources.registry import Registry
from mlops_assets.resources.tables import engine_for
from mlops_assets_tests.lifecycle.world import World

if TYPE_CHECKING:
    from mlops_assets_tests.lifecycle.conftest import Trained


@pytest.fixture
def world(trained: Trained) -> World:
    """The trained world, judged again on the same training set by the project's own gate."""
    assert trained.world.train("evaluation").success
    return trained.world


@pytest.fixture
def registry(trained: Trained) -> Registry:
    return Registry(trained.world.settings.mlflow_url)


def with_gate(world: World, **rules: Any) -> World:
    """The same flow, under another gate."""
    gate = Gate(**{**world.project.gate.model_dump(), **rules})
    project = world.project.model_copy(update={"gate": gate})
    return World(project, world.settings, world.store, world.instance, world.cursor)


def champion(registry: Registry, world: World) -> str:
    found = registry.champion(world.project.name)
    assert found is not None
    return found.number


def failure(result: dg.ExecuteInProcessResult) -> str:
    """What the failed step said."""
    (failed,) = [event for event in result.all_node_events if event.is_step_failure]
    error = failed.step_failure_data.error
    assert error is not None
    return str(error.to_string())


def made(result: dg.ExecuteInProcessResult) -> set[str]:
    return {e.asset_key.path[1] for e in result.get_asset_materialization_events() if e.asset_key}


@pytest.mark.parametrize(
    ("rules", "check"),
    [
        ({"min_auc_over_baseline": 0.45}, "beats_baseline"),
        ({"max_calibration_error": 0.0}, "calibration_within_bounds"),
    ],
)
def test_a_gate_that_is_not_passed_blocks_the_champion(
    world: World, registry: Registry, rules: dict[str, Any], check: str
) -> None:
    before, log = champion(registry, world), list(world.promotions())
    strict = with_gate(world, **rules)
    result = strict.train("evaluation", "champion")
    assert not result.success
    assert made(result) == {"evaluation"}
    verdicts = {e.check_name: e.passed for e in result.get_asset_check_evaluations()}
    assert set(verdicts) == set(CHECKS)
    assert not verdicts[check]
    assert strict.check(check, "evaluation").description
    assert champion(registry, world) == before
    assert list(world.promotions()) == log


def test_the_champion_alone_does_not_get_round_the_gate(world: World, registry: Registry) -> None:
    before = champion(registry, world)
    strict = with_gate(world, min_auc_over_baseline=0.45)
    strict.train("evaluation")
    result = strict.train("champion")
    assert not result.success
    assert "the gate refused" in failure(result)
    assert "beats_baseline" in failure(result)
    assert champion(registry, world) == before


def test_the_same_model_is_not_promoted_twice(world: World, registry: Registry) -> None:
    before, log = champion(registry, world), list(world.promotions())
    assert world.train("champion").success
    assert champion(registry, world) == before
    assert list(world.promotions()) == log


def test_a_champion_that_changed_since_the_evaluation_refuses_the_promotion(
    world: World, registry: Registry
) -> None:
    """Somebody promotes another candidate between evaluation and champion."""
    name, before = world.project.name, registry.champion(world.project.name)
    assert before is not None
    evaluated = world.instance.fetch_materializations(asset_key(world.project, "evaluation"), limit=1)
    challenger = evaluated.records[0].asset_materialization
    assert challenger is not None
    losers = [f.name for f in world.project.families if f.name != challenger.metadata["challenger"].value]
    loser = world.instance.fetch_materializations(
        asset_key(world.project, "candidates", losers[0]), limit=1
    ).records[0]
    assert loser.asset_materialization is not None
    meta = loser.asset_materialization.metadata
    other = registry.register(name, str(meta["model_uri"].value), str(meta["mlflow_run"].value), {})
    log = PromotionLog(engine_for(world.settings.dagster_database))
    promote(log, registry, other, "promotion", {}, None)
    try:
        moved = _reevaluated_as_if_new(world)
        result = moved.train("champion")
        assert not result.success
        assert "is the champion now" in failure(result)
        assert "materialize evaluation again" in failure(result)
        assert champion(registry, world) == other.number
    finally:
        rollback(log, registry, name)
    assert champion(registry, world) == before.number


def _reevaluated_as_if_new(world: World) -> World:
    """The last evaluation once more in the event log, of a model that is nobody's yet."""
    key = asset_key(world.project, "evaluation")
    last = world.instance.fetch_materializations(key, limit=1).records[0].asset_materialization
    assert last is not None
    changed = {**last.metadata, "model_uri": dg.MetadataValue.text("models:/m-not-promoted-yet")}
    world.instance.report_runless_asset_event(dg.AssetMaterialization(key, metadata=changed))
    return world


def test_a_candidate_of_another_training_set_is_not_judged(world: World) -> None:
    family = world.project.families[0].name
    key = asset_key(world.project, "candidates", family)
    last = world.instance.fetch_materializations(key, limit=1).records[0].asset_materialization
    assert last is not None
    stale = {**last.metadata, "training_set": dg.MetadataValue.text("0123456789abcdef")}
    world.instance.report_runless_asset_event(dg.AssetMaterialization(key, metadata=stale))
    try:
        result = world.train("evaluation")
        assert not result.success
        assert f"candidate {family} was trained on training set 0123456789abcdef" in failure(result)
        assert f"materialize candidates/{family}" in failure(result)
    finally:
        world.instance.report_runless_asset_event(dg.AssetMaterialization(key, metadata=last.metadata))


def test_the_same_features_are_the_same_training_set(trained: Trained) -> None:
    first = trained.made("training_set")
    result = trained.world.train("training_set")
    (event,) = result.get_asset_materialization_events()
    again = event.step_materialization_data.materialization.metadata
    assert again["id"].value == first["id"]
    assert again["lake_key"].value == first["lake_key"]


def test_one_partition_is_too_few_to_train_on(trained: Trained) -> None:
    few = replace(trained.world, project=trained.world.project.model_copy(update={"min_partitions": 4}))
    result = few.train("training_set")
    assert not result.success
    assert "a training needs 4" in failure(result)
    assert "Upload more data" in failure(result)
