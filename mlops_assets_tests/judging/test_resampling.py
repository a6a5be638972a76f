import time

import numpy as np
import pytest

from mlops_assets.judging.metrics import replicate, score
from mlops_assets.judging.resampling import Resampling, days, draws, estimate
from mlops_assets.judging.sample import ScoreError
from mlops_assets.judging.statistics import Statistics
from mlops_assets_tests.judging.data import World


def test_each_round_draws_as_many_rows_as_there_are_and_the_seed_decides_which() -> None:
    resampling = Resampling(rounds=20, seed=3)
    first, again = list(draws(100, resampling)), list(draws(100, resampling))
    other = next(draws(100, Resampling(rounds=20, seed=4)))
    assert all(drawn.sum() == 100 for drawn in first)
    assert np.array_equal(first, again)
    assert not np.array_equal(first[0], other)
    assert not np.array_equal(first[0], first[1])


def test_rows_of_a_group_are_drawn_together() -> None:
    groups = np.arange(100) % 10
    for drawn in draws(100, Resampling(rounds=20), groups):
        by_group = drawn.reshape(10, 10)
        assert (by_group == by_group[0]).all()
        assert drawn.sum() == 100


def test_too_few_groups_are_refused() -> None:
    with pytest.raises(ScoreError, match="only 2"):
        next(draws(100, Resampling(), np.arange(100) % 2))


def test_groups_that_share_their_fate_widen_the_interval() -> None:
    rng = np.random.default_rng(0)
    day = np.repeat(np.arange(30), 100)
    rate = rng.uniform(0.05, 0.6, 30)[day]  # the weather of the day, which the model does not know
    labels = (rng.random(3000) < rate).astype(float)
    p = np.full(3000, 0.3)
    rows, days = score(labels, p), score(labels, p, groups=day)
    assert days.brier.value == rows.brier.value
    assert days.brier.high - days.brier.low > 3 * (rows.brier.high - rows.brier.low)


@pytest.mark.parametrize("kind", [object, "datetime64[m]"])
def test_times_become_days(kind: str | type) -> None:
    times = np.array(["2013-04-19T23:59", "2013-04-20T00:00", "2013-04-20T07:15"], dtype=kind)
    assert days(times).tolist() == ["2013-04-19", "2013-04-20", "2013-04-20"]
    with pytest.raises(ScoreError, match="name a column of times"):
        days(np.array(["DL", "UA"]))


def test_undefined_replicates_are_not_hidden() -> None:
    replicates = np.array([0.5] * 85 + [np.nan] * 15)
    with pytest.raises(ScoreError, match="15 of 100 resamples"):
        estimate(0.5, replicates, 0.95)


@pytest.mark.parametrize("metric", ["roc_auc", "log_loss", "brier"])
def test_intervals_hold_the_truth_about_as_often_as_they_say(metric: str) -> None:
    """Of 120 samples, the true value of a huge sample lies in about 95% of their 95% intervals.

    With fewer than 106 hits, a coverage of 95% is refuted at 1 in 1,000 (binomial).
    """
    huge = World(400_000, seed=99)
    truth = getattr(score(huge.labels, huge.truth, Resampling(rounds=2)), metric).value
    hits = 0
    for seed in range(120):
        world = World(600, seed=seed)
        one = getattr(score(world.labels, world.truth, Resampling(rounds=200, seed=seed)), metric)
        hits += one.low <= truth <= one.high
    assert 106 <= hits <= 120
    assert one.low < one.value < one.high


def test_four_models_on_a_month_of_flights_take_under_three_seconds() -> None:
    world = World(28_000)
    statistics = [Statistics(world.labels, world.noisy(noise)) for noise in (0.1, 0.2, 0.3, 0.4)]
    started = time.process_time()
    replicate(statistics, 28_000, Resampling(rounds=500))
    assert time.process_time() - started < 3
