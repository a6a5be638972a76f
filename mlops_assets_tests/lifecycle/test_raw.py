"""Raw objects become rows, or a failed check that says where and why; real store, real contract."""

from __future__ import annotations

import gzip
from typing import TYPE_CHECKING, Any

import dagster as dg
import pytest

from mlops_assets.lifecycle.describe import asset_key
from mlops_assets_tests.lifecycle.data import month, planes, thin

if TYPE_CHECKING:
    from collections.abc import Callable

    from mlops_assets_tests.lifecycle.world import World

JANUARY = month("2013-01", every=100)
FEBRUARY = month("2013-02", every=100)
PLANES = {"planes/planes.csv": thin(planes(), 30)}
FLIGHTS = JANUARY["flights/2013-01.csv"]
HEADER, FIRST, SECOND = FLIGHTS.splitlines(keepends=True)[:3]


@pytest.fixture
def world(make_world: Callable[..., World]) -> World:
    return make_world()


def made(world: World, *path: str) -> list[tuple[str | None, dict[str, Any]]]:
    """(partition, metadata as plain values) of each materialization, oldest first."""
    key = asset_key(world.project, *path)
    found = []
    for record in reversed(world.instance.fetch_materializations(key, limit=100).records):
        event = record.asset_materialization
        assert event is not None
        found.append((event.partition, {n: getattr(v, "value", v) for n, v in event.metadata.items()}))
    return found


def data_version(world: World, *path: str, partition: str | None = None) -> str:
    key = asset_key(world.project, *path)
    wanted = dg.AssetRecordsFilter(asset_key=key, asset_partitions=[partition] if partition else None)
    record = world.instance.fetch_materializations(wanted, limit=1).records[0].asset_materialization
    assert record is not None
    return (record.tags or {})["dagster/data_version"]


def upload(world: World, *objects: dict[str, bytes]) -> dict[str, str]:
    return {name: world.upload(name, data) for group in objects for name, data in group.items()}


def test_the_version_that_was_asked_for_is_read_though_a_newer_one_is_there(world: World) -> None:
    wanted = world.upload("flights/2013-01.csv", FLIGHTS)
    key = f"{world.project.name}/flights/2013-01.csv"
    requests = world.requests()
    newer = world.upload("flights/2013-01.csv", HEADER + FIRST)
    again = world.requests()  # the sensor sees the newer one; the first run has not begun yet
    assert [request[-1] for request in again] == [request[-1] for request in requests]
    for request in requests:
        assert world.execute(*request).success
    ((partition, metadata),) = made(world, "raw", "flights")
    head = world.store.client.head_object(Bucket=world.settings.raw_bucket, Key=key, VersionId=wanted)
    assert partition == "2013-01"
    assert metadata["bucket"] == world.settings.raw_bucket
    assert metadata["key"] == key
    assert metadata["version id"] == wanted != newer
    assert metadata["ETag"] == head["ETag"].strip('"')
    assert metadata["bytes"] == len(FLIGHTS)
    assert metadata["dagster/row_count"] == FLIGHTS.count(b"\n") - 1
    columns = {column.name: column.type for column in metadata["dagster/column_schema"].columns}
    assert columns["arr_delay"] == "float64"
    assert columns["time_hour"] == "datetime64[ns, UTC]"
    assert metadata["preview"].startswith("| year | month |")
    assert data_version(world, "raw", "flights") == metadata["content_hash"][:16]
    world.settle()
    assert [row[1]["version id"] for row in made(world, "raw", "flights")] == [wanted, newer]


def test_the_same_rows_have_the_same_data_version_and_others_another(world: World) -> None:
    world.upload("flights/2013-01.csv", FLIGHTS)
    world.settle()
    first = data_version(world, "raw", "flights")
    world.upload("flights/2013-01.csv", FLIGHTS.replace(b"\n", b"\r\n"))
    world.settle()
    assert data_version(world, "raw", "flights") == first
    assert len(made(world, "raw", "flights")) == 2
    world.upload("flights/2013-01.csv", HEADER + FIRST + SECOND)
    world.settle()
    assert data_version(world, "raw", "flights") != first


def test_features_are_the_same_for_the_same_rows(world: World) -> None:
    upload(world, JANUARY, PLANES)
    world.settle()
    (run,) = [world.execute([asset_key(world.project, "features")], "2013-01")]
    assert run.success
    first, second = (metadata for _, metadata in made(world, "features"))
    assert first["content_hash"] == second["content_hash"]
    assert first["lake_key"] == second["lake_key"]


BROKEN = {
    "a column is missing": (b"year,month\n2013,1\n", ["line 1", "flight"]),
    "a column is unknown": (FLIGHTS.replace(b"carrier", b"airline", 1), ["airline", "carrier"]),
    "a line is cut": (HEADER + FIRST + SECOND[:20] + b"\n" + SECOND, ["line 3"]),
    "empty": (b"", ["empty"]),
    "binary": (bytes(range(256)) * 40, ["text"]),
    "gzip": (gzip.compress(FLIGHTS), ["gzip"]),
    "UTF-16": (FLIGHTS.decode().encode("utf-16"), ["UTF-16"]),
    "Latin-1": (FLIGHTS.replace(b"JFK", b"J\xe9K", 1), ["line"]),
    "a duplicate row": (HEADER + FIRST + SECOND + FIRST, ["line 4"]),
    "another month's row": (
        HEADER + FIRST + FEBRUARY["flights/2013-02.csv"].splitlines(keepends=True)[1],
        ["line 3", "month", "2013-01"],
    ),
    "a word for a number": (HEADER + FIRST.replace(b"2013,", b"soon,", 1), ["line 2", "year", "soon"]),
}


@pytest.fixture(scope="module")
def shared(make_world: Callable[..., World]) -> World:
    """A world in which February is fine: January is broken in it, again and again."""
    world = make_world()
    upload(world, FEBRUARY, PLANES)
    world.settle()
    return world


def failing(kind: str) -> str:
    return "duplicates" if kind == "a duplicate row" else "contract"


@pytest.mark.parametrize("kind", BROKEN)
def test_a_broken_file_is_a_failed_check_and_no_rows(shared: World, kind: str) -> None:
    data, said = BROKEN[kind]
    before = len(made(shared, "raw", "flights"))
    version = shared.upload("flights/2013-01.csv", data)
    (run,) = shared.settle()
    assert run.success  # a broken file is a failed check, not a failed run
    keys = [event.asset_key for event in run.get_asset_materialization_events()]
    assert asset_key(shared.project, "features") not in keys
    assert len(made(shared, "raw", "flights")) == before
    check = shared.check(failing(kind), "raw", "flights")
    assert not check.passed
    assert check.severity == dg.AssetCheckSeverity.ERROR
    description = check.description or ""
    assert check.metadata["object"].value == f"{shared.project.name}/flights/2013-01.csv"
    assert "Remedy:" in description
    for word in said:
        assert word in description, description
    assert check.metadata["version id"].value == version
    where = check.metadata["where"]
    assert isinstance(where, dg.TableMetadataValue)
    assert all(record.data["what"] and record.data["remedy"] for record in where.records)


def test_the_rest_goes_on_and_a_corrected_upload_heals(world: World) -> None:
    broken = JANUARY | {"flights/2013-01.csv": BROKEN["a line is cut"][0]}
    upload(world, broken, FEBRUARY, PLANES)
    runs = world.settle()
    assert [partition for partition, _ in made(world, "features")] == ["2013-02"]
    assert [partition for partition, _ in made(world, "raw", "weather")] == ["2013-01", "2013-02"]
    evaluations = [e for run in runs for e in run.get_asset_check_evaluations() if e.check_name == "contract"]
    failed = [(e.asset_key.path[-1], e.partition) for e in evaluations if not e.passed]
    assert failed == [("flights", "2013-01")]  # a good February does not hide it
    world.upload("flights/2013-01.csv", FLIGHTS)
    world.settle()
    assert world.check("contract", "raw", "flights").passed
    assert sorted(partition or "" for partition, _ in made(world, "features")) == ["2013-01", "2013-02"]


def test_what_was_read_stays_when_its_overwrite_is_broken(world: World) -> None:
    upload(world, JANUARY, PLANES)
    world.settle()
    before = made(world, "raw", "flights")
    world.upload("flights/2013-01.csv", b"")
    world.settle()
    assert made(world, "raw", "flights") == before
    assert not world.check("contract", "raw", "flights").passed
    assert world.execute([asset_key(world.project, "features")], "2013-01").success
    assert made(world, "features")[-1][1]["lineage"]["flights"]["version_id"] == before[0][1]["version id"]


def test_a_name_that_fits_nowhere_is_a_failed_check(world: World) -> None:
    upload(world, JANUARY, {"flights/2013-1.csv": FLIGHTS, **PLANES})
    world.settle()
    (failed,) = [check for check in world.checks if not check.passed]
    assert failed.check_name == "object_names"
    assert failed.asset_key == asset_key(world.project, "raw", "flights")
    assert f"{world.project.name}/flights/2013-1.csv" in (failed.description or "")
    assert len(made(world, "features")) == 1
