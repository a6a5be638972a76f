"""Labels and probabilities, checked before anything is computed from them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

MIN_PER_CLASS = 10
"""Fewest rows of each class that are scored: below it, resamples without one of the classes turn up."""


class ScoreError(ValueError):
    """Nothing can be said about these predictions; the message names the thing, the reason, the remedy."""


def checked_labels(labels: ArrayLike) -> NDArray[np.float64]:
    """``labels`` as float64 (rows,), each 0 or 1.

    Raises ``ScoreError`` for another shape, another value (NaN included), or fewer than
    ``MIN_PER_CLASS`` rows of a class.
    """
    y = _column("labels", labels)
    wrong = np.flatnonzero((y != 0) & (y != 1))
    if wrong.size:
        raise ScoreError(
            f"labels: {wrong.size} of {y.size} rows are neither 0 nor 1 (row {wrong[0]} is {y[wrong[0]]}): "
            "drop rows without an outcome before judging"
        )
    positives = int(y.sum())
    if min(positives, y.size - positives) < MIN_PER_CLASS:
        raise ScoreError(
            f"labels: {positives} of {y.size} rows are positive; at least {MIN_PER_CLASS} rows of each class "
            "are needed to score a model: evaluate on a longer window"
        )
    return y


def checked_probabilities(name: str, probabilities: ArrayLike, rows: int) -> NDArray[np.float64]:
    """``probabilities`` of model ``name`` as float64 (rows,), finite and within [0, 1].

    Raises ``ScoreError`` otherwise.
    """
    p = _column(f"predictions of {name}", probabilities)
    if p.size != rows:
        raise ScoreError(
            f"predictions of {name}: {p.size} probabilities for {rows} labels: "
            "predict exactly the labelled rows"
        )
    wrong = np.flatnonzero(~((p >= 0) & (p <= 1)))
    if wrong.size:
        raise ScoreError(
            f"predictions of {name}: {wrong.size} of {rows} are not probabilities "
            f"(row {wrong[0]} is {p[wrong[0]]}): the model is broken or its input is; look at that row"
        )
    return p


def checked_values(name: str, values: ArrayLike, rows: int) -> NDArray[Any]:
    """The values of a slicing or grouping column as str (rows,); a missing value is "(missing)"."""
    column = np.asarray(values, dtype=object)
    if column.shape != (rows,):
        raise ScoreError(f"column {name}: shape {column.shape} for {rows} labels: give one value a row")
    missing = np.array([v is None or v != v for v in column], dtype=bool)  # noqa: PLR0124 -- NaN only
    return np.where(missing, "(missing)", column.astype(str))


def _column(name: str, values: ArrayLike) -> NDArray[np.float64]:
    try:
        column = np.asarray(values, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise ScoreError(f"{name}: not numbers ({error}): give one number a row") from error
    if column.ndim != 1:
        raise ScoreError(f"{name}: shape {column.shape}: give one number a row, shape (rows,)")
    if not column.size:
        raise ScoreError(f"{name}: no rows: the evaluated partition is empty")
    return column
