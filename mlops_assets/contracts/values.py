"""From cells to a typed frame, and the checks of its values."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from mlops_assets.contracts.problems import MAX_PER_KIND, Found, Problem

if TYPE_CHECKING:
    from collections.abc import Callable

    import pyarrow as pa
    from numpy.typing import NDArray

    from mlops_assets.contracts.declare import Column, Contract

_HEADER_LINES = 2  # the first row is line 2
_AGAIN = "and upload the corrected file under the same name"
_INTEGER = r"-?\d{1,18}"
_NUMBER = r"-?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?"
_KINDS = {
    "integer": "a whole number",
    "number": "a number",
    "time": "a time such as 2013-01-31T15:00:00Z",
    "text": "text",
}


def typed_frame(cells: pa.Table | None, contract: Contract, found: Found) -> pd.DataFrame:
    """The cells in their declared types; cells that have another type become problems."""
    if cells is None:
        raise ValueError("there are no cells: the object's text had problems, raise those first")
    return pd.DataFrame({c.name: _typed(cells.column(c.name), c, found) for c in contract.columns})


def _typed(cells: pa.ChunkedArray, column: Column, found: Found) -> Any:
    import pyarrow as pa
    import pyarrow.compute as pc

    if column.type == "text":
        return cells.to_pandas()
    try:
        if column.type == "time":
            times = cells.to_pandas()
            return pd.to_datetime(times, format="ISO8601", utc=True).astype("datetime64[ns, UTC]")
        # Arrow's own casts are strict, so that "1.5" is no integer, and an order of magnitude
        # faster than pandas' parsing; missing integers become NaN in a float64 column.
        typed = pc.cast(cells, pa.int64() if column.type == "integer" else pa.float64())
        if column.type == "number" and pc.any(pc.invert(pc.is_finite(typed))).as_py():
            raise ValueError("infinite or NaN")  # noqa: TRY301  # told apart by value below
        return typed.to_pandas()
    except (pa.ArrowInvalid, ValueError) as error:
        _report_mistyped(cells.to_pandas(), column, found, error)
        return None


def _report_mistyped(text: pd.Series[Any], column: Column, found: Found, error: Exception) -> None:
    given = text.notna()
    if column.type == "time":
        bad = given & pd.to_datetime(text, format="ISO8601", utc=True, errors="coerce").isna()
    else:
        numbers = pd.to_numeric(text, errors="coerce").astype(float)
        form = _INTEGER if column.type == "integer" else _NUMBER
        bad = given & (~np.isfinite(numbers) | ~text.str.fullmatch(form, na=False))
    rows = np.flatnonzero(bad.to_numpy())
    kind = _KINDS[column.type]
    if not len(rows):  # whatever the reader refuses is refused, though the rules above would not
        found.add(Problem(None, column.name, f"not every value is {kind}: {error}", f"write {kind} {_AGAIN}"))
    _report(found, column.name, rows, lambda row: f"{text.iloc[row]!r:.60} is not {kind}", f"write {kind}")


def check_values(
    frame: pd.DataFrame, contract: Contract, partition: str | None, found: Found, *, duplicates: bool = True
) -> None:
    """Missing values, ranges, allowed values, patterns, rows of other partitions, and ``duplicates``."""
    for column in contract.columns:
        _check_column(frame[column.name], column, found)
    if partition is not None and contract.partition_by:
        _check_partition(frame, contract, partition, found)
    if duplicates:
        check_duplicates(frame, contract, found)


def _check_column(values: pd.Series[Any], column: Column, found: Found) -> None:
    missing = values.isna().to_numpy()
    if not column.nullable and missing.any():
        _report(found, column.name, np.flatnonzero(missing), lambda _: "the value is missing", "fill it in")
    if column.range_text:
        numbers = values.to_numpy(dtype=float)
        low = -np.inf if column.minimum is None else column.minimum
        high = np.inf if column.maximum is None else column.maximum
        rows = np.flatnonzero((numbers < low) | (numbers > high))
        remedy = f"give a value from the range {column.range_text}"
        _report(found, column.name, rows, lambda row: f"{numbers[row]:.12g} is not {_in(column)}", remedy)
    if column.allowed is not None or column.pattern is not None:
        _check_text(values, column, missing, found)


def _in(column: Column) -> str:
    return f"in the range {column.range_text}" if "to" in column.range_text else column.range_text


def _check_text(values: pd.Series[Any], column: Column, missing: NDArray[np.bool_], found: Found) -> None:
    # Each distinct value is looked at once: a month has 27,000 rows but a hundred destinations.
    codes, distinct = pd.factorize(values)
    good = pd.Series(distinct, dtype=object)
    fits = np.ones(len(good), dtype=bool)
    rule = ""
    if column.pattern is not None:
        fits &= good.str.fullmatch(column.pattern).to_numpy(dtype=bool)
        rule = f"text of the pattern {column.pattern}"
    if column.allowed is not None:
        fits &= good.isin(column.allowed).to_numpy()
        rule = f"one of {', '.join(column.allowed)}"
    rows = np.flatnonzero(~np.append(fits, True)[codes] & ~missing)
    _report(found, column.name, rows, lambda row: f"{values.iloc[row]!r:.60} is not {rule}", f"write {rule}")


def _check_partition(frame: pd.DataFrame, contract: Contract, partition: str, found: Found) -> None:
    wanted = [int(part) for part in partition.split("-")]
    if len(wanted) != len(contract.partition_by):
        raise ValueError(f"partition {partition!r} does not fit the columns {contract.partition_by}")
    rows_of = frame[list(contract.partition_by)].to_numpy(dtype=float)
    # A row that does not say where it belongs has been reported for that.
    rows = np.flatnonzero(((rows_of != wanted) & ~np.isnan(rows_of)).any(axis=1))

    def what(row: int) -> str:
        other = "-".join(f"{value:02.0f}" for value in rows_of[row])
        return f"the row belongs to {other}, the file is that of {partition}"

    _report(found, contract.partition_by[-1], rows, what, "move the row to its own file")


def check_duplicates(frame: pd.DataFrame, contract: Contract, found: Found) -> None:
    """Rows that repeat the key of an earlier one."""
    key = list(contract.key)
    again = frame.duplicated(key).to_numpy()
    if not again.any():
        return
    first = frame.groupby(key, sort=False, dropna=False).cumcount()
    groups = frame.groupby(key, sort=False, dropna=False).ngroup().to_numpy()
    first_row = dict(zip(groups[first.to_numpy() == 0], np.flatnonzero(first.to_numpy() == 0), strict=True))

    def what(row: int) -> str:
        values = ", ".join(f"{name}={frame[name].iloc[row]}" for name in key)
        return f"the row repeats line {first_row[groups[row]] + _HEADER_LINES} ({values})"

    _report(found, None, np.flatnonzero(again), what, "leave one of the two out")


def _report(
    found: Found, column: str | None, rows: NDArray[np.intp], what: Callable[[int], str], remedy: str
) -> None:
    shown = [
        Problem(int(row) + _HEADER_LINES, column, what(int(row)), f"{remedy} {_AGAIN}")
        for row in rows[:MAX_PER_KIND]
    ]
    found.add(*shown, total=len(rows))
