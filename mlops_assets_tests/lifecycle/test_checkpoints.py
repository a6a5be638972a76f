"""A training whose process was ended goes on from the epoch that it had reached, in another run."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mlops_assets.lifecycle.describe import asset_key
from mlops_assets.lifecycle.lineage import latest
from mlops_assets.resources.checkpoints import LakeCheckpoints
from mlops_assets.resources.lake import Lake

if TYPE_CHECKING:
    import pytest

    from mlops_assets_tests.lifecycle.conftest import Trained


class EvictedError(Exception):
    """Stands for the end of a pod."""


def lake_of(trained: Trained) -> Lake:
    resource: Any = (trained.world.defs.resources or {})["lake"]
    return Lake(s3=resource.s3, bucket=resource.bucket)


def test_what_is_saved_is_found_until_it_is_cleared(trained: Trained) -> None:
    checkpoints = LakeCheckpoints(lake_of(trained), "flight_delays/checkpoints/tests/one.pt")
    assert checkpoints.load() is None
    checkpoints.save(b"first")
    checkpoints.save(b"second")
    assert checkpoints.load() == b"second"
    checkpoints.clear()
    assert checkpoints.load() is None
    checkpoints.clear()


def test_an_evicted_training_loses_an_epoch_at_most(
    trained: Trained, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = trained.world
    folder = f"{world.project.name}/checkpoints/network/"

    def kept() -> list[str]:
        found = world.store.client.list_objects_v2(Bucket=world.settings.lake_bucket, Prefix=folder)
        return [entry["Key"] for entry in found.get("Contents", [])]

    save, saves = LakeCheckpoints.save, []

    def save_twice(self: LakeCheckpoints, state: bytes) -> None:
        save(self, state)
        saves.append(len(state))
        if len(saves) == 2:
            raise EvictedError

    assert kept() == []  # those of a training that was done are gone
    with monkeypatch.context() as patch:
        patch.setattr(LakeCheckpoints, "save", save_twice)
        assert not world.train("candidates/network").success
    assert len(kept()) == 1
    assert world.train("candidates/network").success
    made = latest(world.instance, asset_key(world.project, "candidates", "network")).metadata
    first = trained.made("candidates", "network")
    assert made["resumed_at_epoch"] == 2
    assert made["validation_loss"] == first["validation_loss"]  # as if nothing had happened
    assert kept() == []
