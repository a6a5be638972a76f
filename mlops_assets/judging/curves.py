"""The ROC curve, thinned to what a picture shows."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from mlops_assets.judging.sample import checked_labels, checked_probabilities

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray


def roc_curve(
    labels: ArrayLike, probabilities: ArrayLike, points: int = 200
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """False and true positive rates from (0, 0) to (1, 1), each float64 (at most about ``points``,).

    Points of the exact curve, spread evenly along it. Raises ``ScoreError`` for what cannot be scored.
    """
    y = checked_labels(labels)
    p = checked_probabilities("the model", probabilities, y.size)
    order = np.argsort(-p, kind="stable")
    y, p = y[order], p[order]
    ends = np.append(np.flatnonzero(p[1:] != p[:-1]), p.size - 1)  # the curve has a corner after each tie
    true = np.concatenate([[0.0], np.cumsum(y)[ends] / y.sum()])
    false = np.concatenate([[0.0], np.cumsum(1 - y)[ends] / (y.size - y.sum())])
    keep = np.unique(np.searchsorted(false + true, np.linspace(0, 2, points)).clip(0, true.size - 1))
    keep = np.union1d(keep, [0, true.size - 1])
    return false[keep], true[keep]
