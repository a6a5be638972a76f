"""Parts that somebody else runs: not started, but checked, and shown as outside."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from mlops_assets import platform
from mlops_assets.platform import orphans, services
from mlops_assets.platform.service import PlatformError
from mlops_assets.platform.supervision import Supervisor

if TYPE_CHECKING:
    from collections.abc import Callable

    from mlops_assets.settings import Settings
    from mlops_assets_tests.services import ObjectStore

PARTS = ("object-store", "database", "registry")
MakeSettings = "Callable[..., Settings]"


def _store(object_store: ObjectStore, buckets: tuple[str, str]) -> dict[str, str]:
    return {
        "s3_endpoint_url": object_store.endpoint_url,
        "s3_access_key_id": object_store.access_key,
        "s3_secret_access_key": object_store.secret_key,
        "raw_bucket": buckets[0],
        "lake_bucket": buckets[1],
    }


def test_outside_parts_are_used_and_not_started(
    make_settings: Callable[..., Settings],
    object_store: ObjectStore,
    buckets: tuple[str, str],
    database_url: str,
    mlflow_server: str,
) -> None:
    settings = make_settings(
        **_store(object_store, buckets), database_url=database_url, mlflow_uri=mlflow_server
    )
    platform.up(settings, PARTS)
    assert not any(process.alive for process in Supervisor(settings).processes().values())
    rows = {row.name: row for row in platform.status(settings, PARTS)}
    assert {name: row.state for name, row in rows.items()} == {
        "object-store": "outside",
        "database-dagster": "outside",
        "registry": "outside",
    }
    assert rows["registry"].address == mlflow_server
    assert all(row.pid is None for row in rows.values())


def test_an_outside_registry_needs_no_database_of_its_own(make_settings: Callable[..., Settings]) -> None:
    settings = make_settings(mlflow_uri="http://127.0.0.1:1", database_url="postgresql://me@127.0.0.1:1/mine")
    names = [service.name for service in services.describe(settings)]
    assert "database" not in names
    assert "database-mlflow" not in names


def test_what_is_not_reachable_is_named_before_anything_starts_to_depend_on_it(
    make_settings: Callable[..., Settings],
) -> None:
    settings = make_settings(database_url="postgresql://me:very-secret@127.0.0.1:1/mine")
    with pytest.raises(PlatformError) as error:
        platform.up(settings, {"database"})
    assert "database-dagster" in str(error.value)
    assert "very-secret" not in str(error.value)
    row = next(row for row in platform.status(settings, ["database"]) if row.name == "database-dagster")
    assert row.state == "unreachable"


def test_a_raw_bucket_without_versions_is_refused(
    make_settings: Callable[..., Settings], object_store: ObjectStore, buckets: tuple[str, str]
) -> None:
    raw, lake = buckets
    settings = make_settings(**_store(object_store, (lake, raw)))
    with pytest.raises(PlatformError, match="put-bucket-versioning"):
        platform.up(settings, {"object-store"})


def test_a_missing_bucket_is_named(
    make_settings: Callable[..., Settings], object_store: ObjectStore, buckets: tuple[str, str]
) -> None:
    settings = make_settings(**_store(object_store, (buckets[0], "nowhere")))
    with pytest.raises(PlatformError, match="no bucket nowhere"):
        platform.up(settings, {"object-store"})


def test_no_such_service(make_settings: Callable[..., Settings]) -> None:
    settings = make_settings()
    with pytest.raises(PlatformError, match=r"no service nonsense, but .*registry"):
        platform.up(settings, {"nonsense"})
    assert orphans.platform(settings.state).processes() == []
