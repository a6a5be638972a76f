"""The naive baseline: what anybody can say who knows nothing of the row in question."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
import numpy as np

from mlops_assets.judging.sample import checked_labels

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray


class Baseline(msgspec.Struct, frozen=True):
    """Answers every row with ``rate``, the positive rate of the training set.

    It ranks nothing (its ROC AUC is 0.5 by definition), so a model must beat it on both counts: rank
    (AUC) and worth of the probabilities (log loss). Its calibration error on later rows is
    ``|rate - their positive rate|``: the drift of the label alone, which the gate uses as such.
    """

    rate: float
    rows: int

    def predict(self, rows: int) -> NDArray[np.float64]:
        """Its probabilities for ``rows`` rows, float64 (rows,)."""
        return np.full(rows, self.rate)


def fit_baseline(training_labels: ArrayLike) -> Baseline:
    """The baseline of a training set. Raises ``ScoreError`` for labels that are not 0 or 1."""
    y = checked_labels(training_labels)
    return Baseline(rate=float(y.mean()), rows=int(y.size))
