"""From the spool to a real bucket: what arrives there, and arrives there again."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING

import pytest
from botocore.exceptions import EndpointConnectionError

from mlops_assets_tests.services import ObjectStore
from mlops_assets_tests.serving.harness import NOWHERE
from mlops_assets_tests.serving.prediction_log.recording import SERVER, Recorder, asked, served, shipping
from mlops_assets_tests.serving.prediction_log.traffic import logged
from serving.prediction_log import objects
from serving.prediction_log.answered import AnsweredCounts, is_final

if TYPE_CHECKING:
    from pathlib import Path

    from serving.prediction_log.shipping import Shipping

MIDNIGHT = dt.datetime(2026, 5, 5, tzinfo=dt.UTC)


def listing(store: ObjectStore, bucket: str) -> dict[str, bytes]:
    """All objects of the bucket: key -> content."""
    found = store.client.list_objects_v2(Bucket=bucket).get("Contents", [])
    get = store.client.get_object
    return {entry["Key"]: get(Bucket=bucket, Key=entry["Key"])["Body"].read() for entry in found}


def test_shipped_twice_it_is_the_same_object(
    tmp_path: Path, object_store: ObjectStore, buckets: tuple[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    recorder = Recorder(tmp_path)
    recorder.record(asked(1), asked(2))
    recorder.die()
    (path,) = recorder.spool.segments()
    kept = path.read_bytes()
    shipping(recorder.spool, object_store, buckets[1]).ship()
    first = listing(object_store, buckets[1])
    assert recorder.spool.segments() == []
    assert len(first) == 1
    path.write_bytes(kept)  # as if the shipper had been killed between the two
    shipping(recorder.spool, object_store, buckets[1]).ship()
    assert listing(object_store, buckets[1]) == first
    assert len(logged(object_store, buckets[1])) == 2


def test_a_segment_over_midnight_becomes_an_object_a_day(
    tmp_path: Path, object_store: ObjectStore, buckets: tuple[str, str]
) -> None:
    recorder = Recorder(tmp_path)
    second = dt.timedelta(seconds=1)
    recorder.record(*(asked(number, arrived=MIDNIGHT + (number - 3) * second) for number in range(5)))
    recorder.die()
    shipping(recorder.spool, object_store, buckets[1]).ship()
    days = ["2026-05-04", "2026-05-05"]
    assert objects.list_days(object_store.client, buckets[1], "trips") == days
    ours = [objects.list_objects(object_store.client, buckets[1], "trips", day) for day in days]
    assert [(one.last - one.first) // 1000 for (one,) in ours] == [2, 1]
    assert sorted(row["request_id"] for row in logged(object_store, buckets[1])) == [
        f"request-{number}" for number in range(5)
    ]


def test_what_cannot_be_put_stays(
    tmp_path: Path, object_store: ObjectStore, buckets: tuple[str, str]
) -> None:
    recorder = Recorder(tmp_path)
    recorder.record(asked(1))
    recorder.die()
    closed = ObjectStore(NOWHERE, "nobody", "nothing-there", object_store.service)
    with pytest.raises(EndpointConnectionError):
        shipping(recorder.spool, closed, buckets[1]).ship()
    assert len(recorder.spool.segments()) == 1
    shipping(recorder.spool, object_store, buckets[1]).ship()
    assert len(logged(object_store, buckets[1])) == 1


def test_the_answer_of_a_second_attempt_counts_also_from_another_version(
    tmp_path: Path, object_store: ObjectStore, buckets: tuple[str, str]
) -> None:
    recorder = Recorder(tmp_path)
    recorder.record(asked(1), asked(2))
    recorder.die()
    following = Recorder(tmp_path)
    following.served = served("2", bias=1.0)
    following.record(asked(2, attempt=2), asked(3))
    following.die()
    shipping(recorder.spool, object_store, buckets[1]).ship()
    found = {row["request_id"]: row["version"] for row in logged(object_store, buckets[1])}
    assert found == {"request-1": "1", "request-2": "2", "request-3": "2"}
    assert len(logged(object_store, buckets[1])) == 3


class Counting:
    """An API process's counts beside a spool, and what the bucket is told of them."""

    def __init__(self, recorder: Recorder, store: ObjectStore, bucket: str) -> None:
        self.counts = AnsweredCounts(recorder.spool.answered_folder, SERVER.hex())
        self._store, self._bucket = store, bucket
        self.recorder = recorder

    def answer(self, number: int) -> None:
        moment = MIDNIGHT + dt.timedelta(seconds=1)
        logged_ = self.recorder.record(asked(number, arrived=moment))
        self.counts.add(int(moment.timestamp() * 1e6), 1, unlogged=not logged_)

    def told(self) -> tuple[int, int, int] | None:
        found = objects.answered(self._store.client, self._bucket, "trips", "2026-05-05")
        return (found[0].rows, found[0].unlogged_rows, found[0].dropped_rows) if found else None


@pytest.fixture
def ship(tmp_path: Path, object_store: ObjectStore, buckets: tuple[str, str]) -> Shipping:
    return shipping(Recorder(tmp_path / "log").spool, object_store, buckets[1])


def test_what_was_answered_is_told_only_after_the_rows(
    tmp_path: Path, ship: Shipping, object_store: ObjectStore, buckets: tuple[str, str]
) -> None:
    counting = Counting(Recorder(tmp_path / "log"), object_store, buckets[1])
    counting.answer(1)
    ship.ship()
    assert counting.told() is None  # its row is in a segment that is still open
    counting.recorder.writer._finish()
    counting.answer(2)
    ship.ship()
    assert counting.told() == (1, 0, 0)  # the first count; the second row is not there yet
    ship.ship()
    assert counting.told() == (1, 0, 0)
    counting.recorder.die()
    ship.ship()
    assert counting.told() == (2, 0, 0)
    assert len(logged(object_store, buckets[1])) == 2


def test_counts_survive_their_process_and_are_then_final(
    tmp_path: Path, ship: Shipping, object_store: ObjectStore, buckets: tuple[str, str]
) -> None:
    counting = Counting(Recorder(tmp_path / "log"), object_store, buckets[1])
    counting.answer(1)
    counting.recorder.die()
    (path,) = counting.recorder.spool.answered_folder.iterdir()
    assert not is_final(path)
    for day in counting.counts._days.values():
        day.close()  # as the system does when the process is killed
    assert is_final(path)
    ship.ship()
    assert counting.told() == (1, 0, 0)
    assert list(counting.recorder.spool.answered_folder.iterdir()) == []


def test_dropped_rows_are_told_by_day_and_server(
    tmp_path: Path, ship: Shipping, object_store: ObjectStore, buckets: tuple[str, str]
) -> None:
    recorder = Recorder(tmp_path / "log", max_bytes=10_000, at_bound="drop_oldest", segment_bytes=1000)
    counting = Counting(recorder, object_store, buckets[1])
    for number in range(300):
        counting.answer(number)
    recorder.die()
    for day in counting.counts._days.values():
        day.close()
    ship.ship()
    rows = len(logged(object_store, buckets[1]))
    assert counting.told() == (300, 0, 300 - rows)
    assert 0 < rows < 100
    assert recorder.drop_counts() == 300 - rows
