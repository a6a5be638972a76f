"""The distance and the test, held against SciPy and against chance."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.spatial.distance import jensenshannon
from scipy.stats import chi2_contingency

from mlops_assets.monitoring.distance import distance, holm, p_value


def test_distance_is_scipys_where_rows_are_many() -> None:
    rng = np.random.default_rng(0)
    a, b = rng.multinomial(10**9, [0.1, 0.2, 0.3, 0.4]), rng.multinomial(10**9, [0.4, 0.3, 0.2, 0.1])
    assert distance(a, b) == pytest.approx(jensenshannon(a / 1e9, b / 1e9, base=2), abs=1e-4)
    assert distance(a, b) == pytest.approx(distance(b, a))


def test_distance_is_one_without_a_common_bin_and_none_without_rows() -> None:
    assert distance(np.array([5, 0]), np.array([0, 7])) == 1
    assert np.isnan(distance(np.array([5, 0]), np.array([0, 0])))


def test_chance_is_taken_off_the_distance() -> None:
    rng = np.random.default_rng(1)
    share = np.full(100, 0.01)
    raw, ours = [], []
    for _ in range(200):
        a, b = rng.multinomial(50_000, share), rng.multinomial(2_000, share)
        raw.append(jensenshannon(a / a.sum(), b / b.sum(), base=2))
        ours.append(distance(a, b))
    assert np.mean(raw) > 0.09  # what would pass for drift: "at least 0.1"
    assert np.mean(ours) < 0.03


def test_p_value_is_the_chi_square_tests() -> None:
    a, b = np.array([100, 200, 300]), np.array([50, 80, 170])
    assert p_value(a, b) == pytest.approx(chi2_contingency([a, b], correction=False).pvalue)


def test_rare_bins_are_tested_as_one() -> None:
    a, b = np.array([1000, 1000, 1, 2, 3, 0]), np.array([1000, 900, 0, 2, 1, 3])
    pooled = chi2_contingency([[1000, 1000, 6], [1000, 900, 6]], correction=False).pvalue
    assert p_value(a, b) == pytest.approx(pooled)


def test_one_row_where_none_is_expected_is_no_sensation() -> None:
    a, b = np.array([50_000, 50_000, 0]), np.array([1_000, 1_000, 1])
    assert p_value(a, b) > 0.03
    assert p_value(a, np.array([1_000, 1_000, 40])) < 1e-6


def test_rare_values_do_not_cry_wolf() -> None:
    rng = np.random.default_rng(3)
    share = np.array([0.5, 0.4999, 0.00005, 0.00005])
    p = [p_value(rng.multinomial(50_000, share), rng.multinomial(2_000, share)) for _ in range(2_000)]
    assert np.mean(np.array(p) <= 0.05) <= 0.05 + 3.5 * np.sqrt(0.05 / 2_000)


def test_one_bin_says_nothing() -> None:
    assert p_value(np.array([10, 0]), np.array([20, 0])) == 1
    assert p_value(np.array([10, 0]), np.array([0, 0])) == 1


def test_p_values_are_uniform_under_no_drift() -> None:
    rng = np.random.default_rng(2)
    share = rng.dirichlet(np.ones(30))
    p = [p_value(rng.multinomial(20_000, share), rng.multinomial(3_000, share)) for _ in range(2_000)]
    for level in (0.01, 0.05, 0.2):
        assert np.mean(np.array(p) <= level) == pytest.approx(level, abs=3.5 * np.sqrt(level / 2_000))


def test_holm_against_the_example_of_its_definition() -> None:
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.9, 0.8]) == [1.0, 1.0]
    assert holm([]) == []
