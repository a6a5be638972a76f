"""A day of the log: what is in its objects, and whether all that was answered is."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING, Any

import pytest

from mlops_assets.lifecycle import log_days
from mlops_assets.lifecycle.log_days import completeness, make_manifest, objects_of, state_of, write_down
from mlops_assets.lifecycle.predictions import _check
from mlops_assets.resources.lake import Lake
from mlops_assets.resources.tables import Tables
from mlops_assets_tests.lifecycle.test_joining import project
from serving.prediction_log.objects import Answered, list_objects, put_rows

if TYPE_CHECKING:
    from dagster_aws.s3 import S3Resource

    from mlops_assets.lifecycle.log_days import Manifest
    from mlops_assets_tests.services import ObjectStore

DAY = "2026-11-01"
NOON = dt.datetime(2026, 11, 1, 12, tzinfo=dt.UTC)
IT = project("patient")


@pytest.fixture
def lake(object_store: ObjectStore, buckets: tuple[str, str]) -> Lake:
    from mlops_assets.resources.s3 import SharedS3Resource

    s3: S3Resource = SharedS3Resource(
        endpoint_url=object_store.endpoint_url,
        region_name="us-east-1",
        aws_access_key_id=object_store.access_key,
        aws_secret_access_key=object_store.secret_key,
    )
    return Lake(s3=s3, bucket=buckets[1])


def put(lake: Lake, segment: str, rows: int, **columns: Any) -> None:
    plain = {
        "received.patient": list(range(rows)),
        "received.when": ["2013-04-01T10:00"] * rows,
        "time": [NOON] * rows,
        "answer_id": [f"{segment}:{n}" for n in range(rows)],
    }
    put_rows(lake.s3.get_client(), lake.bucket, IT, plain | columns, segment)


def look(lake: Lake, before: Manifest | None = None) -> Manifest:
    objects = list_objects(lake.s3.get_client(), lake.bucket, IT.name, DAY)
    return make_manifest(lake, IT, DAY, objects, before)


def answered(server: str, rows: int, **more: int) -> Answered:
    return Answered(server=server, day=DAY, requests=rows, rows=rows, **more)


def test_it_is_counted_by_version_partition_and_server(lake: Lake) -> None:
    put(lake, "one", 3, version=["1", "2", "2"])
    put(lake, "two", 2, **{"received.when": ["2013-05-01T10:00", "1999-01-01T10:00"]})
    manifest = look(lake)
    assert manifest.rows == 5
    assert manifest.count("versions") == {"1": 3, "2": 2}
    assert manifest.count("partitions") == {"2013-04": 3, "2013-05": 1, "elsewhere": 1}
    assert manifest.count("servers") == {"one": 3, "two": 2}
    assert [entry.rows for entry in manifest.of_partition("2013-05")] == [2]


def test_objects_that_are_known_are_not_read_again(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    put(lake, "one", 3)
    before = look(lake)
    read: list[str] = []
    original = log_days._read

    def reading(lake: Lake, it: Any, objects: Any) -> Any:
        read.extend(o.key for o in objects)
        return original(lake, it, objects)

    monkeypatch.setattr(log_days, "_read", reading)
    put(lake, "two", 2)
    assert look(lake, before).rows == 5
    assert [key.split("-")[-1] for key in read] == ["two.parquet"]


def test_answers_given_again_take_rows_away_from_known_objects(lake: Lake) -> None:
    ids = [f"one:{n}" for n in range(3)]
    put(lake, "one", 3, version=["1"] * 3)
    before = look(lake)
    put(lake, "more", 2, answer_id=ids[:2], attempt=[2, 2], version=["2"] * 2)
    now = look(lake, before)
    assert now.rows == 3
    assert now.count("versions") == {"1": 1, "2": 2}
    assert look(lake, now).rows == 3


def test_what_is_written_down_is_what_the_sensor_sees(lake: Lake, database_url: str) -> None:
    put(lake, "one", 3)
    tables = Tables(url=database_url)
    first = look(lake)
    for manifest in (first, first):
        with tables.engine.begin() as connection:
            write_down(connection, manifest)
            seen = log_days.logged_by_partition(connection, IT.name)
            days = log_days.logged_days(connection, IT.name)
        assert list(seen) == ["2013-04"]
        assert days[DAY].rows == 3
    put(lake, "two", 1, **{"received.when": ["2013-05-01T10:00"]})
    with tables.engine.begin() as connection:
        write_down(connection, look(lake, first))
        now = log_days.logged_by_partition(connection, IT.name)
    assert now["2013-04"] == seen["2013-04"]  # nothing of April came: its outcomes stay
    assert set(now) == {"2013-04", "2013-05"}


def test_a_days_state_tells_objects_and_counts_apart(lake: Lake) -> None:
    put(lake, "one", 3)
    objects = list_objects(lake.s3.get_client(), lake.bucket, IT.name, DAY)
    states = [state_of(objects, [answered("one", n)]) for n in (3, 3, 4)]
    assert states[0] == states[1] != states[2]
    assert objects_of(states[0]) == objects_of(states[2])
    put(lake, "two", 1)
    more = list_objects(lake.s3.get_client(), lake.bucket, IT.name, DAY)
    assert objects_of(state_of(more, [])) != objects_of(states[0])


@pytest.mark.parametrize(
    ("counts", "passed", "severity", "missing"),
    [
        ([answered("one", 3)], True, None, 0),
        ([answered("one", 2)], True, None, 0),  # answered since the last count
        ([], True, None, 0),  # killed before its first count
        ([answered("one", 5)], False, "ERROR", 2),
        ([answered("one", 3), answered("two", 1)], False, "ERROR", 1),
        ([answered("one", 5, unlogged_rows=2)], False, "WARN", 2),
        ([answered("one", 6, unlogged_rows=1, dropped_rows=1)], False, "ERROR", 3),
    ],
)
def test_the_check_says_what_is_missing(
    lake: Lake,
    counts: list[Answered],
    passed: bool,  # noqa: FBT001 - a table's column
    severity: str | None,
    missing: int,
) -> None:
    put(lake, "one", 3)
    found = completeness(look(lake), counts)
    result = _check(found)
    assert (result.passed, found["missing"]) == (passed, missing)
    assert {"observed", "allowed", "what to do"} <= set(result.metadata)
    if severity:
        assert result.severity.value == severity
        assert f"{missing} of " in (result.description or "")
