"""The families' own metrics are scikit-learn's."""

from __future__ import annotations

import math

import numpy as np
import pytest

from mlops_assets.families.validation import log_loss, roc_auc


@pytest.mark.parametrize("digits", [16, 1])
def test_they_equal_those_of_scikit_learn(digits: int) -> None:
    from sklearn import metrics

    rng = np.random.default_rng(0)
    y = (rng.random(500) < 0.3).astype(np.float32)
    p = np.clip(np.round(0.4 * y + 0.6 * rng.random(500), digits), 0.01, 0.99)
    assert roc_auc(y, p) == pytest.approx(metrics.roc_auc_score(y, p), abs=1e-12)
    assert log_loss(y, p) == pytest.approx(metrics.log_loss(y, p), abs=1e-12)


def test_one_label_has_no_auc_and_nan_no_loss() -> None:
    assert math.isnan(roc_auc(np.ones(3), np.array([0.1, 0.2, 0.3])))
    assert math.isnan(log_loss(np.ones(2), np.array([0.1, np.nan])))
