"""How far apart two binned samples are, and whether that can be chance."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

MIN_EXPECTED = 5.0
"""Rows expected of a bin in the smaller sample (W. Cochran, Biometrics 10, 1954), or it is a rare one."""


def distance(reference: NDArray[np.int64], window: NDArray[np.int64]) -> float:
    """The Jensen-Shannon distance of two samples' counts (bins,): 0 alike, 1 without a common bin.

    The root of the divergence in bits (J. Lin, IEEE Transactions on Information Theory 37, 1991; a metric:
    D. Endres, J. Schindelin, 2003), less what chance alone gives: samples of one distribution with k bins
    are (k - 1) / 8 * (1 / n + 1 / m) nats apart on average, which is not little where bins are many and
    rows few. NaN if either has no rows.
    """
    n, m = int(reference.sum()), int(window.sum())
    if not n or not m:
        return float("nan")
    p, q = reference / n, window / m
    mid = (p + q) / 2
    used = mid > 0
    divergence = (_entropy(mid[used]) - (_entropy(p[p > 0]) + _entropy(q[q > 0])) / 2) / np.log(2)
    chance = (np.count_nonzero(used) - 1) / (8 * np.log(2)) * (1 / n + 1 / m)
    return float(np.sqrt(np.clip(divergence - chance, 0, 1))) if np.any(p[q > 0]) else 1.0


def p_value(reference: NDArray[np.int64], window: NDArray[np.int64]) -> float:
    """How likely rows of one distribution give counts (bins,) that differ this much: a p-value.

    Pearson's chi-square test of homogeneity (1900) on two samples. Bins too rare for it are taken together;
    if still too rare, that the window has so many of them is tested exactly (binomial), and the smaller of
    the two p-values counts twice (C. Bonferroni). 1 where one bin holds all.
    """
    from scipy.special import bdtrc

    n, m = int(reference.sum()), int(window.sum())
    if not n or not m:
        return 1.0
    rare = (reference + window) * (min(n, m) / (n + m)) < MIN_EXPECTED
    counts = np.array([[*x[~rare], x[rare].sum()] for x in (reference, window)], dtype=np.float64)
    together = int(counts[:, -1].sum())
    if together * (min(n, m) / (n + m)) >= MIN_EXPECTED:
        return _chi_square(counts)
    common = _chi_square(counts[:, :-1])
    if not together:
        return common
    return min(1.0, 2 * min(common, float(bdtrc(counts[1, -1] - 1, together, m / (n + m)))))


def _chi_square(counts: NDArray[np.float64]) -> float:
    """``counts``: (2, bins), each bin with rows."""
    from scipy.special import chdtrc

    if counts.shape[1] < 2:
        return 1.0
    expected = np.outer(counts.sum(axis=1), counts.sum(axis=0)) / counts.sum()
    return float(chdtrc(counts.shape[1] - 1, ((counts - expected) ** 2 / expected).sum()))


def holm(p_values: Sequence[float]) -> list[float]:
    """The p-values adjusted for how many there are (S. Holm, Scandinavian Journal of Statistics 6, 1979).

    Those at or below a rate are false alarms, any at all, with at most that probability, however the tests
    depend on each other.
    """
    p = np.asarray(p_values, dtype=np.float64)
    order = np.argsort(p, kind="stable")
    adjusted = np.empty(p.size)
    adjusted[order] = np.maximum.accumulate(np.minimum(p[order] * np.arange(p.size, 0, -1), 1))
    return [float(one) for one in adjusted]


def _entropy(p: NDArray[np.float64]) -> float:
    return float(-(p * np.log(p)).sum())
