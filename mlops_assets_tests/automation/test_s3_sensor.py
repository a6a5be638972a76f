"""Each object version exactly once, whatever happens to the objects."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mlops_assets_tests.automation.world import World


def test_a_complete_month_is_one_run_with_the_shared_object_and_features(world: World) -> None:
    for name in ("flights/2013-01.csv", "weather/2013-01.csv", "planes/planes.csv"):
        world.put(name)
    (request,) = world.settle()
    assert request.partition_key == "2013-01"
    assert {"/".join(key.path) for key in request.asset_selection or []} == {
        "toy/raw/flights",
        "toy/raw/weather",
        "toy/raw/planes",
        "toy/features",
    }
    assert [p for p, _ in world.materialized("features")] == ["2013-01"]
    assert world.states() == {name: ["handled"] for name in world.states()}
