"""Performance before outcomes arrive: what calibrated scores alone let one expect.

Confidence-based performance estimation (CBPE; NannyML, 2022; J. Bialek et al., "Estimating model performance
under covariate shift without labels", arXiv:2401.08348): a row whose calibrated probability is c counts as c
of a positive and 1 - c of a negative row. With p the model's own probability:

- positive rate: mean of c.
- Brier score: mean of c (1 - p)^2 + (1 - c) p^2.
- log loss: mean of -(c log p + (1 - c) log(1 - p)).
- ROC AUC: the share of pairs that are in the right order, each pair of rows i and j weighted with
  c_i (1 - c_j), ties counting half.

It holds as long as the calibration does: features may move, but what follows from them must not.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
import numpy as np

from mlops_assets.judging.sample import ScoreError, checked_probabilities
from mlops_assets.judging.statistics import log_losses

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    from mlops_assets.monitoring.reference import Reference


class Expected(msgspec.Struct, frozen=True):
    """What is expected of the model on ``rows`` rows without labels."""

    rows: int
    roc_auc: float
    log_loss: float
    brier: float
    positive_rate: float


def estimate_performance(reference: Reference, scores: ArrayLike) -> Expected:
    """What the champion of ``reference`` is expected to reach on rows with these ``scores`` (rows,).

    Raises ``ScoreError`` for no rows, or what is no probability.
    """
    p = checked_probabilities("the model", scores, np.size(scores))
    return expect(p, reference.calibration(p))


def expect(probabilities: NDArray[np.float64], calibrated: NDArray[np.float64]) -> Expected:
    """The estimates from the model's ``probabilities`` and the ``calibrated`` ones, both (rows,)."""
    p, c = probabilities, calibrated
    if not p.size:
        raise ScoreError("no scores: nothing can be expected of no rows")
    loss = c * log_losses(np.ones_like(p), p) + (1 - c) * log_losses(np.zeros_like(p), p)
    return Expected(
        rows=int(p.size),
        roc_auc=_auc(p, c),
        log_loss=float(loss.mean()),
        brier=float((c * (1 - p) ** 2 + (1 - c) * p**2).mean()),
        positive_rate=float(c.mean()),
    )


def _auc(p: NDArray[np.float64], c: NDArray[np.float64]) -> float:
    """The expected share of ordered pairs; 0.5 where there are none. A row makes no pair with itself."""
    order = np.argsort(p, kind="stable")
    p, c = p[order], c[order]
    starts = np.flatnonzero(np.append(True, p[1:] != p[:-1]))
    positive = np.add.reduceat(c, starts)
    negative = np.add.reduceat(1 - c, starts)
    below = np.concatenate([[0.0], np.cumsum(negative)[:-1]])
    itself = float((c * (1 - c)).sum())
    wins = float((positive * (below + negative / 2)).sum()) - itself / 2
    pairs = float(positive.sum() * negative.sum()) - itself
    return wins / pairs if pairs > 0 else 0.5
