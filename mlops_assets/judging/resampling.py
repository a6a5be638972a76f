"""The bootstrap: how often each row is drawn in each resample, the same for all models (paired).

Source: B. Efron and R. Tibshirani, An Introduction to the Bootstrap (1993), chapters 13 and 16; for
groups, A. Davison and D. Hinkley, Bootstrap Methods and their Application (1997), section 3.8.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
import numpy as np

from mlops_assets.judging.sample import ScoreError, checked_values

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import ArrayLike, NDArray

MIN_GROUPS = 8
"""Fewest groups that are resampled: with less, the intervals would say nothing."""


class Resampling(msgspec.Struct, frozen=True):
    """How uncertainty is estimated: ``rounds`` resamples, percentiles at ``confidence``, from ``seed``."""

    rounds: int = 500
    confidence: float = 0.95
    seed: int = 0


class Estimate(msgspec.Struct, frozen=True):
    """A figure and its bootstrap interval."""

    value: float
    low: float
    high: float


def draws(
    rows: int, resampling: Resampling, groups: ArrayLike | None = None
) -> Iterator[NDArray[np.float64]]:
    """For each round, how often each of the ``rows`` is drawn, with replacement: float64 (rows,).

    With ``groups`` (one value a row: the day, the customer), whole groups are drawn: rows of one group
    share what happened to them, and drawing them one by one would make the intervals too narrow.

    Raises ``ScoreError`` for fewer than ``MIN_GROUPS`` groups.
    """
    rng = np.random.default_rng(resampling.seed)
    if groups is None:
        for _ in range(resampling.rounds):
            yield np.bincount(rng.integers(0, rows, rows), minlength=rows).astype(np.float64)
        return
    names, codes = np.unique(checked_values("groups", groups, rows), return_inverse=True)
    if names.size < MIN_GROUPS:
        raise ScoreError(
            f"groups: only {names.size} ({', '.join(names)}); at least {MIN_GROUPS} are needed for an "
            "interval: evaluate on a longer window, or resample rows"
        )
    for _ in range(resampling.rounds):
        drawn = np.bincount(rng.integers(0, names.size, names.size), minlength=names.size)
        yield drawn.astype(np.float64)[codes]


def days(times: ArrayLike) -> NDArray[np.str_]:
    """The day of each time, as groups for ``draws``: ISO text or datetime64 in, ``2013-01-31`` out.

    Raises ``ScoreError`` for what is no time.
    """
    try:
        return np.datetime_as_string(np.asarray(times).astype("datetime64[D]"))
    except ValueError as error:
        raise ScoreError(f"days: {error}: name a column of times in the gate's resample_days_of") from error


def estimate(
    value: float, replicates: NDArray[np.float64], confidence: float, *, floor: float | None = None
) -> Estimate:
    """``value`` with the percentile interval of its ``replicates`` (rounds,).

    With ``floor``, the replicates are first moved to have ``value`` as their mean, and cut at ``floor``:
    for a statistic such as the calibration error, which resampling inflates (noise adds to a sum of
    absolute deviations), the plain interval would lie above the figure itself.

    Raises ``ScoreError`` if over one in ten replicates is undefined (one class only).
    """
    defined = replicates[np.isfinite(replicates)]
    if defined.size < 0.9 * replicates.size:
        raise ScoreError(
            f"{replicates.size - defined.size} of {replicates.size} resamples hold one class only: "
            "evaluate on more rows"
        )
    if floor is not None:
        defined = np.maximum(defined + (value - defined.mean()), floor)
    tail = (1 - confidence) / 2
    low, high = np.quantile(defined, [tail, 1 - tail])
    return Estimate(float(value), float(low), float(high))
