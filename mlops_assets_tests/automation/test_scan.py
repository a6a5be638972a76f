"""Passes over the store: bounded, resumable, never by time, and cheap where nothing changed."""

from __future__ import annotations

import secrets
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest

from mlops_assets.automation import listing
from mlops_assets.automation.listing import list_page
from mlops_assets.automation.places import Place, place
from mlops_assets.automation.recording import Recording
from mlops_assets.automation.scan import Memory, Position, Scan
from mlops_assets_tests.automation import toy
from mlops_assets_tests.automation.uploads import put_many

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

    from mlops_assets.resources.s3 import SharedS3Resource
    from mlops_assets.resources.tables import Tables
    from mlops_assets_tests.services import ObjectStore


class Prefix:
    """Objects below one prefix, and scans over them."""

    def __init__(self, client: S3Client, bucket: str, tables: Tables) -> None:
        self.client = client
        self.bucket = bucket
        self.tables = tables
        self.recording = Recording(tables.engine, "toy", self._place)
        self.memory = Memory()

    def _place(self, key: str) -> Place:
        return place(toy.project(), key, datetime.now(UTC))

    def put(self, *names: str, text: str = "x") -> None:
        def one(name: str) -> Any:
            return self.client.put_object(Bucket=self.bucket, Key=f"toy/{name}", Body=text.encode())

        with ThreadPoolExecutor(16) as threads:
            list(threads.map(one, names))

    def scan(self, memory: Memory | None = None) -> Scan:
        return Scan(self.client, self.bucket, "toy/", self.recording, memory or self.memory)

    def pass_over(self, position: Position | None = None) -> Position:
        """A whole pass, however many pages."""
        position = self.scan().go_on(position or Position(), 3600)
        assert position.after is None
        return position


@pytest.fixture
def prefix(buckets: tuple[str, str], s3: SharedS3Resource, tables: Tables) -> Prefix:
    return Prefix(s3.get_client(), buckets[0], tables)


@pytest.fixture
def parsed(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The sizes of the pages that were parsed."""
    sizes: list[int] = []
    real = listing.Page.etags

    def etags(page: listing.Page) -> dict[str, str]:
        found = real(page)
        sizes.append(len(found))
        return found

    monkeypatch.setattr(listing.Page, "etags", etags)
    return sizes


def test_ten_thousand_objects_at_once_in_bounded_resumable_ticks(
    prefix: Prefix, object_store: ObjectStore
) -> None:
    keys = {f"toy/flights/{number:05}.csv" for number in range(10_000)}
    put_many(object_store, prefix.bucket, keys)
    position, ticks, longest = Position(), 0, 0.0
    while True:
        began = time.monotonic()
        # Each tick in a process of its own, with time for one page.
        position = prefix.scan(Memory()).go_on(position, 0.0)
        longest = max(longest, time.monotonic() - began)
        ticks += 1
        assert prefix.recording.count() == min(10_000, ticks * 1000)
        if position.after is None:
            break
    assert ticks == 10
    assert longest < 15, f"a page of 1,000 new objects took {longest:.1f} s"
    assert prefix.recording.keys() == keys


def test_a_page_that_did_not_change_is_not_parsed_again(prefix: Prefix, parsed: list[int]) -> None:
    prefix.put("a.csv", "b.csv")
    for _ in range(3):
        prefix.pass_over()
    assert parsed == [2]
    prefix.put("b.csv", text="y")
    for _ in range(3):
        assert prefix.scan().go_on(Position(), 10) == Position()
    assert parsed == [2, 2]


def test_a_page_that_looks_as_it_did_two_passes_ago_is_compared_again(prefix: Prefix) -> None:
    prefix.put("a.csv")
    for _ in range(3):
        prefix.pass_over()
    newer = prefix.client.put_object(Bucket=prefix.bucket, Key="toy/a.csv", Body=b"y")
    prefix.pass_over()
    prefix.client.delete_object(Bucket=prefix.bucket, Key="toy/a.csv", VersionId=newer["VersionId"])
    scan = prefix.scan()
    scan.go_on(Position(), 10)
    assert scan.news == 1


def test_what_another_process_wrote_makes_this_one_look_again(prefix: Prefix, parsed: list[int]) -> None:
    prefix.put("a.csv")
    for _ in range(3):
        prefix.pass_over()
    prefix.recording.forget(["toy/a.csv"])
    parsed.clear()
    scan = prefix.scan()
    scan.go_on(Position(), 10)
    assert parsed
    assert scan.news == 1


def test_deleted_objects_are_found_by_the_pass_after_the_next(prefix: Prefix) -> None:
    prefix.put("a.csv", "b.csv", "c.csv")
    prefix.pass_over()
    prefix.client.delete_object(Bucket=prefix.bucket, Key="toy/b.csv")
    hunt = prefix.pass_over()
    assert hunt.hunt
    assert prefix.pass_over(hunt) == Position()
    assert prefix.recording.keys() == {"toy/a.csv", "toy/c.csv"}
    assert prefix.pass_over() == Position(), "it goes on hunting"


def test_an_object_that_the_listing_leaves_out_is_not_taken_for_deleted(prefix: Prefix) -> None:
    prefix.put("a.csv", "other.csv")
    prefix.pass_over()
    elsewhere = Scan(prefix.client, prefix.bucket, "toy/a", prefix.recording, prefix.memory)
    hunt = elsewhere.go_on(Position(), 10)
    assert hunt.hunt
    assert elsewhere.go_on(hunt, 10) == Position()
    assert prefix.recording.count() == 2
    assert elsewhere.go_on(Position(), 10) == Position(), "it goes on hunting in vain"


def test_a_pass_goes_on_when_the_object_it_stopped_at_is_deleted(prefix: Prefix) -> None:
    prefix.put(*(f"{number:04}.csv" for number in range(1500)))
    position = prefix.scan().go_on(Position(), 0.0)
    assert position.after
    for number in (998, 999, 1000):
        prefix.client.delete_object(Bucket=prefix.bucket, Key=f"toy/{number:04}.csv")
    while position.after:
        position = prefix.scan().go_on(position, 0.0)
    met = prefix.recording.keys()
    assert {f"toy/{number:04}.csv" for number in range(1500) if number not in (998, 999, 1000)} <= met
    prefix.pass_over(prefix.pass_over(position))
    assert prefix.recording.count() == 1497


def test_an_object_overwritten_between_listing_and_asking_is_recorded_as_it_is_now(
    prefix: Prefix, monkeypatch: pytest.MonkeyPatch
) -> None:
    prefix.put("a.csv", "b.csv")
    real = Scan._heads

    def overwrite_first(scan: Scan, keys: list[str]) -> Any:
        prefix.client.put_object(Bucket=prefix.bucket, Key="toy/a.csv", Body=b"later")
        prefix.client.delete_object(Bucket=prefix.bucket, Key="toy/b.csv")
        monkeypatch.setattr(Scan, "_heads", real)
        return real(scan, keys)

    monkeypatch.setattr(Scan, "_heads", overwrite_first)
    prefix.pass_over()
    now = prefix.client.head_object(Bucket=prefix.bucket, Key="toy/a.csv")
    assert prefix.recording.etags(["toy/a.csv", "toy/b.csv"]) == {"toy/a.csv": now["ETag"].strip('"')}
    scan = prefix.scan()
    scan.go_on(Position(), 10)
    assert (scan.news, prefix.recording.count()) == (0, 1)


def test_a_continuation_that_the_store_refuses_begins_the_pass_again(prefix: Prefix) -> None:
    prefix.put("a.csv")
    refused = []

    def stale(request: Any, **_: Any) -> None:
        if "continuation-token" in request.url:  # this store takes any; AWS answers 400 to a foreign one
            request.url += "&max-keys=-1"
            refused.append(request.url)

    prefix.client.meta.events.register("before-sign.s3.ListObjectsV2", stale)
    try:
        assert prefix.scan().go_on(Position(after="foreign", met=7), 10) == Position()
    finally:
        prefix.client.meta.events.unregister("before-sign.s3.ListObjectsV2", stale)
    assert len(refused) == 1
    assert prefix.recording.count() == 1


@pytest.mark.parametrize(
    "name",
    [
        "with space.csv",
        "plus+plus.csv",
        "per%20cent.csv",
        "a&b<c>'d.csv",
        "ünï-日本.csv",
        "deep/er/file.csv",
        "=,;:@.csv",
    ],
)
def test_keys_are_read_as_they_were_written(prefix: Prefix, name: str) -> None:
    prefix.put(name)
    prefix.pass_over()
    assert prefix.recording.keys() == {f"toy/{name}"}


def test_folder_markers_are_not_objects(prefix: Prefix) -> None:
    prefix.put("flights/", "flights/2013-01.csv", text="")
    prefix.pass_over()
    assert prefix.recording.keys() == {"toy/flights/2013-01.csv"}


def test_somebody_elses_listing_by_the_same_client_is_whole(prefix: Prefix) -> None:
    prefix.put("a.csv")
    list_page(prefix.client, prefix.bucket, "toy/", None)
    answer = prefix.client.list_objects_v2(Bucket=prefix.bucket, Prefix="toy/")
    assert [item["Key"] for item in answer["Contents"]] == ["toy/a.csv"]


def test_a_bucket_without_versions_tells_contents_apart(prefix: Prefix) -> None:
    bucket = f"plain-{secrets.token_hex(4)}"
    prefix.client.create_bucket(Bucket=bucket)
    prefix.bucket = bucket
    for text in ("one", "two"):
        prefix.put("flights/2013-01.csv", text=text)
        prefix.pass_over()
    with prefix.tables.engine.connect() as connection:
        rows = connection.exec_driver_sql(
            "select version_id, state from mlops.object_versions order by seq"
        ).all()
    assert [state for _, state in rows] == ["superseded", "seen"]
    assert all(version.startswith("etag:") for version, _ in rows)
