"""Scores with confidence intervals, for one model or for several on the same resamples."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
import numpy as np

from mlops_assets.judging.resampling import Estimate, Resampling, draws, estimate
from mlops_assets.judging.sample import checked_labels, checked_probabilities
from mlops_assets.judging.statistics import METRICS, Statistics

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import ArrayLike, NDArray

_AUC, _CALIBRATION = METRICS.index("roc_auc"), METRICS.index("calibration_error")


class Score(msgspec.Struct, frozen=True):
    """How good a model's probabilities are on some rows; formulas and sources in ``statistics``."""

    rows: int
    positives: int
    roc_auc: Estimate
    log_loss: Estimate
    brier: Estimate
    calibration_error: Estimate

    def as_numbers(self) -> dict[str, float]:
        """The figures as plain numbers of five digits, with the interval of the AUC: for tables and logs."""
        auc = {"roc_auc_low": self.roc_auc.low, "roc_auc_high": self.roc_auc.high}
        figures = {name: getattr(self, name).value for name in METRICS} | auc
        return {"rows": self.rows, **{name: round(figure, 5) for name, figure in figures.items()}}


class Difference(msgspec.Struct, frozen=True):
    """One model's metric minus another's, from the same resamples (paired)."""

    roc_auc: Estimate
    log_loss: Estimate
    brier: Estimate


class Replicates:
    """A model's metrics: ``value`` (4, segments), and of each resample ``drawn`` (rounds, 4, segments)."""

    def __init__(self, value: NDArray[np.float64], drawn: NDArray[np.float64], confidence: float) -> None:
        self.value = value
        self.drawn = drawn
        self.confidence = confidence

    def score(self, rows: int, positives: int, segment: int = 0) -> Score:
        """The score of ``segment``, which holds ``rows`` rows of which ``positives`` are positive."""
        figures = [
            estimate(
                self.value[metric, segment],
                self.drawn[:, metric, segment],
                self.confidence,
                floor=0.0 if metric == _CALIBRATION else None,
            )
            for metric in range(len(METRICS))
        ]
        return Score(rows, positives, *figures)

    def minus(self, other: Replicates, segment: int = 0) -> Difference:
        """This model's metrics minus the ``other``'s. Both must come from one call of ``replicate``."""
        figures = [
            estimate(
                self.value[metric, segment] - other.value[metric, segment],
                self.drawn[:, metric, segment] - other.drawn[:, metric, segment],
                self.confidence,
            )
            for metric in range(_CALIBRATION)
        ]
        return Difference(*figures)

    def auc_minus(self, other: Replicates, segment: int) -> Estimate:
        """The difference in ROC AUC alone."""
        return estimate(
            self.value[_AUC, segment] - other.value[_AUC, segment],
            self.drawn[:, _AUC, segment] - other.drawn[:, _AUC, segment],
            self.confidence,
        )


def replicate(
    statistics: Sequence[Statistics],
    rows: int,
    resampling: Resampling,
    groups: ArrayLike | None = None,
) -> list[Replicates]:
    """Each of ``statistics`` on all ``rows`` and on the same resamples of them: what makes them paired."""
    drawn = [np.empty((resampling.rounds, len(METRICS), one.segments)) for one in statistics]
    for at, weights in enumerate(draws(rows, resampling, groups)):
        for one, into in zip(statistics, drawn, strict=True):
            into[at] = one.compute(weights)
    return [
        Replicates(one.compute(), into, resampling.confidence)
        for one, into in zip(statistics, drawn, strict=True)
    ]


def score(
    labels: ArrayLike,
    probabilities: ArrayLike,
    resampling: Resampling | None = None,
    groups: ArrayLike | None = None,
) -> Score:
    """The score of one model: ``labels`` 0 or 1 and ``probabilities`` in [0, 1], both of shape (rows,).

    Raises ``ScoreError`` for what cannot be scored.
    """
    y = checked_labels(labels)
    p = checked_probabilities("the model", probabilities, y.size)
    [replicates] = replicate([Statistics(y, p)], y.size, resampling or Resampling(), groups)
    return replicates.score(y.size, int(y.sum()))
