"""How good predictions of a family's own validation rows are: two numbers, without heavy imports."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

_SMALLEST = 1e-7


def log_loss(y: NDArray[Any], probability: NDArray[np.floating[Any]]) -> float:
    """Mean logarithmic loss of ``probability`` (rows,) of label 1; NaN where one is NaN."""
    p = np.clip(probability, _SMALLEST, 1 - _SMALLEST)
    return float(-np.mean(np.where(y > 0, np.log(p), np.log1p(-p))))


def roc_auc(y: NDArray[Any], probability: NDArray[np.floating[Any]]) -> float:
    """Area under the ROC curve, ties counted half; NaN where ``y`` has one label only."""
    positive = np.asarray(y) > 0
    positives = int(positive.sum())
    negatives = len(positive) - positives
    if not positives or not negatives:
        return float("nan")
    _, place, count = np.unique(probability, return_inverse=True, return_counts=True)
    rank = (np.cumsum(count) - (count - 1) / 2)[place]
    above = rank[positive].sum() - positives * (positives + 1) / 2
    return float(above / (positives * negatives))
