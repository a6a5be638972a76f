"""The reliability curve: are things that were called 30% likely seen 30% of the time?"""

from __future__ import annotations

from statistics import NormalDist
from typing import TYPE_CHECKING

import msgspec
import numpy as np

from mlops_assets.judging.sample import checked_labels, checked_probabilities
from mlops_assets.judging.statistics import equal_count_edges

if TYPE_CHECKING:
    from numpy.typing import ArrayLike


class Bin(msgspec.Struct, frozen=True):
    """Rows of similar probability: their mean probability, and their positive rate with its interval."""

    rows: int
    probability: float
    rate: float
    low: float
    high: float


def reliability(labels: ArrayLike, probabilities: ArrayLike, confidence: float = 0.95) -> tuple[Bin, ...]:
    """The reliability curve, by rising probability, over the bins of the calibration error.

    The bins have (nearly) equal counts; the intervals are Wilson's score intervals (E. Wilson, JASA 22,
    1927). Raises ``ScoreError`` for what cannot be scored.
    """
    y = checked_labels(labels)
    p = checked_probabilities("the model", probabilities, y.size)
    order = np.argsort(p, kind="stable")
    y, p = y[order], p[order]
    # equal probabilities stay in one bin, as in the calibration error
    edges = np.unique(np.searchsorted(p, p[equal_count_edges(y.size)]))
    z = NormalDist().inv_cdf((1 + confidence) / 2)
    rows = np.diff(np.append(edges, y.size))
    rates = np.add.reduceat(y, edges) / rows
    means = np.add.reduceat(p, edges) / rows
    centre = (rates + z**2 / (2 * rows)) / (1 + z**2 / rows)
    half = z / (1 + z**2 / rows) * np.sqrt(rates * (1 - rates) / rows + z**2 / (4 * rows**2))
    return tuple(
        Bin(int(n), float(m), float(r), float(max(0, c - h)), float(min(1, c + h)))
        for n, m, r, c, h in zip(rows, means, rates, centre, half, strict=True)
    )
