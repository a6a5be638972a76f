"""Where an object's name places it: in a source and a partition, or nowhere, and why."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from mlops_assets.lifecycle.partitions import misplaced

if TYPE_CHECKING:
    from datetime import datetime

    from mlops_assets.project import Project, Source


@dataclass(frozen=True)
class Place:
    """A source and a partition ("" where it has none).

    With a ``reason`` the object is unplaced, and ``source`` is the one nearest to its name.
    """

    source: str
    partition: str
    reason: str | None = None


def place(project: Project, key: str, now: datetime) -> Place:
    """The place of ``key`` (of the raw bucket) in ``project``; ``now`` is in UTC."""
    for source in project.sources:
        text = source.match(project.name, key)
        if text is None:
            continue
        why = misplaced(project, text, now) if source.partitioned else None
        return Place(source.name, "" if why else text, why and _with_remedy(project, source, why))
    nearest = _nearest(project, key)
    expected = ", ".join(f"{project.name}/{source.pattern}" for source in project.sources)
    return Place(
        nearest.name,
        "",
        _with_remedy(project, nearest, f"no source of {project.name} has objects of this name ({expected})"),
    )


def _with_remedy(project: Project, source: Source, why: str) -> str:
    partitions = project.partitions
    last = partitions.end or "now"
    if not source.partitioned:
        return f"{why}. Remedy: upload it as {source.key(project.name, None)}, or delete it."
    example = source.key(project.name, partitions.start)
    return (
        f"{why}. Remedy: upload it under the name of its {partitions.every} "
        f"(like {example}; {partitions.start} to {last}), or delete it."
    )


def _nearest(project: Project, key: str) -> Source:
    """The source that shares the longest beginning with ``key``; the first of equals."""
    return max(project.sources, key=lambda source: _alike(f"{project.name}/{source.pattern}", key))


def _alike(one: str, other: str) -> int:
    """How many characters two names begin alike with."""
    differ = (n for n, (a, b) in enumerate(zip(one, other, strict=False)) if a != b)
    return next(differ, min(len(one), len(other)))
