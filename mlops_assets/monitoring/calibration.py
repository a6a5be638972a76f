"""From a model's probability to the rate that was seen at it: what estimates without labels rest on."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
import numpy as np

from mlops_assets.judging.sample import checked_labels, checked_probabilities

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

MAX_BINS = 40
ROWS_PER_BIN = 300
"""Fewer would make steps of noise: the error of a bin's rate is then up to 0.03."""


class Calibration(msgspec.Struct, frozen=True):
    """A rising line through points (probability, rate): ``rates[i]`` was seen at ``probabilities[i]``."""

    probabilities: tuple[float, ...]
    rates: tuple[float, ...]

    def __call__(self, probabilities: ArrayLike) -> NDArray[np.float64]:
        """The calibrated probabilities, float64 (rows,), straight between the points."""
        return np.interp(np.asarray(probabilities, dtype=np.float64), self.probabilities, self.rates)


def fit_calibration(labels: ArrayLike, probabilities: ArrayLike) -> Calibration:
    """The calibration seen on labelled rows that the model was not trained on, both (rows,).

    Isotonic regression (B. Zadrozny, C. Elkan, KDD 2002) over bins of equal count; beyond the outermost
    bins the line goes on to (0, 0) and (1, 1). Raises ``ScoreError`` for what cannot be scored.
    """
    from sklearn.isotonic import IsotonicRegression

    y = checked_labels(labels)
    p = checked_probabilities("the model", probabilities, y.size)
    order = np.argsort(p, kind="stable")
    bins = int(np.clip(y.size // ROWS_PER_BIN, 1, MAX_BINS))
    starts = np.unique(np.searchsorted(p[order], p[order][np.arange(bins) * y.size // bins]))
    rows = np.diff(np.append(starts, y.size))
    means = np.add.reduceat(p[order], starts) / rows
    rates = np.add.reduceat(y[order], starts) / rows
    rising = IsotonicRegression(y_min=0, y_max=1).fit_transform(means, rates, sample_weight=rows)
    inside = (means > 0) & (means < 1)
    return Calibration(
        (0.0, *(float(m) for m in means[inside]), 1.0), (0.0, *(float(r) for r in rising[inside]), 1.0)
    )
