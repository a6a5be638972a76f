"""Judged models with known truth, for the tests of ``judging``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from mlops_assets.judging.evaluation import Evaluation, evaluate
from mlops_assets.project import Gate

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[np.float64]

GATE = Gate(bootstrap_rounds=200)


class World:
    """Rows whose true probability is known: ``labels`` are drawn from ``truth``, both (rows,)."""

    def __init__(self, rows: int = 8000, seed: int = 0) -> None:
        self.rng = np.random.default_rng(seed)
        self.logit = self.rng.normal(-1.3, 1.0, rows)
        self.truth = sigmoid(self.logit)
        self.labels = (self.rng.random(rows) < self.truth).astype(np.float64)
        self.carrier = self.rng.choice(["AA", "DL", "UA"], rows, p=[0.6, 0.3, 0.1])

    def noisy(self, noise: float, seed: int = 1) -> Array:
        """A model that sees the truth through noise of this standard deviation on the logit."""
        rng = np.random.default_rng(seed)
        return sigmoid(self.logit + rng.normal(0, noise, self.logit.size))

    def evaluate(self, candidate: Array, champion: Array | None = None, **more: Any) -> Evaluation:
        """The evaluation of a candidate called "new", beside a baseline that knows the rate."""
        predictions = {"baseline": np.full(self.labels.size, self.labels.mean()), "new": candidate}
        if champion is not None:
            predictions["champion"] = champion
        return evaluate(self.labels, predictions, {"carrier": self.carrier}, more.pop("gate", GATE), **more)


def sigmoid(logit: Array) -> Array:
    probability: Array = 1 / (1 + np.exp(-logit))
    return probability
