"""Calibration, and the estimates that rest on it, against truth that is known."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from msgspec.structs import replace
from sklearn.metrics import brier_score_loss, log_loss, roc_auc_score

from mlops_assets.judging.sample import ScoreError
from mlops_assets.monitoring.calibration import Calibration, fit_calibration
from mlops_assets.monitoring.estimate import estimate_performance, expect
from mlops_assets_tests.monitoring.data import columns, reference_of

if TYPE_CHECKING:
    from mlops_assets.monitoring.reference import Reference

Array = np.ndarray


def _world(rows: int, seed: int, centre: float, spread: float) -> tuple[Array, Array]:
    """Labels, and the probabilities that they are drawn from."""
    rng = np.random.default_rng(seed)
    p = 1 / (1 + np.exp(-rng.normal(centre, spread, rows)))
    return (rng.random(rows) < p).astype(np.float64), p


def _model(p: Array) -> Array:
    """A model that ranks as the truth does, and is twice as sure as it should be."""
    return np.asarray(p**2 / (p**2 + (1 - p) ** 2))


@pytest.fixture(scope="module")
def reference() -> Reference:
    labels, p = _world(60_000, 1, -1.2, 1.0)
    made = reference_of(columns(500, 1), columns(500, 2), _model(p))
    return replace(made, calibration=fit_calibration(labels, _model(p)))


@pytest.mark.parametrize(("centre", "spread"), [(-1.2, 1.0), (-0.5, 1.0), (-2.0, 0.7), (-1.2, 1.6)])
def test_estimates_are_near_the_truth_where_the_features_move_but_not_the_law(
    reference: Reference, centre: float, spread: float
) -> None:
    labels, p = _world(60_000, 2, centre, spread)
    q = _model(p)
    found = estimate_performance(reference, q)
    assert found.rows == 60_000
    assert found.roc_auc == pytest.approx(roc_auc_score(labels, q), abs=0.012)
    assert found.log_loss == pytest.approx(log_loss(labels, q), abs=0.02)
    assert found.brier == pytest.approx(brier_score_loss(labels, q), abs=0.008)
    assert found.positive_rate == pytest.approx(labels.mean(), abs=0.008)


def test_without_calibration_they_would_not_be(reference: Reference) -> None:
    labels, p = _world(60_000, 2, -1.2, 1.0)
    q = _model(p)
    assert abs(expect(q, q).log_loss - log_loss(labels, q)) > 0.1


def test_expected_figures_are_the_mean_over_all_that_can_happen() -> None:
    p, c = np.array([0.1, 0.4, 0.4, 0.9]), np.array([0.2, 0.3, 0.5, 0.7])
    wins = pairs = loss = brier = 0.0
    for i in range(4):
        loss -= (c[i] * np.log(p[i]) + (1 - c[i]) * np.log(1 - p[i])) / 4
        brier += (c[i] * (1 - p[i]) ** 2 + (1 - c[i]) * p[i] ** 2) / 4
        for j in set(range(4)) - {i}:
            weight = c[i] * (1 - c[j])
            pairs += weight
            wins += weight * (1.0 if p[i] > p[j] else 0.5 if p[i] == p[j] else 0.0)
    found = expect(p, c)
    assert found.roc_auc == pytest.approx(wins / pairs)
    assert found.log_loss == pytest.approx(loss)
    assert found.brier == pytest.approx(brier)
    assert found.positive_rate == pytest.approx(0.425)


def test_scores_that_are_all_alike_rank_nothing() -> None:
    assert expect(np.full(50, 0.3), np.full(50, 0.3)).roc_auc == pytest.approx(0.5)
    assert expect(np.array([0.0, 0.0]), np.array([0.0, 0.0])).roc_auc == 0.5


def test_no_scores_and_no_probabilities_are_refused(reference: Reference) -> None:
    with pytest.raises(ScoreError):
        estimate_performance(reference, [])
    with pytest.raises(ScoreError, match="not probabilities"):
        estimate_performance(reference, [0.5, np.nan])


def test_calibration_rises_and_undoes_overconfidence() -> None:
    labels, p = _world(80_000, 3, -1.0, 1.2)
    line = fit_calibration(labels, _model(p))
    assert np.all(np.diff(line.rates) >= 0)
    inner = (p > 0.05) & (p < 0.8)
    assert np.abs(line(_model(p)) - p)[inner].mean() < 0.015
    assert line([0.0, 1.0]).tolist() == [0.0, 1.0]


def test_calibration_of_a_model_that_says_one_thing() -> None:
    labels = np.repeat([0.0, 1.0], [900, 100])
    line = fit_calibration(labels, np.full(1_000, 0.4))
    assert line([0.4])[0] == pytest.approx(0.1)
    assert isinstance(line, Calibration)


def test_calibration_of_certain_answers_keeps_its_ends() -> None:
    labels = np.repeat([0.0, 1.0], 1_000)
    line = fit_calibration(labels, labels)
    assert line([0.0, 0.5, 1.0]).tolist() == [0.0, 0.5, 1.0]
