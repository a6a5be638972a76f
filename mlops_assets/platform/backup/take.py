"""``mlops backup``: what the databases hold at one moment, then what is in the buckets.

The platform may run meanwhile. Both databases are seen as of the same moment, between two promotions, as
if the power had failed then; the buckets are copied afterwards, so that whatever the databases name is
there. What a run adds later is in the backup as well, and is done again by the platform that is restored.
"""

from __future__ import annotations

import datetime as dt
from contextlib import ExitStack, contextmanager
from importlib.metadata import version
from typing import TYPE_CHECKING

from mlops_assets.platform.backup import databases
from mlops_assets.platform.backup.folder import Folder
from mlops_assets.platform.backup.manifest import FORMAT, Database, Manifest
from mlops_assets.platform.backup.objects import Copying
from mlops_assets.platform.object_store import s3_client
from mlops_assets.platform.service import PlatformError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path
    from typing import Any

    from mlops_assets.settings import Settings

    Say = Callable[[str], None]


def backup(settings: Settings, path: Path, say: Say) -> Manifest:
    """Write a backup into the new folder ``path``; what it says of itself.

    Raises ``PlatformError`` when a part does not answer, a tool is missing or the disk is full: then
    nothing is left of it. After a kill the folder is left without its manifest, which no restore takes.
    """
    urls = databases.urls(settings)
    tools = {name: databases.tools_for(databases.server_version(url)) for name, url in urls.items()}
    folder = Folder(path)
    with _explained(settings, path):
        folder.begin()
    try:
        with _explained(settings, path):
            return _write(settings, folder, urls, tools, say)
    except BaseException:
        folder.clear()
        raise


def _write(
    settings: Settings, folder: Folder, urls: dict[str, str], tools: dict[str, databases.Tools], say: Say
) -> Manifest:
    dumped = {}
    with ExitStack() as stack:
        seen = _at_one_moment(settings, urls, stack)
        at = dt.datetime.now(dt.UTC)
        ledger = _newest(seen["dagster"][0])
        for name, url in urls.items():
            file = f"{name}.dump"
            databases.dump(url, tools[name], seen[name][1], folder.path / file)
            server = databases.server_version(url)
            dumped[name] = Database(folder.file(file), server, tools[name].version)
            say(f"database {name}: {dumped[name].dump.bytes:,} bytes")
    client = s3_client(settings, retries=5)
    copies = {
        "raw": Copying(client, settings.raw_bucket, folder, versions=True, ledger=ledger),
        "lake": Copying(client, settings.lake_bucket, folder),
    }
    buckets = {}
    for name, copy in copies.items():
        buckets[name] = copied = copy(f"{name}.jsonl")
        say(
            f"bucket {copied.name}: {copied.objects:,} objects, {copied.versions:,} versions, "
            f"{copied.bytes:,} bytes"
        )
        if copied.lost:
            say(f"bucket {copied.name} lacks {copied.lost:,} versions that the ledger takes to be there")
    manifest = Manifest(FORMAT, version("mlops-assets"), at.isoformat(), dumped, buckets)
    folder.finish(manifest)
    return manifest


def _at_one_moment(settings: Settings, urls: dict[str, str], stack: ExitStack) -> dict[str, tuple[Any, str]]:
    """A snapshot of each database, taken while no project's alias can move.

    Else one could know of a promotion that the other does not.
    """
    from mlops_assets.catalog import PROJECTS
    from mlops_assets.platform.rollback import promotion_log

    log = promotion_log(settings)
    with ExitStack() as held:
        for project in PROJECTS:
            held.enter_context(log.locked(project.name))
        return {name: stack.enter_context(databases.snapshot(url)) for name, url in urls.items()}


def _newest(connection: Any) -> dict[str, str | None]:
    """Key -> version id of the newest object version that the ledger has; None if the object is gone."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT key, max(version_id) FILTER (WHERE current) FROM mlops.object_versions GROUP BY key"
        )
        return dict(cursor.fetchall())


@contextmanager
def _explained(settings: Settings, path: Path) -> Iterator[None]:
    """Failures of store and disk as ``PlatformError``."""
    from botocore.exceptions import BotoCoreError, ClientError
    from psycopg2 import Error as DatabaseError

    try:
        yield
    except (BotoCoreError, ClientError) as error:
        raise PlatformError(
            f"The object store at {settings.s3_url} does not answer as it should: {error}. Is it up "
            "(mlops status)? Nothing is kept of this backup."
        ) from error
    except DatabaseError as error:
        raise PlatformError(f"The database ended the backup: {error} Nothing is kept of it.") from error
    except OSError as error:
        raise PlatformError(f"{path} cannot be written: {error}. Nothing is kept of this backup.") from error
