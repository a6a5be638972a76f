import numpy as np
import pytest
from sklearn.metrics import brier_score_loss, log_loss, roc_auc_score

from mlops_assets.judging.statistics import METRICS, Statistics
from mlops_assets_tests.judging.data import World

RNG = np.random.default_rng(7)


def rounded(decimals: int) -> np.ndarray:
    """Probabilities with many ties (0 decimals: only 0 and 1)."""
    return World(3000).noisy(0.5).round(decimals)


@pytest.mark.parametrize("decimals", [12, 2, 1, 0])
@pytest.mark.parametrize("weighted", [False, True])
def test_metrics_are_those_of_scikit_learn(decimals: int, weighted: bool) -> None:  # noqa: FBT001
    world, p = World(3000), rounded(decimals)
    drawn = RNG.integers(0, 4, 3000).astype(float) if weighted else None
    found = dict(zip(METRICS, Statistics(world.labels, p).compute(drawn)[:, 0], strict=True))
    assert found["roc_auc"] == pytest.approx(roc_auc_score(world.labels, p, sample_weight=drawn), abs=1e-12)
    assert found["log_loss"] == pytest.approx(log_loss(world.labels, p, sample_weight=drawn), abs=1e-9)
    assert found["brier"] == pytest.approx(brier_score_loss(world.labels, p, sample_weight=drawn), abs=1e-12)


def test_drawing_a_row_twice_is_having_it_twice() -> None:
    world, p = World(500), rounded(2)[:500]
    drawn = RNG.integers(1, 4, 500)
    copied = Statistics(np.repeat(world.labels, drawn), np.repeat(p, drawn)).compute()[:3]
    assert Statistics(world.labels, p).compute(drawn.astype(float))[:3] == pytest.approx(copied)


def test_segments_are_scored_as_if_alone() -> None:
    world, p = World(3000), rounded(2)
    codes = RNG.integers(-1, 3, 3000)
    found = Statistics(world.labels, p, codes, 3).compute()
    for segment in range(3):
        alone = Statistics(world.labels[codes == segment], p[codes == segment]).compute()
        assert found[:, segment] == pytest.approx(alone[:, 0])


def test_the_calibration_error_is_the_mean_gap_of_the_bins() -> None:
    labels = np.array([0.0, 1.0] * 400)
    p = np.where(np.arange(800) < 400, 0.2, 0.9)  # two groups of ties, both with a rate of 0.5
    assert Statistics(labels, p).compute()[3, 0] == pytest.approx((0.3 + 0.4) / 2)


def test_a_constant_is_off_by_the_drift_of_the_rate() -> None:
    world = World(3000)
    error = Statistics(world.labels, np.full(3000, 0.1)).compute()[3, 0]
    assert error == pytest.approx(world.labels.mean() - 0.1)


def test_equal_probabilities_are_never_split_over_bins() -> None:
    world = World(3000)
    error = Statistics(world.labels, np.full(3000, world.labels.mean())).compute()[3, 0]
    assert error == pytest.approx(0)


def test_a_resample_of_one_class_has_no_auc() -> None:
    world = World(500)
    found = Statistics(world.labels, world.truth).compute(world.labels)
    assert np.isnan(found[0, 0])
    assert np.isfinite(found[1:, 0]).all()
