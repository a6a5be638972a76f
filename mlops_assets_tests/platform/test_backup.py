"""``mlops backup`` and ``mlops restore`` on outside services: what comes back, and what is refused."""

from __future__ import annotations

import json
import resource
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest

from mlops_assets.automation.ledger import VERSIONS_TAG, Ledger
from mlops_assets.platform import database
from mlops_assets.platform.backup import backup, restore
from mlops_assets.platform.backup.databases import tools_for
from mlops_assets.platform.backup.put_back import PuttingBack
from mlops_assets.platform.rollback import promotion_log
from mlops_assets.platform.service import PlatformError
from mlops_assets.trace.facts import _readers
from mlops_assets_tests.platform.places import Place

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from mlops_assets.settings import Settings
    from mlops_assets_tests.automation.world import World
    from mlops_assets_tests.services import ObjectStore, PostgresServer

BIG = bytes(9_000_000)
"""More than boto3 uploads in one piece."""

_LAKE = {"toy/features/2013-01/ü +%.parquet": b"rows", "mlflow/1/models/m-1/artifacts/model.onnx": BIG}


def silent(_: str) -> None:
    pass


@pytest.fixture(scope="module")
def make_place(
    tmp_path_factory: pytest.TempPathFactory, postgres_server: PostgresServer, object_store: ObjectStore
) -> Callable[..., Place]:
    def make(old: bytes = b"") -> Place:
        return Place(tmp_path_factory.mktemp("place") / "it", postgres_server, object_store, old)

    return make


@pytest.fixture(scope="module")
def empty(make_place: Callable[..., Place]) -> Place:
    """Where tests try to restore to, and are refused."""
    return make_place()


@pytest.fixture(scope="module")
def first(make_place: Callable[..., Place]) -> Place:
    """Objects that were read, overwritten, deleted, and one that is asked for and not read yet."""
    place = make_place(old=b"x\n0\n")
    world = place.world()
    world.put("flights/2013-01.csv", "x\n1\n")
    world.put("weather/2013-01.csv", "x\n1\n")
    world.put("weather/2013-02.csv", "x\n2\n")
    world.settle()
    world.put("flights/2013-01.csv", "x\n11\n")
    world.put("planes/planes.csv", "x\n00\n")
    world.delete("weather/2013-02.csv")
    world.put("flights.csv", "the folder's name, and more")  # SeaweedFS loses such between pages
    world.settle()
    world.put("flights/2013-03.csv", "x\n3\n")
    asked = world.evaluate().run_requests  # the answer never reaches Dagster
    assert asked
    assert len(asked) == 1
    for key, data in _LAKE.items():
        place.client.put_object(
            Bucket=place.buckets[1], Key=key, Body=data, ContentType="a/b", Metadata={"of": "toy"}
        )
    database.execute(place.settings.mlflow_database, "CREATE TABLE registered_models AS SELECT 'toy' AS name")
    place.leave(world)
    return place


@pytest.fixture(scope="module")
def taken(first: Place, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("backups") / "one"
    backup(first.settings, folder, silent)
    return folder


def ids(place: Place) -> dict[tuple[str, str], str]:
    """(key, state) -> version id, of the ledger's current versions."""
    query = "SELECT key, state, version_id FROM mlops.object_versions WHERE current"
    return {(key, state): v for key, state, v in database.execute(place.settings.dagster_database, query)}


def read_as(place: Place, world: World, version_id: str) -> bytes:
    """What a run reads that was asked for ``version_id`` of planes.csv."""
    tags = {VERSIONS_TAG: json.dumps({"planes": ["toy/planes/planes.csv", version_id]})}
    seen = Ledger(place.tables).object_for(world.project, world.project.source("planes"), None, tags)
    answer = place.client.get_object(Bucket=place.raw, **seen.get_args)  # type: ignore[arg-type]
    return answer["Body"].read()


def test_what_was_read_is_not_read_again_and_what_was_not_is(
    first: Place, taken: Path, make_place: Callable[..., Place], tmp_path: Path
) -> None:
    second = make_place()
    restore(second.settings, taken, silent)
    assert second.versions() == first.versions()
    assert b"x\n0\n" in second.versions()["toy/planes/planes.csv"], "the one without a version"
    for key, data in _LAKE.items():
        found = second.client.get_object(Bucket=second.buckets[1], Key=key)
        assert found["Body"].read() == data
        assert (found["ContentType"], found["Metadata"]) == ("a/b", {"of": "toy"})
    assert database.execute(second.settings.mlflow_database, "SELECT name FROM registered_models") == [
        ("toy",)
    ]
    before, after = ids(first), ids(second)
    assert before.keys() == after.keys()
    assert not set(before.values()) & set(after.values()), "each copy has an id of its own"

    world = second.world()
    asked = world.settle()
    assert [request.run_key for request in asked] == [world.asked()[-1].run_key]
    assert world.materialized("raw", "flights") == [
        ("2013-01", "x\n1\n"),
        ("2013-01", "x\n11\n"),
        ("2013-03", "x\n3\n"),
    ]
    world.put("weather/2013-03.csv", "x\n3\n")
    world.settle()
    assert world.materialized("features")[-1][0] == "2013-03"
    planes = before["toy/planes/planes.csv", "handled"]
    assert read_as(second, world, planes) == b"x\n00\n", "a run that was asked for before"

    # A backup of what was restored: the first ids still lead to the objects.
    second.leave(world)
    backup(second.settings, tmp_path / "two", silent)
    third = make_place()
    restore(third.settings, tmp_path / "two", silent)
    world = third.world()
    assert world.settle() == []
    assert read_as(third, world, planes) == b"x\n00\n"
    later = after["toy/planes/planes.csv", "handled"]
    assert read_as(third, world, later) == b"x\n00\n"
    told = {name: {"key": "toy/planes/planes.csv", "version_id": name} for name in (planes, later)}
    readers, restored = _readers(
        third.settings, world.project, {"partitions": [], "held_out": {"objects": told}}
    )
    assert len(set(restored.values())) == 1
    assert len(set(readers.values()) - {""}) == len(readers) - 1 == 1
    third.leave(world)


def test_where_there_is_data_only_force_restores_and_objects_stay(
    taken: Path, make_place: Callable[..., Place], tmp_path: Path
) -> None:
    place = make_place()
    restore(place.settings, taken, silent)
    world = place.world()
    world.settle()
    world.put("weather/2013-03.csv", "x\n33\n")
    world.settle()
    place.leave(world)
    before, runs = place.versions(), ids(place)
    with pytest.raises(PlatformError, match=r"data .* table runs of database dagster.*bucket raw-.*--force"):
        restore(place.settings, taken, silent)
    assert (place.versions(), ids(place)) == (before, runs)

    backup(place.settings, tmp_path / "later", silent)
    place.leave()
    said: list[str] = []
    restore(place.settings, tmp_path / "later", said.append, force=True)
    assert f"bucket {place.raw}: 0 of 10 versions were written" in said
    assert place.versions() == before
    assert ids(place) == runs, "versions that are still there keep their ids"


def test_a_restore_that_is_interrupted_goes_on_and_nothing_works_on_half_of_it(
    first: Place, taken: Path, make_place: Callable[..., Place], monkeypatch: pytest.MonkeyPatch
) -> None:
    place, put, puts = make_place(), PuttingBack._put, []

    def put_some(self: PuttingBack, one: Any) -> Any:
        puts.append(one)
        if len(puts) > 4:
            raise KeyboardInterrupt
        return put(self, one)

    with monkeypatch.context() as patch:
        patch.setattr(PuttingBack, "_put", put_some)
        with pytest.raises(KeyboardInterrupt):
            restore(place.settings, taken, silent)
    with pytest.raises(PlatformError, match="has not ended"):
        place.tables.engine.connect()
    with pytest.raises(PlatformError, match="has not ended"):
        backup(place.settings, taken.with_name("half"), silent)
    restore(place.settings, taken, silent)
    assert place.versions() == first.versions()
    world = place.world()
    assert len(world.settle()) == 1
    place.leave(world)


@contextmanager
def spoilt(file: Path, data: bytes) -> Iterator[None]:
    kept = file.read_bytes()
    file.write_bytes(data)
    yield
    file.write_bytes(kept)


def test_a_damaged_file_is_named_and_nothing_is_restored(taken: Path, empty: Place) -> None:
    place = empty
    model = next(
        file for file in (taken / "objects").rglob("*") if file.is_file() and file.stat().st_size > 99
    )
    for file in (taken / "mlflow.dump", taken / "raw.jsonl", model):
        data = bytearray(file.read_bytes())
        data[len(data) // 2] ^= 1
        with spoilt(file, bytes(data)), pytest.raises(PlatformError, match=f"{file} is damaged"):
            restore(place.settings, taken, silent)
    with (
        spoilt(taken / "manifest.json", b"{}"),
        pytest.raises(PlatformError, match=r"manifest.json is damaged"),
    ):
        restore(place.settings, taken, silent)
    manifest = json.loads((taken / "manifest.json").read_bytes()) | {"format": 2}
    with (
        spoilt(taken / "manifest.json", json.dumps(manifest).encode()),
        pytest.raises(PlatformError, match=r"has format 2; this release reads 1"),
    ):
        restore(place.settings, taken, silent)
    assert place.client.list_object_versions(Bucket=place.raw).get("Versions", []) == []
    assert (
        database.execute(
            place.settings.dagster_database, "SELECT * FROM pg_tables WHERE schemaname !~ '^(pg_|info)'"
        )
        == []
    )


def test_a_platform_in_use_is_not_restored_to(taken: Path, empty: Place) -> None:
    with empty.tables.engine.connect(), pytest.raises(PlatformError, match="1 others are connected"):
        restore(empty.settings, taken, silent)
    empty.leave()


def test_a_full_disk_leaves_nothing(first: Place, tmp_path: Path) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (len(BIG) // 2, hard))  # no file may be larger
    try:
        with pytest.raises(PlatformError, match=r"cannot be written: .*Nothing is kept"):
            backup(first.settings, tmp_path / "full", silent)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert list((tmp_path / "full").iterdir()) == []


def test_what_does_not_answer_is_named(first: Place, tmp_path: Path) -> None:
    for change, says in (
        ({"database_url": "postgresql://127.0.0.1:1/gone"}, "database does not answer"),
        ({"s3_endpoint_url": "http://127.0.0.1:1"}, "object store at http://127.0.0.1:1 does not answer"),
        ({"mlflow_database_url": None, "mlflow_uri": "http://127.0.0.1:1"}, "Set MLOPS_MLFLOW_DATABASE_URL"),
    ):
        kept = first.settings.model_dump() | change
        with pytest.raises(PlatformError, match=says):
            backup(type(first.settings)(_env_file=None, **kept), tmp_path / "gone", silent)
    assert not (tmp_path / "gone").exists() or list((tmp_path / "gone").iterdir()) == []
    with pytest.raises(PlatformError, match="PostgreSQL 99"):
        tools_for(99)


def test_a_promotion_is_in_both_databases_or_in_none(
    first: Place, tmp_path: Path, make_place: Callable[..., Place]
) -> None:
    """The backup waits for a promotion that is under way; killed meanwhile, it is none."""
    log = promotion_log(first.settings)
    with log.locked("flight_delays") as connection:
        killed = _command(first.settings, "backup", tmp_path / "killed")
        while not (tmp_path / "killed" / "unfinished").exists():
            assert killed.poll() is None
            time.sleep(0.05)
        killed.send_signal(signal.SIGKILL)
        killed.wait()
        with pytest.raises(PlatformError, match="it was interrupted"):
            restore(first.settings, tmp_path / "killed", silent)
        with ThreadPoolExecutor(1) as threads:
            going_on = threads.submit(backup, first.settings, tmp_path / "killed", silent)
            while not database.execute(first.settings.dagster_database, _WAITING):
                assert not going_on.done()
                time.sleep(0.01)
            log.append(
                connection, {"project": "flight_delays", "version": "7", "kind": "promotion", "evidence": {}}
            )
            database.execute(first.settings.mlflow_database, "UPDATE registered_models SET name = 'seven'")
            connection.commit()
            going_on.result()
    first.leave()
    with pytest.raises(PlatformError, match="holds a backup already"):
        backup(first.settings, tmp_path / "killed", silent)
    place = make_place()
    restore(place.settings, tmp_path / "killed", silent)
    assert [entry.version for entry in promotion_log(place.settings).entries("flight_delays")] == ["7"]
    assert database.execute(place.settings.mlflow_database, "SELECT name FROM registered_models") == [
        ("seven",)
    ]
    place.leave()


_WAITING = "SELECT 1 FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"


def _command(settings: Settings, *arguments: object) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "mlops_assets.cli", *map(str, arguments)]
    return subprocess.Popen(command, env={"PATH": "/usr/bin:/bin", **settings.environment()})
