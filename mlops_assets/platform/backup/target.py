"""What is there where a backup is to be restored to: nothing, data, or half of a restore."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from mlops_assets import platform
from mlops_assets.platform import database, object_store
from mlops_assets.platform.backup.databases import query
from mlops_assets.platform.service import NotReadyError, PlatformError
from mlops_assets.platform.supervision import Supervisor

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

    from mlops_assets.platform import Progress
    from mlops_assets.settings import Settings

_TELLING = {
    "dagster": ("public.runs", "public.event_logs", "mlops.object_versions", "mlops.promotions"),
    "mlflow": ("public.runs", "public.registered_models"),
}
"""Tables that have rows as soon as a platform has done anything."""

_OTHERS = (
    "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() "
    "AND pid <> pg_backend_pid() AND backend_type = 'client backend'"
)
_LEAVING_SECONDS = 2.0


def start_stores(settings: Settings, progress: Progress | None) -> None:
    """Have database and object store answer, and nothing else run that would write to them.

    Embedded ones are started. Raises ``PlatformError``.
    """
    stores = [object_store.service(settings), *database.services(settings)]
    names = {store.name for store in stores}
    # A container has neither sockets nor the supervisor's package.
    running = Supervisor(settings).processes() if settings.sockets.exists() else {}
    if others := sorted(name for name, process in running.items() if process.alive and name not in names):
        raise PlatformError(f"The platform runs ({', '.join(others)}). Stop it (mlops down), then try again.")
    if not all(store.outside for store in stores):
        platform.up(settings, names, progress)
        return
    for store in stores:
        try:
            store.probe()
        except NotReadyError as error:
            raise PlatformError(f"The outside {store.name} is not usable: {error}") from None


def require_alone(urls: dict[str, str]) -> None:
    """Raise ``PlatformError`` while anybody else is connected to the databases."""
    deadline = time.monotonic() + _LEAVING_SECONDS
    for name, url in urls.items():
        while others := query(url, _OTHERS)[0][0]:
            if time.monotonic() > deadline:
                raise PlatformError(
                    f"{others} others are connected to the database {name}. Stop what uses it (daemon, "
                    "webserver, code location, registry, metrics), then try again."
                )
            time.sleep(0.1)


def data_in(settings: Settings, urls: dict[str, str], client: S3Client) -> list[str]:
    """What a restore would take the place of, as words; empty for a platform that has done nothing."""
    found = []
    for name, url in urls.items():
        for table in _TELLING[name]:
            there = query(url, f"SELECT to_regclass('{table}')")[0][0]
            rows = there and query(url, f"SELECT 1 FROM {table} LIMIT 1")  # noqa: S608 - a name from above
            found += [f"table {table.removeprefix('public.')} of database {name}"] if rows else []
    found += [f"bucket {one}" for one in (settings.raw_bucket, settings.lake_bucket) if occupied(client, one)]
    return found


def occupied(client: S3Client, bucket: str) -> bool:
    """Whether anything is in the bucket, or was and has left versions."""
    if client.list_objects_v2(Bucket=bucket, MaxKeys=1).get("Contents"):
        return True
    found = client.list_object_versions(Bucket=bucket, MaxKeys=1)
    return bool(found.get("Versions") or found.get("DeleteMarkers"))
