"""Real flights, fewer of them: enough for models that pass the gate, in a part of the time."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mlops_assets.sample_data import month_objects, planes_object

if TYPE_CHECKING:
    from mlops_assets.project import Project, Source

FIRST_MONTHS = ("2013-01", "2013-02", "2013-03")


def month(name: str, every: int = 4) -> dict[str, bytes]:
    """The objects of a month: each ``every``-th of its flights, and all of its weather."""
    objects = month_objects(name)
    return objects | {f"flights/{name}.csv": thin(objects[f"flights/{name}.csv"], every)}


def planes(without: int = 0) -> bytes:
    """All planes but the last ``without``."""
    lines = planes_object()["planes/planes.csv"].splitlines(keepends=True)
    return b"".join(lines[: len(lines) - without])


def thin_sources(project: Project) -> tuple[Source, ...]:
    """The project's sources for fewer rows than are declared: what compares partitions still holds."""
    free: dict[str, object] = {"rows": None, "medians": {}}
    return tuple(s.model_copy(update={"quality": s.quality.model_copy(update=free)}) for s in project.sources)


def thin(data: bytes, every: int) -> bytes:
    """The header and each ``every``-th line after it."""
    header, *lines = data.splitlines(keepends=True)
    return header + b"".join(lines[::every])
