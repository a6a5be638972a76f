"""What users got: ROC AUC and log loss by partition and overall."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from mlops_assets.project import Project
    from mlops_assets.replay.history import History
    from mlops_assets.replay.training import Trainer
    from mlops_assets.replay.watch import Served


@dataclass(frozen=True)
class Got:
    """On ``rows`` rows. Both are NaN where a partition has too few rows of a class."""

    rows: int
    roc_auc: float
    log_loss: float


@dataclass(frozen=True)
class Line:
    """A strategy's results by partition. ``versions``: what served, in order."""

    name: str
    parts: Mapping[str, Got]
    versions: Mapping[str, tuple[str, ...]]

    @property
    def roc_auc(self) -> float:
        """The mean over the partitions, weighted by their rows."""
        return weighted([part.roc_auc for part in self.parts.values()], self._rows)

    @property
    def log_loss(self) -> float:
        """The mean over all rows."""
        return weighted([part.log_loss for part in self.parts.values()], self._rows)

    @property
    def _rows(self) -> list[int]:
        return [part.rows for part in self.parts.values()]


def weighted(values: Sequence[float], rows: Sequence[int]) -> float:
    """The mean of ``values`` by ``rows``; those that are NaN are left out."""
    known = [(value, n) for value, n in zip(values, rows, strict=True) if not np.isnan(value)]
    return sum(v * n for v, n in known) / sum(n for _, n in known) if known else float("nan")


def share(value: float, worst: float, best: float) -> float:
    """How much of the way from ``worst`` to ``best`` ``value`` has made; NaN where there is no way."""
    return (value - worst) / (best - worst) if abs(best - worst) > 1e-12 else float("nan")


def got(labels: NDArray[np.float64], probabilities: NDArray[np.float64]) -> Got:
    """The figures of one partition; both (rows,)."""
    from mlops_assets.monitoring.performance import figures

    found = figures(labels, probabilities)
    auc = float("nan") if found.roc_auc is None else found.roc_auc
    loss = float("nan") if found.log_loss is None else found.log_loss
    return Got(found.rows, auc, loss)


class Scorer:
    """Scores what was served against the true labels: afterwards, when all are known."""

    def __init__(self, project: Project, history: History, trainer: Trainer) -> None:
        self._label = project.features.label
        self._history = history
        self._trainer = trainer

    def line(self, name: str, served: Sequence[Served]) -> Line:
        """The results of what ``served`` says, by partition."""
        parts: dict[str, list[Served]] = {}
        for one in served:
            parts.setdefault(one.partition, []).append(one)
        versions = {p: tuple(dict.fromkeys(s.version for s in ones)) for p, ones in parts.items()}
        return Line(name, {p: self._got(p, ones) for p, ones in parts.items()}, versions)

    def _got(self, partition: str, served: Sequence[Served]) -> Got:
        y = self._history.frames[partition][self._label].to_numpy().astype(np.float64)
        at = np.concatenate([np.arange(s.first, s.last) for s in served])
        p = np.concatenate([self._trainer.scores(s.model, partition)[s.first : s.last] for s in served])
        return got(y[at], p)
