import numpy as np
import pytest

from mlops_assets.judging.baseline import fit_baseline
from mlops_assets.judging.metrics import score
from mlops_assets.judging.sample import ScoreError


def test_the_baseline_answers_with_the_training_rate() -> None:
    baseline = fit_baseline(np.array([1] * 30 + [0] * 70))
    assert baseline.rows == 100
    assert baseline.predict(3).tolist() == [0.3, 0.3, 0.3]


def test_the_baseline_ranks_nothing() -> None:
    labels = np.array([0, 1, 0, 0] * 50)
    found = score(labels, fit_baseline(labels).predict(200))
    assert (found.roc_auc.low, found.roc_auc.value, found.roc_auc.high) == (0.5, 0.5, 0.5)


def test_training_labels_that_are_no_labels_are_refused() -> None:
    with pytest.raises(ScoreError, match="neither 0 nor 1"):
        fit_baseline([0, 1, np.nan] * 20)
