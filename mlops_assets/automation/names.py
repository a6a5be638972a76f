"""The check ``object_names``: every object below the project's prefix has a place by its name."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import dagster as dg
import sqlalchemy as sa

from mlops_assets.lifecycle.checking import declared
from mlops_assets.lifecycle.describe import asset_key
from mlops_assets.resources.tables import Tables, object_versions

if TYPE_CHECKING:
    from mlops_assets.project import Project, Source

OBJECT_NAMES = "object_names"
MAX_SHOWN = 50
"""Objects that one evaluation lists; all are counted."""

_SHOWN = ("object", "version id", "why")
_V = object_versions.c
_DESCRIPTION = (
    "Every object below the project's prefix has a place by its name: a source, and one of its partitions."
)


@dataclass(frozen=True)
class Unplaced:
    """Objects near one source whose names fit nowhere: (key, version id, reason) of the first; how many."""

    shown: tuple[tuple[str, str, str], ...]
    count: int

    @property
    def digest(self) -> str:
        """Changes whenever the objects do, as far as they are shown."""
        return hashlib.sha256(json.dumps([self.shown, self.count]).encode()).hexdigest()[:12]

    def as_result(self) -> dict[str, Any]:
        """The arguments of a check's result."""
        if not self.count:
            return {"passed": True, "metadata": {"objects": 0}}
        rows = [dg.TableRecord(dict(zip(_SHOWN, one, strict=True))) for one in self.shown]
        first = "\n".join(f"- {key}: {why}" for key, _, why in self.shown[:5])
        more = f"\n- and {self.count - 5} more." if self.count > 5 else ""
        objects = "1 object was" if self.count == 1 else f"{self.count} objects were"
        seen = f"{objects} not read, because of the name:\n{first}{more}"
        return {
            "passed": False,
            "severity": dg.AssetCheckSeverity.ERROR,
            "description": seen,
            "metadata": {
                "objects": self.count,
                "where": dg.MetadataValue.table(rows),
                "observed": seen,
                "allowed": "names that say a source and one of its partitions",
                "what to do": "upload each under the name that its line says, and delete it where it is",
            },
        }


def unplaced(connection: sa.Connection, project: Project) -> dict[str, Unplaced]:
    """By source, for all sources of the project."""
    here = sa.and_(_V.project == project.name, _V.current, _V.state == "unplaced")
    rank = sa.func.row_number().over(partition_by=_V.source, order_by=_V.key).label("rank")
    count = sa.func.count().over(partition_by=_V.source).label("objects")
    ranked = sa.select(_V.source, _V.key, _V.version_id, _V.reason, rank, count).where(here).subquery()
    found: dict[str, list[tuple[str, str, str]]] = {source.name: [] for source in project.sources}
    counts = dict.fromkeys(found, 0)
    rows = sa.select(ranked).where(ranked.c.rank <= MAX_SHOWN).order_by(ranked.c.source, ranked.c.rank)
    for row in connection.execute(rows):
        # A source that the project does not have any more: its first one speaks for it.
        name = row.source if row.source in found else project.sources[0].name
        found[name].append((row.key, row.version_id, row.reason))
        counts[name] += row.objects if row.rank == 1 else 0
    return {name: Unplaced(tuple(shown), counts[name]) for name, shown in found.items()}


def evaluations(
    project: Project, now: dict[str, Unplaced], told: dict[str, str]
) -> list[dg.AssetCheckEvaluation]:
    """An evaluation for each source whose unplaced objects are not the ones that were ``told`` (digests)."""
    return [
        dg.AssetCheckEvaluation(
            asset_key=asset_key(project, "raw", name), check_name=OBJECT_NAMES, **found.as_result()
        )
        for name, found in now.items()
        if told.get(name) != found.digest
    ]


def build_object_names_checks(project: Project) -> list[dg.AssetChecksDefinition]:
    """The check of each source. The sensor reports it when it changes; a person can run it any time."""
    return [_build(project, source) for source in project.sources]


def _build(project: Project, source: Source) -> dg.AssetChecksDefinition:
    @dg.asset_check(
        asset=asset_key(project, "raw", source.name),
        name=OBJECT_NAMES,
        description=_DESCRIPTION,
        metadata=declared(dg.AssetCheckSeverity.ERROR),
    )
    def object_names(tables: Tables) -> dg.AssetCheckResult:
        with tables.engine.connect() as connection:
            return dg.AssetCheckResult(**unplaced(connection, project)[source.name].as_result())

    return object_names
