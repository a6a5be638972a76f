"""Log objects in a real bucket: listed, read without what was superseded, and searched."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pytest

from mlops_assets_tests.serving.toy import TOY
from serving.prediction_log import objects, reader
from serving.prediction_log.objects import Answered, Dropped
from serving.prediction_log.schema import make_table, schema

if TYPE_CHECKING:
    from mlops_assets_tests.services import ObjectStore

NOON = dt.datetime(2026, 5, 4, 12, tzinfo=dt.UTC)
DAY = "2026-05-04"


def rows(first: int, count: int, **changes: Any) -> dict[str, Any]:
    """``count`` rows of requests ``first`` and following, a second apart from noon on."""
    numbers = range(first, first + count)
    return {
        "answer_id": [f"server:{number}" for number in numbers],
        "request_id": [f"request-{number}" for number in numbers],
        "time": [NOON + dt.timedelta(seconds=number) for number in numbers],
        **{name: [value] * count for name, value in changes.items()},
    }


def test_the_columns_follow_the_project() -> None:
    found = {field.name: field.type for field in schema(TOY)}
    assert found["received.carrier"] == found["used.carrier"] == pa.string()
    assert found["received.hour"] == pa.int64()
    assert found["received.weekend"] == pa.bool_()
    assert found["received.hot"] == pa.float64()
    assert found["used.far"] == found["used.hot"] == pa.float32()
    assert found["unknown"] == pa.list_(pa.string())
    with pytest.raises(KeyError, match=r"no columns used\.nothing"):
        make_table(TOY, {"used.nothing": [1.0]})


def test_rows_of_two_days_lie_in_two_folders_in_order(
    object_store: ObjectStore, buckets: tuple[str, str]
) -> None:
    client, bucket = object_store.client, buckets[1]
    late = dt.datetime(2026, 5, 4, 23, 59, 59, 999_000, tzinfo=dt.UTC)
    times = [late, late + dt.timedelta(milliseconds=1)]
    objects.put_rows(client, bucket, TOY, {"time": times, "probability": [0.1, 0.9]}, "a-1")
    objects.put_rows(client, bucket, TOY, rows(0, 3), "a-2")
    assert objects.list_days(client, bucket, "trips") == [DAY, "2026-05-05"]
    of_day = objects.list_objects(client, bucket, "trips", DAY)
    assert [one.key[-11:] for one in of_day] == ["a-2.parquet", "a-1.parquet"]
    assert of_day[0].last - of_day[0].first == 2000
    assert objects.list_objects(client, bucket, "trips", DAY, after=of_day[0].key) == of_day[1:]
    assert len(objects.list_objects(client, bucket, "trips")) == 3
    read = reader.read_batches(client, bucket, [of_day[1].key], ["label", "probability"])
    assert [batch.to_pydict() for batch in read] == [{"label": [False], "probability": [0.1]}]


def test_an_answer_that_was_given_again_counts_once(
    object_store: ObjectStore, buckets: tuple[str, str]
) -> None:
    client, bucket = object_store.client, buckets[1]
    (old,) = objects.put_rows(client, bucket, TOY, rows(0, 4, version="1"), "a-1")
    (new,) = objects.put_rows(client, bucket, TOY, rows(3, 1, version="2", attempt=2), "b-1")
    for keys in ([old, new], [new, old]):
        batches = list(reader.read_batches(client, bucket, keys, ["request_id", "version"]))
        found = sorted(pair for batch in batches for pair in zip(*batch.to_pydict().values(), strict=True))
        assert found == [(f"request-{number}", "2" if number == 3 else "1") for number in range(4)]
    # The other object need not be asked for, to know what it supersedes.
    assert sum(batch.num_rows for batch in reader.read_batches(client, bucket, [old])) == 3
    for day in (None, DAY):
        (row,) = reader.find(client, bucket, TOY, "request-3", day)
        assert (row["attempt"], row["version"]) == (2, "2")
    assert reader.find(client, bucket, TOY, "request-9") == []


def test_an_id_of_the_endpoint_is_found_among_many_without_reading_them(
    object_store: ObjectStore, buckets: tuple[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    client, bucket = object_store.client, buckets[1]
    for number in range(0, 40, 2):
        objects.put_rows(client, bucket, TOY, rows(number, 2), f"a-{number}")
    made = int((NOON + dt.timedelta(seconds=21)).timestamp() * 1000)
    name = f"{made:012x}7abc8{'0' * 15}"
    objects.put_rows(client, bucket, TOY, rows(20, 2, request_id=name), "b-1")
    opened: list[str] = []
    real = reader._open

    def noted(client: Any, bucket: str, key: str) -> Any:
        opened.append(key)
        return real(client, bucket, key)

    monkeypatch.setattr(reader, "_open", noted)
    assert [row["row"] for row in reader.find(client, bucket, TOY, name)] == [0, 0]
    assert len(opened) <= 2


def test_what_was_answered_and_dropped_is_summed_by_server(
    object_store: ObjectStore, buckets: tuple[str, str]
) -> None:
    client, bucket = object_store.client, buckets[1]
    for server in ("a", "b"):
        one = Answered(server=server, day=DAY, requests=2, rows=20, unlogged_rows=1, as_of=5.0)
        objects.put_answered(client, bucket, "trips", one)
    for segment in ("s-1", "s-2", "s-2"):
        objects.put_dropped(
            client, bucket, "trips", Dropped(segment=segment, day=DAY, rows={"a": 3, "gone": 1})
        )
    found = {one.server: one.dropped_rows for one in objects.answered(client, bucket, "trips", DAY)}
    assert found == {"a": 6, "b": 0}
    assert objects.answered(client, bucket, "trips", "2026-05-05") == []
    assert objects.list_days(client, bucket, "trips") == []
