"""The usual movement by number of days."""

from __future__ import annotations

import numpy as np
import pytest

from mlops_assets.monitoring.distance import distance
from mlops_assets.monitoring.profiles import make_binning, profile
from mlops_assets.monitoring.usual import MOST_DAYS, usual_movement


def test_each_length_is_the_mean_over_all_stretches_of_days_in_order() -> None:
    training = {"x": np.array(["a", "b", "c"] * 1_000, dtype=object)}
    reference = profile(make_binning(training, (), ("x",)), training)
    held_out = {"x": np.array(["a"] * 100 + ["b"] * 100 + ["a", "b", "c", "c"] * 25, dtype=object)}
    day = np.repeat(["2013-03-01", "2013-03-02", "2013-03-03"], 100)
    shuffled = np.random.default_rng(0).permutation(300)  # rows need not be in order
    usual = usual_movement(reference, {"x": held_out["x"][shuffled]}, day[shuffled])

    def far(*counts: int) -> float:
        return distance(np.array([1_000, 1_000, 1_000]), np.array(counts))

    ones = np.mean([far(100, 0, 0), far(0, 100, 0), far(25, 25, 50)])
    twos = np.mean([far(100, 100, 0), far(25, 125, 50)])
    assert far(100, 0, 0) > 2 * far(25, 25, 50)
    assert usual.distances["x"] == pytest.approx((ones, twos, far(125, 125, 50)), abs=1e-5)
    assert usual.rows_a_day == 100
    assert [usual.days_of(n) for n in (0, 90, 160, 1_000)] == [1, 1, 2, 3]
    assert usual.distance("x", 99) == usual.distance("x", 3)


def test_without_days_all_rows_are_one_stretch() -> None:
    columns = {"x": np.arange(100.0)}
    reference = profile(make_binning(columns, ("x",), ()), columns)
    usual = usual_movement(reference, columns, None)
    assert usual.distances == {"x": (0.0,)}
    assert usual.days == usual.days_of(5) == usual.days_of(10**6) == 1


def test_many_days_are_taken_together() -> None:
    columns = {"x": np.arange(1_000.0)}
    reference = profile(make_binning(columns, ("x",), ()), columns)
    day = (np.datetime64("2013-01-01") + np.arange(1_000) // 2).astype(str)
    assert usual_movement(reference, columns, day).days == MOST_DAYS
