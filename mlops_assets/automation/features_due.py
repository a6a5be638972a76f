"""Which partitions' features are due: those whose inputs are not the ones they were built from.

The inputs of a partition's features are the newest handled object versions of all its sources,
named by their numbers in the ledger, so that a version that comes back counts as a new one.
"""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import distinct_on, insert

from mlops_assets.resources.tables import feature_partitions, object_versions

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from mlops_assets.project import Project

_F = feature_partitions.c
_V = object_versions.c

Inputs = dict[str, int]
"""Source name -> number (``seq``) of the object version."""


def identity(inputs: Mapping[str, int]) -> str:
    """A short hash that tells sets of inputs apart."""
    return hashlib.sha256(json.dumps(sorted(inputs.items())).encode()).hexdigest()[:16]


def mark_stale(connection: sa.Connection, project: str, partitions: Collection[str]) -> None:
    """Have the inputs of ``partitions`` worked out anew ("" for all) at the next ``refresh``."""
    if not partitions:
        return
    rows = [{"project": project, "partition": name, "stale": True} for name in sorted(partitions)]
    upsert = insert(feature_partitions).on_conflict_do_update(
        index_elements=[_F.project, _F.partition], set_={"stale": True}
    )
    connection.execute(upsert, rows)


def mark_built(connection: sa.Connection, project: str, partition: str, inputs: str) -> None:
    """Note that the features of ``partition`` were built from ``inputs`` (an ``identity``)."""
    upsert = insert(feature_partitions).values(project=project, partition=partition, built=inputs)
    connection.execute(
        upsert.on_conflict_do_update(index_elements=[_F.project, _F.partition], set_={"built": inputs})
    )


def refresh(connection: sa.Connection, project: Project) -> None:
    """Work out what the features of stale partitions are wanted from; null where a source is missing."""
    stale = set(
        connection.execute(
            sa.select(_F.partition).where(_F.project == project.name, _F.stale).with_for_update()
        ).scalars()
    )
    if not stale:
        return
    handled = handled_inputs(connection, project.name, None if "" in stale else stale)
    shared = handled.get("", {})
    partitions = (set(handled) | stale) - {""}
    names = {source.name for source in project.sources}
    rows = [{"project": project.name, "partition": "", "stale": False, "wanted": None}] if "" in stale else []
    for name in sorted(partitions):
        inputs = {k: v for k, v in {**shared, **handled.get(name, {})}.items() if k in names}
        wanted = identity(inputs) if len(inputs) == len(names) else None
        rows.append({"project": project.name, "partition": name, "stale": False, "wanted": wanted})
    upsert = insert(feature_partitions)
    connection.execute(
        upsert.on_conflict_do_update(
            index_elements=[_F.project, _F.partition],
            set_={"stale": upsert.excluded.stale, "wanted": upsert.excluded.wanted},
        ),
        rows,
    )


def handled_inputs(
    connection: sa.Connection, project: str, partitions: Collection[str] | None
) -> dict[str, Inputs]:
    """Partition -> newest handled version by source; always with those of "" (shared by all).

    ``partitions`` None means all.
    """
    query = (
        sa.select(_V.partition, _V.source, _V.seq)
        # Put back with the same content: not read by a run of its own, so not another input.
        .where(_V.project == project, _V.state == "handled", _V.run_id.is_not(None))
        .ext(distinct_on(_V.partition, _V.source))
        .order_by(_V.partition, _V.source, _V.seq.desc())
    )
    if partitions is not None:
        query = query.where(_V.partition.in_([*partitions, ""]))
    found: dict[str, Inputs] = {"": {}}
    for partition, source, seq in connection.execute(query):
        found.setdefault(partition, {})[source] = seq
    return found


def due(connection: sa.Connection, project: str) -> dict[str, str]:
    """Partition -> the inputs (an ``identity``) its features are to be built from."""
    query = sa.select(_F.partition, _F.wanted).where(
        _F.project == project, _F.wanted.is_not(None), _F.wanted.is_distinct_from(_F.built)
    )
    return {row.partition: row.wanted for row in connection.execute(query)}
