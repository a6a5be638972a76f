"""A daemon killed (SIGKILL) at any point loses no object version and handles none twice."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import dagster as dg
import pytest
import sqlalchemy as sa

from mlops_assets.resources.tables import object_versions
from mlops_assets_tests.automation.daemon import AFTER, BEFORE, DAGSTERS, Daemon

if TYPE_CHECKING:
    from pathlib import Path

    from mlops_assets.resources.s3 import SharedS3Resource
    from mlops_assets.resources.tables import Tables
    from mlops_assets_tests.services import ObjectStore

MONTHS = ("2013-01", "2013-02")
NAMES = (
    "planes/planes.csv",
    *(f"{source}/{month}.csv" for source in ("flights", "weather") for month in MONTHS),
)
ASSETS = {"raw/flights": 2, "raw/weather": 2, "raw/planes": 1, "features": 2}
RUNS = {
    # Each beside the two that it takes: the killed one; the shared object, which rides along only once.
    "run reading": 4,
    # The killed one: what it had read by then is not read again.
    "run has read": 3,
}


@pytest.fixture
def daemon(buckets: tuple[str, str], s3: SharedS3Resource, tables: Tables, tmp_path: Path) -> Daemon:
    return Daemon(tmp_path, buckets[0], s3, tables)


def _materialized(instance: dg.DagsterInstance) -> Counter[str]:
    found: Counter[str] = Counter()
    for name in ASSETS:
        key = dg.AssetKey(["toy", *name.split("/")])
        for record in instance.fetch_materializations(key, limit=100).records:
            found[f"{name} {record.partition_key}"] += 1
    return found


@pytest.mark.parametrize("point", [*BEFORE, *AFTER, *DAGSTERS])
def test_each_version_is_handled_once(daemon: Daemon, object_store: ObjectStore, point: str) -> None:
    for name in NAMES:
        object_store.client.put_object(Bucket=daemon.bucket, Key=f"toy/{name}", Body=b"x\n1\n")
    assert daemon.run(4, point) == -9, f"the child was not killed at: {point}"
    assert daemon.run(8) == 0
    with daemon.instance() as instance:
        materialized = _materialized(instance)
        runs = instance.get_runs()
    assert set(materialized.values()) == {1}, materialized
    assert {name: sum(1 for key in materialized if key.split()[0] == name) for name in ASSETS} == ASSETS
    with daemon.tables.engine.connect() as connection:
        states = connection.execute(sa.select(object_versions.c.key, object_versions.c.state)).all()
    assert sorted(states) == sorted((f"toy/{name}", "handled") for name in NAMES)
    keys = [run.tags["dagster/run_key"] for run in runs]
    assert len(keys) == len(set(keys)), "two runs of the same key"
    assert len(keys) == RUNS.get(point, 2)
