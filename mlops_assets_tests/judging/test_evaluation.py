import subprocess
import sys

import msgspec
import numpy as np
import pytest
from sklearn.metrics import log_loss, roc_auc_score

from mlops_assets.judging.evaluation import Evaluation, evaluate
from mlops_assets.judging.sample import ScoreError
from mlops_assets_tests.judging.data import GATE, World

WORLD = World()
BASELINE = np.full(WORLD.labels.size, 0.2)


def test_all_models_are_scored_on_the_same_rows() -> None:
    predictions = {
        "baseline": BASELINE,
        "a": WORLD.noisy(0.3),
        "b": WORLD.noisy(0.1),
        "champion": WORLD.noisy(1),
    }
    evaluation = evaluate(WORLD.labels, predictions, {"carrier": WORLD.carrier}, GATE)
    assert set(evaluation.scores) == set(predictions)
    for name, p in predictions.items():
        assert evaluation.scores[name].roc_auc.value == pytest.approx(roc_auc_score(WORLD.labels, p))
        assert evaluation.scores[name].log_loss.value == pytest.approx(log_loss(WORLD.labels, p))
    assert evaluation.score is evaluation.scores["b"]
    assert (evaluation.rows, evaluation.positives) == (8000, int(WORLD.labels.sum()))


def test_the_challenger_has_the_lowest_log_loss_not_the_highest_auc() -> None:
    ranks_best = WORLD.truth / 4  # the perfect rank, and far too low
    worse = WORLD.noisy(0.4)
    evaluation = evaluate(WORLD.labels, {"baseline": BASELINE, "low": ranks_best, "fair": worse}, {}, GATE)
    assert evaluation.scores["low"].roc_auc.value > evaluation.scores["fair"].roc_auc.value
    assert evaluation.challenger == "fair"


def test_differences_are_challenger_minus_champion() -> None:
    evaluation = WORLD.evaluate(WORLD.truth, champion=WORLD.noisy(0.8))
    difference = evaluation.versus_champion
    assert difference is not None
    assert difference.roc_auc.low > 0
    assert difference.log_loss.high < 0
    scores = evaluation.scores
    gap = scores["new"].roc_auc.value - scores["champion"].roc_auc.value
    assert difference.roc_auc.value == pytest.approx(gap)


def test_the_seed_alone_decides_the_intervals() -> None:
    first, again = (WORLD.evaluate(WORLD.noisy(0.2), seed=5) for _ in range(2))
    assert first == again
    assert first != WORLD.evaluate(WORLD.noisy(0.2), seed=6)


def test_json_there_and_back() -> None:
    evaluation = WORLD.evaluate(WORLD.noisy(0.2), champion=WORLD.noisy(0.3), holdout="2013-03")
    assert Evaluation.from_json(evaluation.to_json()) == evaluation
    with pytest.raises(msgspec.ValidationError):
        Evaluation.from_json(b'{"rows": "many"}')


def test_a_candidate_with_broken_predictions_is_left_out_with_the_reason() -> None:
    broken = np.where(np.arange(WORLD.labels.size) == 12, np.nan, 0.2)
    predictions = {"baseline": BASELINE, "network": broken, "boosting": WORLD.noisy(0.3)}
    evaluation = evaluate(WORLD.labels, predictions, {}, GATE)
    assert evaluation.challenger == "boosting"
    assert "network" not in evaluation.scores
    assert "row 12 is nan" in evaluation.unscored["network"]


@pytest.mark.parametrize(
    ("predictions", "message"),
    [
        ({"a": WORLD.truth}, "no predictions of baseline"),
        ({"baseline": BASELINE}, "no candidate can be scored"),
        ({"baseline": BASELINE, "champion": WORLD.truth}, "no candidate can be scored"),
        (
            {"baseline": BASELINE, "a": WORLD.truth * np.nan},
            "no candidate can be scored .predictions of a: 8000 of",
        ),
        (
            {"baseline": BASELINE[1:], "a": WORLD.truth},
            "predictions of baseline: 7999 probabilities for 8000",
        ),
    ],
)
def test_what_cannot_be_evaluated_raises(predictions: dict[str, np.ndarray], message: str) -> None:
    with pytest.raises(ScoreError, match=message):
        evaluate(WORLD.labels, predictions, {}, GATE)


def test_a_candidate_is_not_judged_on_rows_it_was_trained_on() -> None:
    seen = {"new": ["2013-01", "2013-03"]}
    with pytest.raises(ScoreError, match="new was trained on 2013-03"):
        WORLD.evaluate(WORLD.truth, holdout="2013-03", trained_on=seen)
    assert WORLD.evaluate(WORLD.truth, holdout="2013-04", trained_on=seen).holdout == "2013-04"


def test_a_champion_without_a_score_is_still_the_incumbent() -> None:
    broken = WORLD.evaluate(WORLD.truth, champion=WORLD.truth + 3)
    told = WORLD.evaluate(WORLD.truth, unscored_champion="its file is gone")
    for evaluation in (broken, told):
        assert evaluation.incumbent
        assert evaluation.versus_champion is None
    assert "not probabilities" in broken.unscored["champion"]
    assert told.unscored == {"champion": "its file is gone"}
    assert not WORLD.evaluate(WORLD.truth).incumbent


def test_groups_are_named() -> None:
    day = np.arange(WORLD.labels.size) % 30
    assert WORLD.evaluate(WORLD.truth, groups=day).resampled == "30 groups of rows"
    gate = GATE.model_copy(update={"resample_days_of": "scheduled_departure"})
    assert WORLD.evaluate(WORLD.truth, groups=day, gate=gate).resampled == "30 days"
    assert WORLD.evaluate(WORLD.truth).resampled == "rows"


def test_judging_imports_nothing_heavy() -> None:
    code = (
        "import sys, mlops_assets.judging.gate, mlops_assets.judging.report\n"
        "heavy = {'dagster', 'mlflow', 'torch', 'sklearn', 'matplotlib', 'scipy'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
