"""Slices: the rows that share one value of a column (one carrier, one origin)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np

from mlops_assets.judging.metrics import Score
from mlops_assets.judging.resampling import Estimate
from mlops_assets.judging.sample import MIN_PER_CLASS, checked_values
from mlops_assets.judging.statistics import Statistics

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import ArrayLike, NDArray

    from mlops_assets.judging.metrics import Replicates


class Slice(msgspec.Struct, frozen=True):
    """The challenger's score, and the champion's if there is one, where ``column`` is ``value``.

    ``auc_difference``: challenger minus champion, paired.
    """

    column: str
    value: str
    challenger: Score
    champion: Score | None = None
    auc_difference: Estimate | None = None


class SkippedSlice(msgspec.Struct, frozen=True):
    """A slice that is too small to judge, and why."""

    column: str
    value: str
    rows: int
    reason: str


class Slicing(msgspec.Struct, frozen=True):
    """One column's slices: ``codes`` int (rows,), the row's place in ``values`` or -1 where skipped."""

    column: str
    values: tuple[str, ...]
    codes: Any
    skipped: tuple[SkippedSlice, ...]

    def statistics(self, labels: NDArray[np.float64], probabilities: NDArray[np.float64]) -> Statistics:
        """The metrics of a model by slice, in the order of ``values``."""
        return Statistics(labels, probabilities, self.codes, len(self.values))

    def scored(
        self, labels: NDArray[np.float64], challenger: Replicates, champion: Replicates | None
    ) -> list[Slice]:
        """The slices with their scores; the replicates are those of ``statistics``."""
        return [
            self._slice(at, labels[self.codes == at], challenger, champion) for at in range(len(self.values))
        ]

    def _slice(
        self, at: int, labels: NDArray[np.float64], challenger: Replicates, champion: Replicates | None
    ) -> Slice:
        rows, positives = int(labels.size), int(labels.sum())
        return Slice(
            column=self.column,
            value=self.values[at],
            challenger=challenger.score(rows, positives, at),
            champion=champion.score(rows, positives, at) if champion else None,
            auc_difference=challenger.auc_minus(champion, at) if champion else None,
        )


def slicings(labels: NDArray[np.float64], slices: Mapping[str, ArrayLike], min_rows: int) -> list[Slicing]:
    """How each column of ``slices`` (name -> (rows,) values) cuts the rows into slices of ``min_rows`` up.

    A smaller slice, or one with under ``MIN_PER_CLASS`` rows of a class, is skipped, with the reason.
    """
    return [_slicing(column, checked_values(column, values, labels.size), labels, min_rows)
            for column, values in slices.items()]  # fmt: skip


def _slicing(column: str, values: NDArray[Any], labels: NDArray[np.float64], min_rows: int) -> Slicing:
    names, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    positives = np.bincount(inverse, weights=labels, minlength=names.size)
    skipped = []
    keep = []
    for at, (name, rows, of_one) in enumerate(zip(names, counts, positives, strict=True)):
        reason = None
        if rows < min_rows:
            reason = f"{rows} rows; {min_rows} are needed"
        elif min(of_one, rows - of_one) < MIN_PER_CLASS:
            reason = f"{int(of_one)} of {rows} rows are positive; {MIN_PER_CLASS} of each class are needed"
        if reason:
            skipped.append(SkippedSlice(column, str(name), int(rows), reason))
        else:
            keep.append(at)
    place = np.full(names.size, -1, dtype=np.intp)
    place[keep] = np.arange(len(keep))
    return Slicing(column, tuple(str(names[at]) for at in keep), place[inverse], tuple(skipped))
