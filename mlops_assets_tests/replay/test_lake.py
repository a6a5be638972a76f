"""The history of a project that the platform has features of: real objects, a real event log."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

import dagster as dg
import pytest

from mlops_assets.lifecycle.describe import asset_key
from mlops_assets.lifecycle.lineage import CONTENT, LAKE_KEY
from mlops_assets.replay.history import ReplayError, of_frames, read_lake
from mlops_assets_tests.replay import toy

if TYPE_CHECKING:
    import pandas as pd

    from mlops_assets_tests.services import ObjectStore


def silent(_: str) -> None: ...


def materialize(
    instance: dg.DagsterInstance, store: ObjectStore, bucket: str, partition: str, frame: pd.DataFrame
) -> None:
    """Put ``frame`` and say so, as the stage ``features`` does."""
    content = of_frames({partition: frame}).content[partition]
    key, buffer = f"toy/features/{partition}/{content[:32]}.parquet", io.BytesIO()
    frame.to_parquet(buffer, index=False)
    store.client.put_object(Bucket=bucket, Key=key, Body=buffer.getvalue())
    metadata = {LAKE_KEY: key, CONTENT: content}
    made = dg.AssetMaterialization(
        asset_key(toy.project(), "features"), partition=partition, metadata=metadata
    )
    instance.report_runless_asset_event(made)


def test_the_last_features_of_each_partition_are_played(
    object_store: ObjectStore, buckets: tuple[str, str]
) -> None:
    lake = buckets[1]
    frames = {name: toy.month(name, rows=50) for name in toy.MONTHS[:2]}
    with dg.DagsterInstance.ephemeral() as instance:
        with pytest.raises(ReplayError, match="toy has no features yet"):
            read_lake(toy.project(), instance, object_store.client, lake, silent)
        materialize(instance, object_store, lake, toy.MONTHS[0], toy.month(toy.MONTHS[0], rows=20))
        for name, frame in frames.items():
            materialize(instance, object_store, lake, name, frame)
        found = read_lake(toy.project(), instance, object_store.client, lake, silent)
    expected = of_frames(frames)
    assert found.partitions == expected.partitions
    assert found.content == expected.content
    assert all(found.frames[name].equals(frames[name]) for name in frames)
