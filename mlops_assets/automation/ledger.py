"""The ledger as assets use it: which object version to read, and what became of it.

A row is an object version. It is ``seen`` first and ends ``handled`` (its partition was
materialized from it), ``broken`` (it breaks its contract), ``superseded`` or ``deleted`` (a newer
version, or none, took its place before it was read); or it is ``unplaced`` (its name fits no
partition). Versions are told apart by what the store calls them, never by time.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

import sqlalchemy as sa

from mlops_assets.automation.features_due import mark_stale
from mlops_assets.resources.tables import object_versions, restored_versions

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from mlops_assets.project import Project, Source
    from mlops_assets.resources.tables import Tables

VERSIONS_TAG = "mlops/object_versions"
"""Run tag: JSON ``{source: [key, version id]}``, the object versions that the run reads."""

_UNVERSIONED = "etag:"
_V = object_versions.c
_ROW = (_V.seq, _V.project, _V.source, _V.partition, _V.key, _V.version_id, _V.etag, _V.bytes, _V.state)


@dataclass(frozen=True)
class ObjectVersion:
    """A row of the ledger. ``partition`` is "" for a source without partitions."""

    seq: int
    project: str
    source: str
    partition: str
    key: str
    version_id: str
    etag: str
    bytes: int
    state: str

    @property
    def get_args(self) -> dict[str, str]:
        """Arguments of ``get_object`` (besides ``Bucket``) that read exactly this version.

        In a bucket without versioning the store refuses (412) once the object was overwritten.
        """
        if self.version_id.startswith(_UNVERSIONED):
            return {"Key": self.key, "IfMatch": self.etag}
        return {"Key": self.key, "VersionId": self.version_id}


def _called_now(key: str, version_id: str) -> sa.ColumnElement[str]:
    """The version's id: another one than the run was told, if it was restored from a backup meanwhile."""
    r = restored_versions.c
    restored = sa.select(r.restored_as).where(r.key == key, r.version_id == version_id).scalar_subquery()
    return sa.func.coalesce(restored, version_id)


def version_id_of(head: Mapping[str, Any]) -> str:
    """What tells the version apart that a HEAD or GET of the store answered with."""
    version = str(head.get("VersionId") or "null")
    return _UNVERSIONED + str(head["ETag"]).strip('"') if version == "null" else version


class Ledger:
    """The ledger of all projects. Each method is one transaction."""

    def __init__(self, tables: Tables) -> None:
        self._engine = tables.engine

    def object_for(
        self, project: Project, source: Source, partition: str | None, tags: Mapping[str, str]
    ) -> ObjectVersion:
        """The object version that a run with ``tags`` reads: the one it was requested for, or the newest.

        Raises ``LookupError`` when the sensor has seen none.
        """
        named = json.loads(tags.get(VERSIONS_TAG, "{}")).get(source.name)
        where = [_V.key == named[0], _V.version_id == _called_now(*named)] if named else [_V.current]
        found = self._find(project.name, source.name, partition or "", *where)
        if found is None:
            what = f"version {named[1]} of {named[0]}" if named else source.key(project.name, partition)
            raise LookupError(
                f"the sensor {project.name}_s3 has not seen {what}. "
                "Remedy: upload it to the raw bucket, and see that the sensor is running."
            )
        return found

    def newest(self, project: Project, source: Source, partition: str | None) -> ObjectVersion | None:
        """The newest version that is in the store, as far as the sensor has seen; None if there is none."""
        return self._find(project.name, source.name, partition or "", _V.current)

    def pending(self, project: Project) -> list[ObjectVersion]:
        """The versions that are to be read yet, oldest first."""
        query = (
            sa.select(*_ROW)
            .where(_V.project == project.name, _V.state == "seen", _V.current)
            .order_by(_V.seq)
        )
        with self._engine.connect() as connection:
            return [ObjectVersion(*row) for row in connection.execute(query)]

    def mark_handled(self, version: ObjectVersion, run_id: str) -> None:
        """Note that ``version`` was materialized by the run."""
        self._settle(version, run_id, "handled", None)

    def mark_broken(self, version: ObjectVersion, run_id: str, reason: str) -> None:
        """Note that ``version`` breaks its contract: it is not requested again."""
        self._settle(version, run_id, "broken", reason)

    def _settle(self, version: ObjectVersion, run_id: str, state: str, reason: str | None) -> None:
        change = sa.update(object_versions).where(_V.seq == version.seq)
        with self._engine.begin() as connection:
            connection.execute(
                change.values(state=state, reason=reason, run_id=run_id, settled_at=sa.func.clock_timestamp())
            )
            if state == "handled":
                mark_stale(connection, version.project, {version.partition})

    def _find(
        self, project: str, source: str, partition: str, *where: sa.ColumnElement[bool]
    ) -> ObjectVersion | None:
        query = (
            sa.select(*_ROW)
            .where(_V.project == project, _V.partition == partition, _V.source == source)
            .where(_V.state != "unplaced", *where)
            .order_by(_V.seq.desc())
            .limit(1)
        )
        with self._engine.connect() as connection:
            row = connection.execute(query).first()
        return ObjectVersion(*row) if row else None
