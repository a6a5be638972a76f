"""The four metrics of one model on weighted rows, arranged so that a bootstrap round costs microseconds.

Rows are sorted once by segment and probability. Segments, bins of the calibration error and ties are
then runs of neighbours, and each metric of a resample is a sum over runs of "how often drawn" times a
term known beforehand:

- ROC AUC: the chance that a positive row scores above a negative one, ties counting half (the
  Mann-Whitney U statistic; J. Hanley and B. McNeil, Radiology 143, 1982).
- log loss: mean of -log of the probability given to what happened, cut at float64's epsilon as
  scikit-learn does, so that a certain and wrong answer costs 36 and not infinity.
- Brier score: mean squared difference of probability and label (G. Brier, 1950).
- calibration error: expected calibration error over equal-count bins (M. Naeini et al., AAAI 2015;
  equal-count after A. Kumar et al., NeurIPS 2019): the mean over rows of |mean probability - positive
  rate| of the row's bin. Equal probabilities are never split over two bins.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

METRICS = ("roc_auc", "log_loss", "brier", "calibration_error")
MAX_BINS = 15
ROWS_PER_BIN = 100
"""A bin of fewer rows would show noise as miscalibration."""


class Statistics:
    """The metrics of one model in ``segments`` groups of rows (one: all rows; many: slices).

    ``labels`` float64 (rows,) 0 or 1; ``probabilities`` float64 (rows,) in [0, 1]; ``codes`` int (rows,)
    from 0 to ``segments - 1``, or -1 for a row that is in none. Every segment holds both classes.
    """

    def __init__(
        self,
        labels: NDArray[np.float64],
        probabilities: NDArray[np.float64],
        codes: NDArray[np.intp] | None = None,
        segments: int = 1,
    ) -> None:
        codes = np.zeros(labels.size, dtype=np.intp) if codes is None else codes
        order = np.lexsort((probabilities, codes))
        self._order = order = order[codes[order] >= 0]
        y, p, segment = labels[order], probabilities[order], codes[order]
        self.segments = segments
        self._starts = np.searchsorted(segment, np.arange(segments))
        self._loss = log_losses(y, p)
        self._square = (p - y) ** 2
        self._residual = p - y
        self._negative = 1 - y
        positive = np.flatnonzero(y == 1)
        self._positive = positive
        self._positive_starts = np.searchsorted(segment[positive], np.arange(segments))
        first, last = _ties(segment, p)
        self._tie_first, self._tie_last = first[positive], last[positive]
        self._bins, self._bin_starts = _bins(self._starts, first)

    def compute(self, drawn: NDArray[np.float64] | None = None) -> NDArray[np.float64]:
        """The metrics when each row counts ``drawn`` times (once if None): float64 (4, segments).

        Rows as in ``METRICS``. The AUC is NaN where a class was not drawn, all are where no row was.
        """
        weight = np.ones(self._order.size) if drawn is None else drawn[self._order]
        total = np.add.reduceat(weight, self._starts)
        gap = np.abs(np.add.reduceat(weight * self._residual, self._bins))
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.stack(
                [
                    self._auc(weight, total),
                    np.add.reduceat(weight * self._loss, self._starts) / total,
                    np.add.reduceat(weight * self._square, self._starts) / total,
                    np.add.reduceat(gap, self._bin_starts) / total,
                ]
            )

    def _auc(self, weight: NDArray[np.float64], total: NDArray[np.float64]) -> NDArray[np.float64]:
        below = np.empty(weight.size + 1)  # below[i]: weight of negatives among the first i rows
        below[0] = 0
        np.cumsum(weight * self._negative, out=below[1:])
        positive = weight[self._positive]
        positives = np.add.reduceat(positive, self._positive_starts)
        beaten = positive * (below[self._tie_first] + below[self._tie_last])
        wins = np.add.reduceat(beaten, self._positive_starts) / 2 - below[self._starts] * positives
        area: NDArray[np.float64] = wins / (positives * (total - positives))
        return area


def log_losses(labels: NDArray[np.float64], probabilities: NDArray[np.float64]) -> NDArray[np.float64]:
    """The log loss of each row, float64 (rows,)."""
    epsilon = np.finfo(np.float64).eps
    p = np.clip(probabilities, epsilon, 1 - epsilon)
    return -(labels * np.log(p) + (1 - labels) * np.log1p(-p))


def equal_count_edges(rows: int) -> NDArray[np.intp]:
    """Where the bins of ``rows`` sorted rows start: up to ``MAX_BINS`` of ``ROWS_PER_BIN`` rows or more."""
    bins = int(np.clip(rows // ROWS_PER_BIN, 1, MAX_BINS))
    return (np.arange(bins) * rows // bins).astype(np.intp)


def _ties(segment: NDArray[np.intp], p: NDArray[np.float64]) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """For each sorted row, where its run of equal (segment, probability) begins and ends (exclusive)."""
    new = np.ones(p.size, dtype=bool)
    new[1:] = (p[1:] != p[:-1]) | (segment[1:] != segment[:-1])
    starts = np.flatnonzero(new)
    run = np.cumsum(new) - 1
    return starts[run], np.append(starts[1:], p.size)[run]


def _bins(starts: NDArray[np.intp], tie_first: NDArray[np.intp]) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Where each calibration bin starts among the rows, and where each segment starts among the bins."""
    ends = np.append(starts[1:], tie_first.size)
    bins = [
        np.unique(tie_first[start + equal_count_edges(int(end - start))])
        for start, end in zip(starts, ends, strict=True)
    ]
    return np.concatenate(bins), np.cumsum([0, *(len(b) for b in bins[:-1])])
