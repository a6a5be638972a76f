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
_TAIL = np.array([0.01, 0.03, 0.1, 0.2, 0.35, 0.5, 0.7, 0.85])
"""Where the line has points between an outermost bin (1) and the end (0)."""


class Calibration(msgspec.Struct, frozen=True):
    """A rising line through points (probability, rate): ``rates[i]`` was seen at ``probabilities[i]``."""

    probabilities: tuple[float, ...]
    rates: tuple[float, ...]

    def __call__(self, probabilities: ArrayLike) -> NDArray[np.float64]:
        """The calibrated probabilities, float64 (rows,), straight between the points."""
        return np.interp(np.asarray(probabilities, dtype=np.float64), self.probabilities, self.rates)


def fit_calibration(labels: ArrayLike, probabilities: ArrayLike) -> Calibration:
    """The calibration seen on labelled rows that the model was not trained on, both (rows,).

    Isotonic regression (B. Zadrozny, C. Elkan, KDD 2002) over bins of equal count. Beyond the outermost
    bins, where rows are few, the log odds go on with the slope that they have overall (J. Platt, 1999).
    Raises ``ScoreError`` for what cannot be scored.
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
    x, r = means[inside], np.clip(rising[inside], 0.5 / y.size, 1 - 0.5 / y.size)
    if not x.size:
        return Calibration((0.0, 1.0), (0.0, 1.0))
    slope = _slope(x, r, rows[inside])
    low = _odds_to(x[0] * _TAIL, x[0], r[0], slope)
    high = _odds_to(1 - (1 - x[-1]) * _TAIL[::-1], x[-1], r[-1], slope)
    points = np.concatenate([[0], x[0] * _TAIL, x, 1 - (1 - x[-1]) * _TAIL[::-1], [1]])
    line = np.concatenate([[0], low, r, high, [1]])
    return Calibration(tuple(points.tolist()), tuple(line.tolist()))


def _slope(x: NDArray[np.float64], r: NDArray[np.float64], rows: NDArray[np.int64]) -> float:
    """That of the log odds of ``r`` over those of ``x``, least squares weighted by what is known of each."""
    weight = rows * r * (1 - r)
    u, v = _log_odds(x), _log_odds(r)
    u, v = u - np.average(u, weights=weight), v - np.average(v, weights=weight)
    spread = float((weight * u * u).sum())
    return max(float((weight * u * v).sum()) / spread, 0.0) if spread > 0 else 1.0


def _odds_to(to: NDArray[np.float64], x: float, r: float, slope: float) -> NDArray[np.float64]:
    """The rates at ``to``, going on from the point (x, r)."""
    odds = _log_odds(np.asarray(r)) + slope * (_log_odds(to) - _log_odds(np.asarray(x)))
    rates: NDArray[np.float64] = 1 / (1 + np.exp(-odds))
    return rates


def _log_odds(p: NDArray[np.float64]) -> NDArray[np.float64]:
    odds: NDArray[np.float64] = np.log(p) - np.log1p(-p)
    return odds
