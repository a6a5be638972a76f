import numpy as np
import pytest

from mlops_assets.judging.calibration import reliability
from mlops_assets.judging.statistics import MAX_BINS
from mlops_assets_tests.judging.data import World


def test_the_curve_of_the_truth_lies_on_the_diagonal() -> None:
    world = World(30_000)
    bins = reliability(world.labels, world.truth)
    assert len(bins) == MAX_BINS
    assert sum(b.rows for b in bins) == 30_000
    inside = sum(b.low <= b.probability <= b.high for b in bins)
    assert inside >= MAX_BINS - 3  # 95% intervals: four or more misses of 15 are 1 in 200


def test_the_curve_of_an_overconfident_model_leaves_the_diagonal() -> None:
    world = World(30_000)
    odds = (world.truth / (1 - world.truth)) ** 3
    bins = reliability(world.labels, odds / (1 + odds))
    assert bins[0].low > bins[0].probability
    assert bins[-1].high < bins[-1].probability


def test_bins_of_a_known_answer() -> None:
    labels = np.array([0.0, 0.0, 0.0, 1.0] * 100)
    [one] = reliability(labels, np.full(400, 0.4))
    assert [one.rows, one.probability, one.rate] == pytest.approx([400, 0.4, 0.25])
    # Wilson's interval of 100 in 400 at 95%
    assert [one.low, one.high] == pytest.approx([0.2100, 0.2947], abs=1e-4)
