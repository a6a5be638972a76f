import numpy as np
import pytest

from mlops_assets.judging.metrics import replicate, score
from mlops_assets.judging.resampling import Resampling
from mlops_assets.judging.sample import ScoreError
from mlops_assets.judging.statistics import Statistics
from mlops_assets_tests.judging.data import World


def test_a_score_counts_and_rounds() -> None:
    world = World(2000)
    found = score(world.labels, world.truth)
    assert (found.rows, found.positives) == (2000, int(world.labels.sum()))
    numbers = found.as_numbers()
    assert numbers["rows"] == 2000
    assert numbers["roc_auc"] == round(found.roc_auc.value, 5)
    assert numbers["roc_auc_low"] < numbers["roc_auc"] < numbers["roc_auc_high"]


def test_a_perfectly_calibrated_model_has_a_small_calibration_error_and_an_interval_around_it() -> None:
    world = World(20_000)
    error = score(world.labels, world.truth).calibration_error
    assert 0 <= error.low < error.value < error.high < 0.03


def test_the_interval_of_the_calibration_error_holds_it_although_resampling_inflates_it() -> None:
    world = World(1500, seed=3)
    error = score(world.labels, world.truth).calibration_error
    plain = replicate([Statistics(world.labels, world.truth)], 1500, Resampling())[0].drawn[:, 3, 0]
    assert np.quantile(plain, 0.1) > error.value  # what the centring is for
    assert 0 <= error.low < error.value < error.high < np.quantile(plain, 0.975)


def test_a_paired_difference_is_narrower_than_the_scores_it_is_of() -> None:
    world = World(5000)
    models = [Statistics(world.labels, world.noisy(noise)) for noise in (0.1, 0.2)]
    better, worse = replicate(models, 5000, Resampling())
    difference = better.minus(worse).roc_auc
    assert difference.value == pytest.approx(better.value[0, 0] - worse.value[0, 0])
    single = better.score(5000, 0).roc_auc
    assert (difference.high - difference.low) < 0.6 * (single.high - single.low)
    assert difference.low > 0  # and so a true difference is seen where the intervals overlap


def test_a_model_differs_from_itself_by_nothing() -> None:
    world = World(1000)
    one, same = replicate([Statistics(world.labels, world.truth)] * 2, 1000, Resampling())
    difference = one.minus(same)
    assert (difference.roc_auc.low, difference.roc_auc.high) == (0, 0)


def test_certain_and_wrong_is_finite_and_bad() -> None:
    labels = np.array([0.0, 1.0] * 50)
    assert score(labels, 1 - labels).log_loss.value == pytest.approx(36.04, abs=0.01)
    assert score(labels, 1 - labels).roc_auc.value == 0


def test_what_cannot_be_scored_raises() -> None:
    with pytest.raises(ScoreError, match="0 of 50 rows are positive"):
        score(np.zeros(50), np.full(50, 0.5))
    with pytest.raises(ScoreError, match="row 7 is nan"):
        score(np.array([0.0, 1.0] * 20), np.where(np.arange(40) == 7, np.nan, 0.5))
