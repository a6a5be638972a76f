"""The next month: one with wrong labels is refused by the gate, the corrected one is judged anew.

The tests tell one story, in order.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from mlops_assets.families.boosting import Boosting
from mlops_assets.families.network import Network
from mlops_assets.lifecycle.lineage import NotMaterializedError, latest
from mlops_assets.resources.registry import Registry
from mlops_assets_tests.lifecycle.data import FIRST_MONTHS, month, planes

if TYPE_CHECKING:
    from collections.abc import Callable

    import dagster as dg

    from mlops_assets_tests.lifecycle.world import World

APRIL = month("2013-04", every=8)
STAGES = ("training_set", "candidates/boosting", "candidates/network", "evaluation", "champion")


def shuffled(data: bytes, column: str) -> bytes:
    """The CSV with one column's values in another order: every value is right, every row is wrong."""
    header, *rows = (line.split(",") for line in data.decode().splitlines())
    place = header.index(column)
    values = np.array([row[place] for row in rows])
    np.random.default_rng(0).shuffle(values)
    for row, value in zip(rows, values, strict=True):
        row[place] = str(value)
    return "\n".join(",".join(row) for row in [header, *rows]).encode() + b"\n"


@pytest.fixture(scope="module")
def world(make_world: Callable[..., World]) -> World:
    """Three months, thin, and quick families: a first champion of which little is asked."""
    families = (Boosting(stages=40), Network(max_epochs=2))
    world = make_world(families=families)
    world.upload("planes/planes.csv", planes())
    for name in FIRST_MONTHS:
        for key, data in month(name, every=8).items():
            world.upload(key, data)
    world.settle()
    return world


@pytest.fixture(scope="module")
def registry(world: World) -> Registry:
    return Registry(world.settings.mlflow_url)


def evaluated(world: World) -> dict[str, Any]:
    from mlops_assets.lifecycle.describe import asset_key

    return dict(latest(world.instance, asset_key(world.project, "evaluation")).metadata)


def verdicts(result: dg.ExecuteInProcessResult) -> dict[str, bool]:
    return {check.check_name: check.passed for check in result.get_asset_check_evaluations()}


def test_before_the_first_training_there_is_no_evaluation(world: World) -> None:
    with pytest.raises(NotMaterializedError, match="evaluation has not been materialized yet"):
        evaluated(world)


def test_the_first_champion_has_none_to_be_compared_with(world: World, registry: Registry) -> None:
    assert world.train(*STAGES).success
    made = evaluated(world)
    assert made["evidence"]["champion"] is None
    assert "champion" not in made["evidence"]["scores"]
    champion = registry.champion(world.project.name)
    assert champion is not None
    assert champion.number == "1"


def test_a_month_with_wrong_labels_is_refused_and_the_champion_stays(
    world: World, registry: Registry
) -> None:
    for key, data in APRIL.items():
        world.upload(key, shuffled(data, "arr_delay") if key.startswith("flights") else data)
    world.settle()
    result = world.train(*STAGES)
    assert not result.success
    assert not verdicts(result)["beats_baseline"]
    made = evaluated(world)
    assert made["held out"] == "2013-04"
    assert made["evidence"]["champion"] == "1"
    assert set(made["evidence"]["scores"]) == {"baseline", "boosting", "network", "champion"}
    assert made["evidence"]["scores"]["champion"]["roc_auc"] < 0.55
    champion = registry.champion(world.project.name)
    assert champion is not None
    assert champion.number == "1"
    assert [entry.version for entry in world.promotions()] == ["1"]


def test_the_corrected_month_is_judged_anew(world: World, registry: Registry) -> None:
    world.upload("flights/2013-04.csv", APRIL["flights/2013-04.csv"])
    world.settle()
    before = evaluated(world)
    result = world.train(*STAGES)
    made = evaluated(world)
    assert made["held out"] == "2013-04"
    assert made["training_set"] == before["training_set"]  # the held-out month is no part of it
    assert made["evidence"]["scores"]["champion"]["roc_auc"] > 0.58
    passed = verdicts(result)
    assert passed["beats_baseline"]
    champion = registry.champion(world.project.name)
    assert champion is not None
    assert champion.number == ("2" if all(passed.values()) else "1")
    assert result.success == all(passed.values())
