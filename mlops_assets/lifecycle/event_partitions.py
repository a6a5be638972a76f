"""In which partition of a project happens what a prediction is about."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mlops_assets.lifecycle.partitions import is_partition

if TYPE_CHECKING:
    import pyarrow as pa

    from mlops_assets.project import Project

ELSEWHERE = "elsewhere"
"""For predictions whose event time names no window of the project's."""

TIME = "time"
_LENGTHS = {"month": 7, "day": 10}


def event_time_column(project: Project) -> str:
    """The column of the prediction log that says when it happens: a field of the request, or its arrival."""
    named = project.features.event_time
    return TIME if named is None else f"received.{named}"


def event_partitions(project: Project, times: pa.Array) -> pa.Array:
    """The partition of each of ``times`` (ISO text or timestamps, as the log has them), or ``ELSEWHERE``.

    Text is taken as it stands: windows are those of the clock that the project's times are told by.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    cut = pc.utf8_slice_codeunits(_text(times), 0, _LENGTHS[project.partitions.every])
    known = [value for value in pc.unique(cut).to_pylist() if value and is_partition(project, value)]
    found = pc.is_in(cut, value_set=pa.array(known, pa.string()))
    return pc.if_else(found, cut, ELSEWHERE)


def event_days(times: pa.Array) -> set[str]:
    """The days (ISO) that ``times`` are of."""
    import pyarrow.compute as pc

    return {day for day in pc.unique(pc.utf8_slice_codeunits(_text(times), 0, 10)).to_pylist() if day}


def _text(times: pa.Array) -> pa.Array:
    import pyarrow as pa
    import pyarrow.compute as pc

    return times if pa.types.is_string(times.type) else pc.strftime(times, format="%Y-%m-%d")
