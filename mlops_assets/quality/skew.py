"""Does serving make of a row what training made of it?

Rows of a frame are written as requests (JSON), read as the endpoint reads them, one row a request, and
turned into the model's columns; these must be what the batch path makes of the whole frame. That finds
a transform that looks at other rows (a mean, a rank, the first of a sorted list), types that differ
after JSON, and rows that the endpoint would refuse.
"""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING, Any

import numpy as np

from mlops_assets.project import frame_columns
from mlops_assets.quality.verdict import Verdict
from serving.decoding import RequestDecoder, RequestError
from serving.fields import Columns as Fields

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import NDArray

    from mlops_assets.project import Columns, Features

SAMPLE = 200
TOLERANCE = 1e-9
REMEDY = (
    "have `features.transform` make each row's columns from that row alone, of the same types for request "
    "and frame, and let the request's type (`features.instance`) allow what the data holds. Then "
    "materialize again"
)


def judge_skew(features: Features, frame: pd.DataFrame, batch: Columns) -> Verdict:
    """A sample of ``frame``, evenly spaced, asked one row a request, against its ``batch`` columns.

    ``batch`` is what ``model_columns`` made of the whole frame: the more rows, the more could a
    transform have looked at others.
    """
    asked = evenly(len(frame), SAMPLE)
    bodies = requests(features, frame.iloc[asked])
    decoder, fields = RequestDecoder(features.instance), Fields(features.instance)
    differ: dict[str, list[str]] = {}
    refused: list[str] = []
    for place, body in zip(asked, bodies, strict=True):
        try:
            instances = decoder.decode(body)
        except RequestError as error:
            refused.append(str(error))
            continue
        served = features.transform(fields.of(instances))
        for name in (*features.numeric, *features.categorical):
            here, there = batch[name][place], served[name][0]
            if not _same(here, there):
                differ.setdefault(name, []).append(f"{there!r} served, {here!r} in training")
    return _verdict(features, len(asked), differ, refused)


def model_columns(features: Features, frame: pd.DataFrame) -> Columns:
    """The model's columns of all rows at once, as a training makes them."""
    given = Fields(features.instance).canonical(frame_columns(frame, features.instance_fields))
    return features.transform(given)


def evenly(rows: int, most: int) -> NDArray[np.int64]:
    """At most ``most`` row numbers below ``rows``, evenly spaced."""
    if rows <= most:
        return np.arange(rows)
    return np.linspace(0, rows - 1, most).round().astype(np.int64)


def requests(features: Features, frame: pd.DataFrame) -> list[bytes]:
    """A request's body for each row: missing numbers are null, whole numbers of whole-number fields 3."""
    fields = Fields(features.instance).fields
    whole = {field.name for field in fields if field.kind == "int"}
    columns = {field.name: frame[field.name].tolist() for field in fields}
    return [
        json.dumps({"instances": [{n: _plain(v[row], n in whole) for n, v in columns.items()}]}).encode()
        for row in range(len(frame))
    ]


def _plain(value: Any, whole: bool) -> Any:  # noqa: FBT001 - private
    if value is None or value != value:  # noqa: PLR0124 - NaN
        return None
    if whole and isinstance(value, float) and value.is_integer():
        return int(value)
    return value


def _same(here: Any, there: Any) -> bool:
    if isinstance(here, (str, type(None))) or isinstance(there, (str, type(None))):
        return bool(here == there)
    # Not NumPy's: on single numbers it takes most of this check's time.
    if math.isnan(here) or math.isnan(there):
        return math.isnan(here) and math.isnan(there)
    return math.isclose(here, there, rel_tol=TOLERANCE, abs_tol=TOLERANCE)


def _verdict(features: Features, asked: int, differ: dict[str, list[str]], refused: list[str]) -> Verdict:
    share = len(refused) / asked if asked else 0.0
    told = [f"{name} differs in {len(found)} of {asked} rows ({found[0]})" for name, found in differ.items()]
    if refused:
        told.append(f"the endpoint would refuse {len(refused)} of {asked} rows ({refused[0]})")
    columns = len(features.numeric) + len(features.categorical)
    limit = features.leakage.max_refused
    return Verdict(
        "skew",
        not differ and share <= limit,
        "; ".join(told) or f"{asked} rows asked as requests give the same {columns} columns",
        f"served and trained columns are equal; at most {limit:.0%} of the rows are refused",
        REMEDY,
        {"rows asked": asked, "rows refused": len(refused), "columns that differ": sorted(differ)},
    )
