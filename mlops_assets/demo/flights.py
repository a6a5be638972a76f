"""A month of real flights as an airline's system would ask about them: one request an origin and hour.

All scheduled flights are asked about, also those that were cancelled later: nobody knows beforehand.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

from mlops_assets.sample_data import month_objects, planes_object

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import pandas as pd

    from mlops_assets.project import Project


@dataclass(frozen=True)
class Request:
    """A question about ``rows`` flights. ``place``: its place in the month, from 0 to 1, evenly spaced."""

    place: float
    rows: int
    body: bytes


def requests_of(project: Project, month: str) -> list[Request]:
    """The requests about ``month`` (``2013-04``), in the order in which their flights leave."""
    import msgspec
    import pandas as pd

    flights = _scheduled(project, month)
    hour = pd.to_datetime(flights["scheduled_departure"]).dt.floor("h").rename("hour")
    rows = _instances(project, flights)
    groups = cast("Mapping[tuple[Any, str], Sequence[int]]", flights.groupby([hour, "origin"]).indices)
    return [
        Request(
            place=number / len(groups),
            rows=len(places),
            body=msgspec.json.encode({"instances": [rows[place] for place in places]}),
        )
        for number, (_, places) in enumerate(sorted(groups.items()))
    ]


def _scheduled(project: Project, month: str) -> pd.DataFrame:
    """The month's flights with the fields that are asked about."""
    from mlops_assets.contracts import read_object

    objects = month_objects(month) | planes_object()
    raw = {}
    for source in project.sources:
        partition = month if source.partitioned else None
        key = source.key(project.name, partition)
        data = objects[key.removeprefix(f"{project.name}/")]
        raw[source.name] = read_object(data, source.contract, key=key, partition=partition)
    # Features leave out what has no arrival delay; none is known yet, so that all are asked about.
    raw["flights"] = raw["flights"].assign(arr_delay=0.0)
    return project.features.build(raw)


def _instances(project: Project, flights: pd.DataFrame) -> list[dict[str, Any]]:
    """Each flight as JSON takes it: whole numbers whole, null where a value is missing."""
    import msgspec

    from serving.fields import fields_of

    columns = {}
    for field in fields_of(project.features.instance):
        values = flights[field.name]
        whole = {"int": int, "float": float}.get(field.kind)
        missing = values.isna()
        columns[field.name] = [
            None if gone else whole(value) if whole else value
            for value, gone in zip(values.tolist(), missing.tolist(), strict=True)
        ]
    rows = [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]
    msgspec.convert(rows, list[project.features.instance])  # type: ignore[name-defined]  # a value, not a type
    return rows
