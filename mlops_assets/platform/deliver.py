"""``mlops upload``: files into the raw bucket, each under the name that its project expects."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from mlops_assets.platform.object_store import s3_client

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mlops_assets.project import Project
    from mlops_assets.settings import Settings


class DeliveryError(ValueError):
    """A file that is not uploaded; the message says why, and the remedy."""


@dataclass(frozen=True)
class Delivered:
    """One uploaded file: where it is now, and as which version."""

    file: Path
    bucket: str
    key: str
    version: str


def keys_for(
    project: Project, files: Sequence[Path], source: str | None = None, key: str | None = None
) -> dict[Path, str]:
    """The key in the raw bucket of each file. ``key`` (below the project's prefix) forces that of one.

    Raises ``DeliveryError`` for a missing file, and for one that fits no source, or several.
    """
    for file in files:
        if not file.is_file():
            raise DeliveryError(f"There is no file {file}.")
    if key is not None:
        if len(files) != 1:
            raise DeliveryError(f"--key names one object, but {len(files)} files are given.")
        return {files[0]: f"{project.name}/{key.removeprefix(f'{project.name}/')}"}
    found = {file: _key_for(project, file, source) for file in files}
    if len(set(found.values())) < len(files):
        raise DeliveryError(f"Two of the files would become the same object: {sorted(found.values())}")
    return found


def _key_for(project: Project, file: Path, source: str | None) -> str:
    from mlops_assets.automation.places import place

    now = datetime.now(UTC)
    candidates = _candidates(project, file, source)
    reasons = {key: place(project, key, now).reason for key in candidates}
    fitting = [key for key, reason in reasons.items() if reason is None]
    if len(fitting) == 1:
        return fitting[0]
    if fitting:
        raise DeliveryError(
            f"{file} could be {' or '.join(fitting)}. Say which with --source, or put it into a folder "
            "of the source's name."
        )
    why = next((reason for reason in reasons.values() if reason), "")
    raise DeliveryError(
        f"{file} fits no source of {project.name} ({_expected(project)}): {why} "
        "--source says which source it is of; --key uploads it under any name."
    )


def _candidates(project: Project, file: Path, source: str | None) -> list[str]:
    """The keys that ``file`` could have: by the end of its path, else in each source's folder."""
    sources = project.sources
    if source is None:
        parts = file.resolve().parts
        ends = (f"{project.name}/{'/'.join(parts[-n:])}" for n in range(1, min(len(parts), 8)))
        by_path = [
            key for key in ends if any(s.match(project.name, key) is not None for s in project.sources)
        ]
        if by_path:
            return by_path
    names = [s.name for s in sources]
    if source is not None and source not in names:
        raise DeliveryError(f"{project.name} has no source {source!r}; it has {', '.join(names)}.")
    folders = [PurePosixPath(s.pattern).parent for s in sources if source in {None, s.name}]
    return [f"{project.name}/{folder / file.name}" for folder in folders]


def _expected(project: Project) -> str:
    return ", ".join(source.pattern for source in project.sources)


def deliver(settings: Settings, keys: dict[Path, str]) -> list[Delivered]:
    """Upload each file under its key. Raises ``DeliveryError`` when the object store does not take it."""
    from boto3.exceptions import Boto3Error
    from botocore.exceptions import BotoCoreError, ClientError

    client = s3_client(settings)
    done = []
    for file, key in keys.items():
        try:
            client.upload_file(str(file), settings.raw_bucket, key)
            version = client.head_object(Bucket=settings.raw_bucket, Key=key).get("VersionId", "")
        except (Boto3Error, BotoCoreError, ClientError) as error:
            raise DeliveryError(
                f"{settings.s3_url} does not take {key}: {error} Is the platform up (mlops status)?"
            ) from error
        done.append(Delivered(file, settings.raw_bucket, key, version))
    return done
