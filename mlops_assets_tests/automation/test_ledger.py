"""What assets ask of the ledger."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from mlops_assets.automation.ledger import VERSIONS_TAG, Ledger, version_id_of
from mlops_assets.automation.places import place
from mlops_assets.automation.recording import Recording, Seen
from mlops_assets.resources.tables import Tables, engine_for
from mlops_assets_tests.automation import toy

TOY = toy.project()
FLIGHTS = TOY.source("flights")
KEY = "toy/flights/2013-01.csv"


def _see(tables: Tables, version: str, etag: str, key: str = KEY) -> None:
    now = datetime.now(UTC)
    recording = Recording(tables.engine, "toy", lambda name: place(TOY, name, now))
    assert recording.record([Seen(key, version, etag, 1, now)]) == 1


def test_a_run_reads_the_version_it_was_asked_for_though_a_newer_is_there(tables: Tables) -> None:
    _see(tables, "v1", "a")
    _see(tables, "v2", "b")
    ledger = Ledger(tables)
    tags = {VERSIONS_TAG: f'{{"flights": ["{KEY}", "v1"]}}'}
    assert ledger.object_for(TOY, FLIGHTS, "2013-01", tags).version_id == "v1"
    assert ledger.object_for(TOY, FLIGHTS, "2013-01", {}).version_id == "v2"
    newest = ledger.newest(TOY, FLIGHTS, "2013-01")
    assert newest is not None
    assert newest.get_args == {"Key": KEY, "VersionId": "v2"}
    assert [version.version_id for version in ledger.pending(TOY)] == ["v2"]


def test_what_was_never_seen_is_said_so(tables: Tables) -> None:
    ledger = Ledger(tables)
    with pytest.raises(LookupError, match=r"has not seen toy/flights/2013-01\.csv\. Remedy: upload it"):
        ledger.object_for(TOY, FLIGHTS, "2013-01", {})
    _see(tables, "v1", "a")
    tags = {VERSIONS_TAG: f'{{"flights": ["{KEY}", "v9"]}}'}
    with pytest.raises(LookupError, match="version v9 of"):
        ledger.object_for(TOY, FLIGHTS, "2013-01", tags)
    assert ledger.newest(TOY, FLIGHTS, "2013-02") is None


def test_a_misnamed_object_is_never_what_an_asset_reads(tables: Tables) -> None:
    _see(tables, "v1", "a", "toy/planes/other.csv")
    assert Ledger(tables).newest(TOY, TOY.source("planes"), None) is None


def test_settled_versions_are_not_pending(tables: Tables) -> None:
    ledger = Ledger(tables)
    _see(tables, "v1", "a")
    ledger.mark_broken(ledger.pending(TOY)[0], "run-1", "line 2: no number")
    assert ledger.pending(TOY) == []
    _see(tables, "v2", "b")
    ledger.mark_handled(ledger.pending(TOY)[0], "run-2")
    assert ledger.pending(TOY) == []
    newest = ledger.newest(TOY, FLIGHTS, "2013-01")
    assert newest is not None
    assert newest.state == "handled"


def test_the_same_content_is_recorded_once_however_often_it_is_seen(tables: Tables) -> None:
    now = datetime.now(UTC)
    recording = Recording(tables.engine, "toy", lambda name: place(TOY, name, now))
    assert [recording.record([Seen(KEY, version, "a", 1, now)]) for version in ("v1", "v1", "v2")] == [
        1,
        0,
        0,
    ]
    assert [version.version_id for version in Ledger(tables).pending(TOY)] == ["v1"]
    assert recording.record([Seen(KEY, "v3", "b", 1, now)]) == 1


def test_a_store_without_versions_is_read_by_etag() -> None:
    assert version_id_of({"ETag": '"abc"'}) == "etag:abc"
    assert version_id_of({"ETag": '"abc"', "VersionId": "null"}) == "etag:abc"
    assert version_id_of({"ETag": '"abc"', "VersionId": "v1"}) == "v1"


def test_processes_that_start_together_make_the_tables_once(database_url: str) -> None:
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(8) as threads:
        engines = list(threads.map(engine_for.__wrapped__, [database_url] * 8))
    with engines[0].connect() as connection:
        count = "select count(*) from information_schema.tables where table_schema = 'mlops'"
        assert connection.exec_driver_sql(count).scalar_one() >= 4
    for engine in engines:
        engine.dispose()
