"""Columns and references with known truth, for the tests of ``monitoring`` and its benchmark."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from mlops_assets.judging.metrics import Score
from mlops_assets.judging.resampling import Estimate
from mlops_assets.monitoring.calibration import Calibration
from mlops_assets.monitoring.profiles import make_binning, profile
from mlops_assets.monitoring.reference import SCORES, Reference
from mlops_assets.monitoring.usual import usual_movement

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import ArrayLike, NDArray

    Columns = dict[str, NDArray[Any]]

NUMERIC = tuple(f"n{at}" for at in range(16))
CATEGORICAL = tuple(f"c{at}" for at in range(4))


def columns(rows: int, seed: int, moved: Sequence[str] = (), shift: float = 1.0) -> Columns:
    """Independent columns: normal numbers, and texts of 3, 6, 9 and 12 values; those ``moved`` otherwise."""
    rng = np.random.default_rng(seed)
    made: Columns = {}
    for name in NUMERIC:
        made[name] = rng.normal(shift if name in moved else 0.0, 1, rows)
    for at, name in enumerate(CATEGORICAL, 1):
        weights = np.arange(1.0, 3 * at + 1) if name in moved else np.ones(3 * at)
        made[name] = rng.choice([f"v{n}" for n in range(3 * at)], rows, p=weights / weights.sum()).astype(
            object
        )
    return made


def promise(roc_auc: float = 0.7) -> Score:
    """A score as an evaluation gives it."""
    return Score(10_000, 2_000, *(Estimate(v, v - 0.01, v + 0.01) for v in (roc_auc, 0.45, 0.14, 0.02)))


def reference_of(  # what a reference is made of
    training: Columns,
    held_out: Columns,
    scores: ArrayLike,
    day: ArrayLike | None = None,
    numeric: Sequence[str] = NUMERIC,
    categorical: Sequence[str] = CATEGORICAL,
) -> Reference:
    """A reference with an identity for its calibration and a ROC AUC of 0.7 promised by champion "7"."""
    binning = make_binning(training, numeric, categorical)
    p = np.asarray(scores)
    trained_on = profile(binning, training)
    spread = profile(make_binning({SCORES: p}, (SCORES,), ()), {SCORES: p})
    return Reference(
        project="toy",
        champion="7",
        training_set="abc",
        held_out="2013-03",
        features=trained_on,
        held_out_features=profile(binning, held_out),
        scores=spread,
        usual_features=usual_movement(trained_on, held_out, day),
        usual_scores=usual_movement(spread, {SCORES: p}, day),
        calibration=Calibration((0.0, 1.0), (0.0, 1.0)),
        promised=promise(),
        positive_rate=0.2,
    )
