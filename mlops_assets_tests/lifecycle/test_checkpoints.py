"""A training whose process was ended goes on from the epoch that it had reached, in another run."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from mlops_assets.families.network import Network
from mlops_assets.lifecycle.describe import asset_key
from mlops_assets.lifecycle.lineage import latest
from mlops_assets.resources.checkpoints import LakeCheckpoints
from mlops_assets.resources.lake import Lake
from mlops_assets_tests.lifecycle.data import FIRST_MONTHS, month, planes

if TYPE_CHECKING:
    from collections.abc import Callable

    from mlops_assets_tests.lifecycle.world import World


class EvictedError(Exception):
    """Stands for the end of a pod."""


@pytest.fixture(scope="module")
def world(make_world: Callable[..., World]) -> World:
    """Has a training set, and one family of a few epochs."""
    world = make_world(families=(Network(max_epochs=4, patience=4, device="cpu"),))
    world.upload("planes/planes.csv", planes())
    for name in FIRST_MONTHS[:2]:
        for key, data in month(name).items():
            world.upload(key, data)
    world.settle()
    assert world.train("training_set").success
    return world


def lake_of(world: World) -> Lake:
    resource: Any = (world.defs.resources or {})["lake"]
    return Lake(s3=resource.s3, bucket=resource.bucket)


def test_what_is_saved_is_found_until_it_is_cleared(world: World) -> None:
    checkpoints = LakeCheckpoints(lake_of(world), "checkpoints/tests/one.pt")
    assert checkpoints.load() is None
    checkpoints.save(b"first")
    checkpoints.save(b"second")
    assert checkpoints.load() == b"second"
    checkpoints.clear()
    assert checkpoints.load() is None
    checkpoints.clear()


def test_an_evicted_training_loses_an_epoch_at_most(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = f"{world.project.name}/checkpoints/network/"

    def kept() -> list[str]:
        found = world.store.client.list_objects_v2(Bucket=world.settings.lake_bucket, Prefix=folder)
        return [entry["Key"] for entry in found.get("Contents", [])]

    def trained() -> Any:
        assert world.train("candidates/network").success
        return latest(world.instance, asset_key(world.project, "candidates", "network")).metadata

    undisturbed = trained()
    assert kept() == []  # those of a training that was done are gone
    save, saves = LakeCheckpoints.save, []

    def save_twice(self: LakeCheckpoints, state: bytes) -> None:
        save(self, state)
        saves.append(len(state))
        if len(saves) == 2:
            raise EvictedError

    with monkeypatch.context() as patch:
        patch.setattr(LakeCheckpoints, "save", save_twice)
        assert not world.train("candidates/network").success
    assert len(kept()) == 1
    made = trained()
    assert (undisturbed["resumed_at_epoch"], made["resumed_at_epoch"]) == (0, 2)
    assert made["validation_loss"] == undisturbed["validation_loss"]  # as if nothing had happened
    assert kept() == []
