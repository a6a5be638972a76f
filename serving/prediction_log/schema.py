"""The columns of the log's Parquet objects, and tables made of plain columns.

``time`` is when the request arrived; ``latency_seconds`` from there to when the answer was recorded.
``received.<field>`` is each field of the request's instances, defaults filled in; ``used.<column>`` what the
model was given: numbers as float32 (NaN where missing), categories as text (null where the model does not
know the value, or there was none). ``unknown`` names the columns whose value the model has never seen.
"""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING, Any

from serving.fields import fields_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    import pyarrow as pa

    from mlops_assets.project import Project

RECEIVED = "received."
USED = "used."


def schema(project: Project) -> pa.Schema:
    """The columns of ``project``'s log objects, in order."""
    import pyarrow as pa

    received = {"int": pa.int64(), "float": pa.float64(), "bool": pa.bool_(), "str": pa.string()}
    features = project.features
    return pa.schema(
        [
            ("request_id", pa.string()),
            ("answer_id", pa.string()),
            ("attempt", pa.int16()),
            ("row", pa.int32()),
            ("time", pa.timestamp("us", tz="UTC")),
            ("version", pa.string()),
            ("training_set", pa.string()),
            ("probability", pa.float64()),
            ("label", pa.bool_()),
            ("latency_seconds", pa.float32()),
            ("unknown", pa.list_(pa.string())),
            *((RECEIVED + field.name, received[field.kind]) for field in fields_of(features.instance)),
            *((USED + name, pa.float32()) for name in features.numeric),
            *((USED + name, pa.string()) for name in features.categorical),
        ]
    )


def make_table(project: Project, columns: Mapping[str, Any]) -> pa.Table:
    """A log table of ``columns`` (name -> values, shape (rows,)); what is left out gets a plain value.

    Raises ``KeyError`` for a column that the log does not have, or if none is given, ``pyarrow.ArrowInvalid``
    for values that do not fit.
    """
    import pyarrow as pa

    wanted = schema(project)
    if extra := set(columns) - set(wanted.names):
        raise KeyError(f"the prediction log of {project.name} has no columns {', '.join(sorted(extra))}")
    rows = len(next(iter(columns.values())))
    given = _defaults(rows, columns) | dict(columns)
    arrays = [
        pa.array(list(given[name]), type=kind) if name in given else pa.nulls(rows, kind)
        for name, kind in zip(wanted.names, wanted.types, strict=True)
    ]
    return pa.Table.from_arrays(arrays, schema=wanted)


def _defaults(rows: int, columns: Mapping[str, Any]) -> dict[str, list[Any]]:
    """Each row a request of its own, asked now of version 1."""
    probability = columns.get("probability", [0.5] * rows)
    return {
        "request_id": [f"request-{number}" for number in range(rows)],
        "answer_id": [f"0000000000000000:{number}" for number in range(1, rows + 1)],
        "attempt": [1] * rows,
        "row": [0] * rows,
        "time": [dt.datetime.now(dt.UTC)] * rows,
        "version": ["1"] * rows,
        "training_set": [""] * rows,
        "probability": list(probability),
        "label": [float(value) >= 0.5 for value in probability],
        "latency_seconds": [0.001] * rows,
        "unknown": [[]] * rows,
    }
