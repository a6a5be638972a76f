"""The history that is played: features by partition, from the sample, a folder of objects, or the lake."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    import pandas as pd
    from dagster import DagsterInstance
    from mypy_boto3_s3 import S3Client

    from mlops_assets.project import Project
    from mlops_assets.settings import Settings

SAMPLED = "flight_delays"
"""The project that ``sample_data`` has a year of."""

Tell = Callable[[str], None]
"""Is told in a few words what is done now."""


class ReplayError(RuntimeError):
    """The replay cannot be done; the message says why and what to do."""


@dataclass(frozen=True)
class History:
    """Features by partition, oldest first, labels included; ``content`` tells each one's rows apart."""

    frames: Mapping[str, pd.DataFrame]
    content: Mapping[str, str]

    @property
    def partitions(self) -> tuple[str, ...]:
        return tuple(sorted(self.frames))

    def until(self, last: str | None = None, count: int | None = None) -> History:
        """The partitions up to ``last``, and at most the first ``count``. ``ReplayError`` for none."""
        kept = [p for p in self.partitions if last is None or p <= last][:count]
        if not kept:
            raise ReplayError(f"no partition is left up to {last}: there are {', '.join(self.partitions)}")
        return History({p: self.frames[p] for p in kept}, {p: self.content[p] for p in kept})


def of_frames(frames: Mapping[str, pd.DataFrame]) -> History:
    """The history of ``frames`` (partition -> features); contents hash as the lake's do."""
    from mlops_assets.resources.lake import frame_hash

    ordered = dict(sorted(frames.items()))
    return History(ordered, {name: frame_hash(frame) for name, frame in ordered.items()})


def load(project: Project, settings: Settings, data: Path | None, tell: Tell) -> History:
    """From ``data``, a folder of raw objects; else the sample, where there is one; else the lake.

    Raises ``ReplayError`` where there is nothing to play, and ``ContractError`` for a broken object.
    """
    if data is not None:
        return from_objects(project, folder_objects(data), tell)
    if project.name == SAMPLED:
        return from_objects(project, sample_objects(), tell)
    return from_lake(project, settings, tell)


def sample_objects() -> dict[str, bytes]:
    """The sample's raw objects by name below the project's prefix."""
    from mlops_assets.sample_data import MONTHS, month_objects, planes_object

    return planes_object() | {name: data for month in MONTHS for name, data in month_objects(month).items()}


def folder_objects(folder: Path) -> dict[str, bytes]:
    """The files below ``folder`` by their path below it. ``ReplayError`` if it is no folder."""
    if not folder.is_dir():
        raise ReplayError(f"{folder} is no folder: name one that holds files such as flights/2013-01.csv")
    return {str(f.relative_to(folder)): f.read_bytes() for f in sorted(folder.rglob("*")) if f.is_file()}


def from_objects(project: Project, objects: Mapping[str, bytes], tell: Tell) -> History:
    """Raw objects (name -> bytes) read by their contracts and made features of, as the lifecycle does.

    A partition that lacks a source's object is left out. Raises ``ContractError`` for a broken object.
    """
    raw: dict[str, dict[str, pd.DataFrame]] = {}
    shared: dict[str, pd.DataFrame] = {}
    for name, frame, partition in _read(project, objects):
        if partition:
            raw.setdefault(partition, {})[name] = frame
        else:
            shared[name] = frame
    wanted = {source.name for source in project.sources}
    frames = {}
    for partition, found in sorted(raw.items()):
        if wanted <= set(found) | set(shared):
            tell(f"features of {partition}")
            frames[partition] = project.features.build({**shared, **found})
    if not frames:
        patterns = ", ".join(source.pattern for source in project.sources)
        raise ReplayError(f"no partition has an object of each source: {project.name} reads {patterns}")
    return of_frames(frames)


def _read(project: Project, objects: Mapping[str, bytes]) -> Iterable[tuple[str, pd.DataFrame, str]]:
    from mlops_assets.contracts import read_object

    for name, data in objects.items():
        for source in project.sources:
            key = f"{project.name}/{name}"
            partition = source.match(project.name, key)
            if partition is not None:
                frame = read_object(data, source.contract, key=key, partition=partition or None)
                yield source.name, frame, partition


def from_lake(project: Project, settings: Settings, tell: Tell) -> History:
    """The partitions of features that the platform has made. ``ReplayError`` if there is none."""
    from mlops_assets.platform.object_store import s3_client
    from mlops_assets.platform.rollback import platform_instance

    with platform_instance(settings) as instance:
        return read_lake(project, instance, s3_client(settings), settings.lake_bucket, tell)


def read_lake(
    project: Project, instance: DagsterInstance, client: S3Client, bucket: str, tell: Tell
) -> History:
    """The last features of each partition that ``instance`` knows of, read from the lake's ``bucket``."""
    import io

    import pandas as pd

    from mlops_assets.lifecycle.describe import asset_key
    from mlops_assets.lifecycle.lineage import latest

    key = asset_key(project, "features")
    frames, content = {}, {}
    for partition in sorted(instance.get_materialized_partitions(key)):
        tell(f"features of {partition}")
        made = latest(instance, key, partition)
        stored = client.get_object(Bucket=bucket, Key=made.lake_key)["Body"].read()
        frames[partition], content[partition] = pd.read_parquet(io.BytesIO(stored)), made.content
    if not frames:
        raise ReplayError(f"{project.name} has no features yet: upload its data, or name a folder by --data")
    return History(frames, content)
