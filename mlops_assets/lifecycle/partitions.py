"""A project's partitions as Dagster knows them, and where a raw object's name places it."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING

import dagster as dg

if TYPE_CHECKING:
    from mlops_assets.project import Partitions, Project

_FORMATS = {"month": "%Y-%m", "day": "%Y-%m-%d"}
_SHAPES = {"month": "YYYY-MM", "day": "YYYY-MM-DD"}


def partitions_def(project: Project) -> dg.TimeWindowPartitionsDefinition:
    """Monthly or daily partitions from the project's first to its last, both included (UTC)."""
    declared = project.partitions
    fmt = _FORMATS[declared.every]
    end = None if declared.end is None else _next(declared.end, declared).strftime(fmt)
    kind = dg.MonthlyPartitionsDefinition if declared.every == "month" else dg.DailyPartitionsDefinition
    return kind(start_date=declared.start, end_date=end, fmt=fmt)


def is_partition(project: Project, text: str) -> bool:
    """Whether ``text`` names one of the project's windows, over or not."""
    declared = project.partitions
    fmt = _FORMATS[declared.every]
    try:
        written = datetime.strptime(text, fmt).strftime(fmt)  # noqa: DTZ007 (a window, not a moment)
    except ValueError:
        return False
    return written == text >= declared.start and (declared.end is None or text <= declared.end)


def misplaced(project: Project, text: str, now: datetime) -> str | None:
    """Why ``text`` is not a partition of the project at ``now`` (UTC); None if it is one."""
    declared = project.partitions
    fmt, shape = _FORMATS[declared.every], _SHAPES[declared.every]
    try:
        start = datetime.strptime(text, fmt)  # noqa: DTZ007 (windows start at midnight UTC)
    except ValueError:
        return f"'{text}' is not a {declared.every} ({shape})"
    if start.strftime(fmt) != text:
        return f"'{text}' is not written as {shape}"
    if text < declared.start:
        return f"{text} is before the project's first partition, {declared.start}"
    if declared.end is not None and text > declared.end:
        return f"{text} is after the project's last partition, {declared.end}"
    if _next(text, declared) > now.replace(tzinfo=None):
        return f"the {declared.every} {text} is not over yet; it is read when it is"
    return None


def _next(text: str, declared: Partitions) -> datetime:
    """The start of the window after ``text``."""
    start = datetime.strptime(text, _FORMATS[declared.every])  # noqa: DTZ007
    if declared.every == "day":
        return start + timedelta(days=1)
    return (start.replace(day=1) + timedelta(days=32)).replace(day=1)
