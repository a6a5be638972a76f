"""``mlops restore``: a backup takes the place of what databases and buckets hold.

Everything is verified first. Then the buckets, since objects that nothing names do no harm; then the
databases, each in one transaction, the platform's own last. With that one the restore is done, and until
then the platform does not work on what is half there.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from mlops_assets.platform.backup import databases, target
from mlops_assets.platform.backup.folder import Folder
from mlops_assets.platform.backup.put_back import PuttingBack
from mlops_assets.platform.backup.versions import Progress, rename_and_end, unfinished
from mlops_assets.platform.object_store import s3_client
from mlops_assets.platform.service import PlatformError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from mypy_boto3_s3 import S3Client

    from mlops_assets.platform import Progress as Starting
    from mlops_assets.platform.backup.manifest import Manifest
    from mlops_assets.platform.backup.take import Say
    from mlops_assets.settings import Settings

_AGAIN = "restore again: it goes on where it stopped."


def restore(
    settings: Settings, path: Path, say: Say, *, force: bool = False, starting: Starting | None = None
) -> Manifest:
    """Restore the backup in ``path``; what it says of itself. A restore that was interrupted goes on.

    ``force``: also where there is data. Then the databases are replaced; objects are only added, so that
    those which are newer than the backup are found by the sensor.

    Raises ``PlatformError``: the backup is incomplete or damaged, the platform runs, there is data, or a
    part does not answer.
    """
    folder = Folder(path)
    manifest = folder.manifest()
    urls = databases.urls(settings)
    folder.verify(manifest)
    say(f"the backup of {manifest.at} is whole")
    target.start_stores(settings, starting)
    tools = {name: _tools(manifest, name, url) for name, url in urls.items()}
    client = s3_client(settings, retries=5)
    with _explained(settings):
        target.require_alone(urls)
        goes_on = _permitted(settings, urls, client, folder, force=force)
        with Progress(urls["dagster"], folder.fingerprint()) as progress:
            progress.begin(anew=not goes_on)
            _put_objects(settings, folder, manifest, client, progress, say)
    for name in ("mlflow", "dagster"):
        after = rename_and_end() if name == "dagster" else ""
        databases.replace(urls[name], tools[name], path / manifest.databases[name].dump.name, after)
        say(f"database {name} is restored")
    return manifest


def _tools(manifest: Manifest, name: str, url: str) -> databases.Tools:
    """Tools that can read the dump, for a server that is not older than the one it was taken from."""
    dumped, server = manifest.databases[name], databases.server_version(url)
    if server < dumped.server:
        raise PlatformError(
            f"The server of database {name} has PostgreSQL {server}, and the backup is of {dumped.server}. "
            f"Restore to PostgreSQL {dumped.server} or newer."
        )
    return databases.tools_for(max(dumped.tools, server))


def _permitted(
    settings: Settings, urls: dict[str, str], client: S3Client, folder: Folder, *, force: bool
) -> bool:
    """Whether a restore of this backup was interrupted and goes on; ``PlatformError`` if it may not be."""
    begun = unfinished(urls["dagster"])
    if begun == folder.fingerprint():
        return True
    found = target.data_in(settings, urls, client)
    if begun is not None:
        found.append("half of another backup")
    if found and not force:
        raise PlatformError(
            f"There is data where the backup is to be restored to: {', '.join(found)}. With --force the "
            "databases are replaced, and the backup's objects are added; mlops reset deletes all of an "
            "embedded platform."
        )
    return False


def _put_objects(  # noqa: PLR0913 - the parts of a restore
    settings: Settings, folder: Folder, manifest: Manifest, client: S3Client, progress: Progress, say: Say
) -> None:
    names = {"raw": settings.raw_bucket, "lake": settings.lake_bucket}
    for which, name in names.items():
        putting = PuttingBack(client, name, folder, target.occupied(client, name))
        index = folder.index(manifest.buckets[which].index)
        written = putting.versions(index, progress) if which == "raw" else putting.newest(index)
        say(f"bucket {name}: {written:,} of {manifest.buckets[which].versions:,} versions were written")


@contextmanager
def _explained(settings: Settings) -> Iterator[None]:
    """Failures of the store as ``PlatformError``."""
    from boto3.exceptions import Boto3Error
    from botocore.exceptions import BotoCoreError, ClientError
    from psycopg2 import Error as DatabaseError

    try:
        yield
    except (Boto3Error, BotoCoreError, ClientError) as error:
        raise PlatformError(
            f"The object store at {settings.s3_url} does not take the backup: {error}. Mend that, then "
            f"{_AGAIN}"
        ) from error
    except DatabaseError as error:
        raise PlatformError(f"The database ended the restore: {error} Mend that, then {_AGAIN}") from error
