"""What is recorded comes back whole; what is torn, dropped or does not fit is dealt with as said."""

from __future__ import annotations

import datetime as dt
import resource
import subprocess
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pytest

from mlops_assets_tests.services import wait_until
from mlops_assets_tests.serving import toy
from mlops_assets_tests.serving.harness import trip
from mlops_assets_tests.serving.prediction_log.recording import Recorder, asked, served
from serving.decoding import RequestError
from serving.prediction_log.rows import RowMaker
from serving.prediction_log.segment import finished

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

MAKER = RowMaker(toy.TOY)


def rows_of(recorder: Recorder) -> list[dict[str, Any]]:
    """All rows in the spool, in order."""
    tables = [table for path in recorder.spool.segments() for table in MAKER.tables(path)]
    return list(pa.concat_tables(tables).to_pylist()) if tables else []


def ids(recorder: Recorder) -> list[str]:
    return [row["request_id"] for row in rows_of(recorder)]


def test_all_of_a_batch_comes_back(tmp_path: Path) -> None:
    recorder = Recorder(tmp_path)
    arrived = dt.datetime(2026, 5, 4, 23, 59, 59, 999_999, tzinfo=dt.UTC)
    recorder.record(
        asked(7, trip(carrier="ZZ"), trip(hot=0.5, weekend=True), arrived=arrived), asked(8, attempt=2)
    )
    recorder.served = served("2", bias=3.0)
    recorder.record(asked(9))
    first, second, third, fourth = rows_of(recorder)
    assert [row["row"] for row in (first, second, third, fourth)] == [0, 1, 0, 0]
    assert first["time"] == arrived
    assert first["latency_seconds"] > 0
    assert (first["request_id"], first["answer_id"]) == ("request-7", f"{b'servers1'.hex()}:7")
    assert (first["version"], first["training_set"], fourth["version"]) == ("1", "set-1", "2")
    assert first["unknown"] == ["carrier"]
    assert (first["used.carrier"], first["received.carrier"]) == (None, "ZZ")
    assert (second["used.carrier"], second["unknown"], second["received.weekend"]) == ("AA", [], True)
    assert first["used.hot"] != first["used.hot"]  # NaN, as the model had it
    assert (first["received.hot"], second["received.hot"], second["used.hot"]) == (None, 0.5, 0.5)
    assert second["used.far"] == pytest.approx(0.7)
    assert first["probability"] == pytest.approx(toy.expected(0.25, "ZZ"), abs=1e-6)
    assert [row["label"] for row in (first, second, third, fourth)] == [True, False, False, True]
    assert (third["attempt"], first["attempt"]) == (2, 1)


def test_a_torn_end_is_left_out_and_nothing_before_it(tmp_path: Path) -> None:
    recorder = Recorder(tmp_path)
    ends = []
    for number in range(3):
        recorder.record(asked(number))
        (path,) = recorder.spool.segments()
        ends.append(path.stat().st_size)
    recorder.die()
    whole = path.read_bytes()
    for end in range(ends[1], ends[2]):
        path.write_bytes(whole[:end])
        assert ids(recorder) == ["request-0", "request-1"]
    path.write_bytes(whole[:-5] + b"?" + whole[-4:])  # as long as it should be, but not what was written
    assert ids(recorder) == ["request-0", "request-1"]


def test_a_segment_is_finished_when_its_writer_is_gone_and_not_before(tmp_path: Path) -> None:
    recorder = Recorder(tmp_path)
    recorder.record(asked(1))
    (path,) = recorder.spool.segments()
    with finished(path) as free:
        assert not free
    recorder.die()
    with finished(path) as free:
        assert free
    Recorder(tmp_path).record(asked(2))
    assert len(recorder.spool.segments()) == 2


def test_segments_end_by_size_and_by_age(tmp_path: Path) -> None:
    recorder = Recorder(tmp_path, segment_bytes=500, segment_seconds=0.05)
    for number in range(12):
        recorder.record(asked(number))
    assert 3 <= len(recorder.spool.segments()) <= 6
    recorder.writer.start()
    recorder.record(asked(99))
    open_one = recorder.spool.segments()[-1]

    def is_finished() -> bool:
        with finished(open_one) as free:
            return free

    wait_until("the segment to end", is_finished, seconds=5)
    assert len(ids(recorder)) == 13


def try_to(recorder: Recorder, number: int) -> bool | str:
    """Record a request: whether it is in the log, or that it was refused."""
    try:
        return recorder.record(asked(number))
    except RequestError as error:
        return "refused" if error.status == 503 and "prediction log is full" in str(error) else repr(error)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A real file system of 1 MB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", folder], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip("mounting a small file system is not permitted here")
    yield folder
    subprocess.run(["umount", "-l", folder], check=True)


def fill(folder: Path) -> Path:
    """Take all room that is left."""
    path = folder / "filler"
    with path.open("wb", buffering=0) as file:
        try:
            while file.write(b"x" * 4096):
                pass
        except OSError:
            pass
    return path


def until_full(recorder: Recorder) -> int:
    """Record until the policy has something to say; how many were recorded by then."""
    for number in range(100_000):
        if try_to(recorder, number) is not True or recorder.told:
            return number
    raise AssertionError("it never got full")


def test_a_full_disk_refuses_and_recovers(small_disk: Path) -> None:
    recorder = Recorder(small_disk)
    recorder.writer.start()
    recorder.record(asked(0))
    filler = fill(small_disk)
    first = until_full(recorder)
    assert recorder.told[-1].refusing
    assert "cannot be written" in (recorder.told[-1].problem or "")
    before = ids(recorder)
    assert len(before) == first + 1
    filler.unlink()
    # Without a request that would find out:
    wait_until("room", lambda: not recorder.writer.status.refusing, seconds=10)
    recorder.record(asked(5000))
    recorder.die()
    assert ids(recorder) == [*before, "request-5000"]


def test_a_full_disk_drops_the_oldest_then_refuses(small_disk: Path) -> None:
    recorder = Recorder(small_disk, at_bound="drop_oldest", segment_bytes=20_000)
    filler = fill(small_disk)
    filler.write_bytes(bytes(900_000))
    for number in range(1500):
        recorder.record(asked(number))
    left = ids(recorder)
    assert recorder.drop_counts() + len(left) == 1500
    assert 0 < len(left) < 1500
    assert left == [f"request-{number}" for number in range(1500 - len(left), 1500)]
    for number in range(1500, 100_000):
        fill(small_disk)
        if try_to(recorder, number) == "refused":
            break
    assert recorder.told[-1].refusing


def test_a_full_disk_lets_answers_out_unlogged(small_disk: Path) -> None:
    recorder = Recorder(small_disk, at_bound="unlogged")
    fill(small_disk)
    first = until_full(recorder)
    assert not recorder.record(asked(first + 1))
    assert not recorder.told[-1].refusing
    assert ids(recorder) == [f"request-{number}" for number in range(first)]


def test_a_write_that_is_cut_short_leaves_no_half_record(tmp_path: Path) -> None:
    recorder = Recorder(tmp_path)
    recorder.record(asked(0))
    (path,) = recorder.spool.segments()
    size = path.stat().st_size
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size + 100, before[1]))
    try:
        with pytest.raises(RequestError, match="only 100 of"):
            recorder.record(asked(1))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert path.stat().st_size == size
    recorder.record(asked(2))
    assert ids(recorder) == ["request-0", "request-2"]


@pytest.mark.parametrize("policy", ["refuse", "drop_oldest", "unlogged"])
def test_the_bound_is_kept(tmp_path: Path, policy: str) -> None:
    bound = 100_000
    recorder = Recorder(tmp_path, max_bytes=bound, at_bound=policy, segment_bytes=20_000)
    refused = unlogged = 0
    for number in range(1000):
        outcome = try_to(recorder, number)
        refused += outcome == "refused"
        unlogged += outcome is False
        assert recorder.spool.size().bytes <= bound
    left = ids(recorder)
    assert recorder.told[0].problem
    assert recorder.told[0].refusing == (policy == "refuse")
    assert len(left) + refused + unlogged + recorder.drop_counts() == 1000
    assert (refused > 0, unlogged > 0, recorder.drop_counts() > 0) == tuple(
        policy == name for name in ("refuse", "unlogged", "drop_oldest")
    )
    assert left[-1] == "request-999" if policy == "drop_oldest" else left[0] == "request-0"


def test_segments_take_longer_while_many_wait(tmp_path: Path) -> None:
    recorder = Recorder(tmp_path, segment_bytes=100)
    for number in range(100):
        recorder.record(asked(number))
    recorder.writer._look()
    assert 5.0 * 5 < recorder.writer._longest() < 5.0 * 7


def test_leftovers_of_a_start_that_was_killed_are_cleared(tmp_path: Path) -> None:
    recorder = Recorder(tmp_path)
    left = recorder.spool.segments_folder / ".new-0000"
    left.write_bytes(b"")
    recorder.spool.prepare()
    assert not left.exists()
    assert list(recorder.spool.segments_folder.iterdir()) == []
