import numpy as np
import pytest

from mlops_assets.judging.gate import CHECKS, Verdict, judge
from mlops_assets.project import Gate
from mlops_assets_tests.judging.data import GATE, World, sigmoid

WORLD = World()
GOOD = WORLD.noisy(0.3)


def verdict(name: str, candidate: np.ndarray, champion: np.ndarray | None = None, **more: object) -> Verdict:
    gate = more.pop("gate", GATE)
    world = more.pop("world", WORLD)
    assert isinstance(gate, Gate)
    assert isinstance(world, World)
    evaluation = world.evaluate(candidate, champion, gate=gate, **more)
    return {v.name: v for v in judge(evaluation, gate, proof=None)}[name]


def test_a_good_model_passes_every_check_in_order() -> None:
    verdicts = judge(WORLD.evaluate(GOOD, WORLD.noisy(0.8)), GATE, proof=None)
    assert [v.name for v in verdicts] == list(CHECKS)
    assert all(v.passed for v in verdicts), verdicts
    assert all(v.observed and v.allowed and v.explanation for v in verdicts)


# --- beats_baseline


def test_a_model_that_knows_nothing_does_not_beat_the_baseline() -> None:
    blind = sigmoid(np.random.default_rng(3).permutation(WORLD.logit))
    refused = verdict("beats_baseline", blind)
    assert not refused.passed
    assert "hardly ranks better than chance" in refused.explanation
    assert refused.figures["auc_difference_low"] < GATE.min_auc_over_baseline


def test_a_model_that_ranks_but_misstates_its_odds_does_not_beat_the_baseline() -> None:
    refused = verdict("beats_baseline", sigmoid(WORLD.logit * 4))
    assert not refused.passed
    assert "worth less than a constant" in refused.explanation


def test_beating_the_baseline_by_luck_is_not_enough() -> None:
    """Of 40 models that know nothing, many rank 120 rows better than chance; hardly any may pass."""
    small = World(rows=120, seed=4)
    tries = [verdict("beats_baseline", lucky(small, seed), world=small) for seed in range(40)]
    assert sum(v.figures["auc_difference"] > GATE.min_auc_over_baseline for v in tries) >= 8
    assert sum(v.passed for v in tries) <= 2


def lucky(world: World, seed: int) -> np.ndarray:
    return sigmoid(np.random.default_rng(seed).normal(-1.3, 0.3, world.labels.size))


def test_worth_a_little_less_than_a_constant_is_refused_beyond_the_noise() -> None:
    generous = GATE.model_copy(update={"max_possible_loss": 0.5})
    refused = verdict("beats_baseline", sigmoid(WORLD.logit * 4), gate=generous)
    assert 0 < refused.figures["log_loss_difference_low"] < refused.figures["log_loss_difference"] < 0.5
    assert not refused.passed


def test_worth_far_less_than_a_constant_is_refused_where_rows_are_few() -> None:
    small = World(rows=120, seed=4)
    refused = verdict("beats_baseline", small.noisy(3.0), world=small)
    assert refused.figures["auc_difference_low"] > GATE.min_auc_over_baseline
    assert refused.figures["log_loss_difference_low"] < 0  # the noise alone would not refuse it
    assert not refused.passed


# --- not_worse_than_champion


def test_the_first_candidate_has_no_champion_to_be_worse_than() -> None:
    passed = verdict("not_worse_than_champion", GOOD)
    assert passed.passed
    assert "no champion yet" in passed.explanation


def test_a_champion_without_a_score_never_loses_by_default() -> None:
    refused = verdict("not_worse_than_champion", GOOD, unscored_champion="its file is gone")
    assert not refused.passed
    assert "Cannot judge: there is a champion, but its file is gone" in refused.explanation


def test_a_champion_with_broken_predictions_never_loses_by_default() -> None:
    refused = verdict("not_worse_than_champion", GOOD, champion=GOOD * np.nan)
    assert not refused.passed
    assert "Cannot judge" in refused.explanation


def test_worse_within_the_noise_passes() -> None:
    # the same model with other noise of the same size: one of the two is a little worse by chance
    one, other = WORLD.noisy(0.4, seed=11), WORLD.noisy(0.4, seed=12)
    both = [verdict("not_worse_than_champion", a, b) for a, b in ((one, other), (other, one))]
    assert min(v.figures["auc_difference"] for v in both) < 0
    assert all(v.passed for v in both)


def test_worse_beyond_the_noise_is_refused() -> None:
    refused = verdict("not_worse_than_champion", WORLD.noisy(0.9), champion=WORLD.truth)
    assert not refused.passed
    assert "worse than the champion in ROC AUC and log loss, beyond the noise" in refused.explanation
    assert refused.figures["auc_difference_high"] < -GATE.noise_margin


def test_worse_probabilities_of_the_same_rank_are_refused() -> None:
    refused = verdict("not_worse_than_champion", sigmoid(WORLD.logit + 0.7), champion=WORLD.truth)
    assert not refused.passed
    assert "worse than the champion in log loss, beyond" in refused.explanation
    assert refused.figures["auc_difference"] == pytest.approx(0)


def test_worse_by_less_than_the_margin_passes_even_if_it_is_sure() -> None:
    difference = {"champion": sigmoid(WORLD.logit), "candidate": sigmoid(WORLD.logit + 0.7)}
    generous = GATE.model_copy(update={"noise_margin": 0.2, "max_possible_loss": 0.5})
    passed = verdict(
        "not_worse_than_champion", difference["candidate"], champion=difference["champion"], gate=generous
    )
    assert passed.figures["log_loss_difference_low"] > 0
    assert passed.passed


def test_rows_too_few_to_tell_are_refused() -> None:
    small = World(rows=150, seed=2)
    refused = verdict(
        "not_worse_than_champion", small.noisy(0.9, 1), champion=small.noisy(0.9, 2), world=small
    )
    assert not refused.passed
    assert "150 rows cannot tell" in refused.explanation


def test_a_better_model_is_called_better() -> None:
    assert "better than" in verdict("not_worse_than_champion", WORLD.truth, WORLD.noisy(0.8)).explanation
    assert "as good as" in verdict("not_worse_than_champion", GOOD, GOOD).explanation


# --- no_slice_collapses


def collapsed(carrier: str) -> np.ndarray:
    """A good model whose probabilities are shuffled among the rows of ``carrier``."""
    here = carrier == WORLD.carrier
    p = WORLD.truth.copy()
    p[here] = np.random.default_rng(5).permutation(p[here])
    return p


@pytest.mark.parametrize("carrier", ["DL", "UA"])
@pytest.mark.parametrize("champion", [None, WORLD.noisy(0.1)])
def test_a_slice_that_lost_its_rank_is_refused_and_named(carrier: str, champion: np.ndarray | None) -> None:
    refused = verdict("no_slice_collapses", collapsed(carrier), champion)
    assert not refused.passed
    assert f"carrier {carrier}: AUC" in refused.explanation
    assert refused.figures["collapsed"] == 1


def test_a_slice_below_chance_is_refused() -> None:
    upside_down = np.where(WORLD.carrier == "UA", 1 - WORLD.truth, WORLD.truth)
    assert "is below 0.50" in verdict("no_slice_collapses", upside_down).explanation


def test_a_slice_where_the_champion_was_no_better_passes() -> None:
    assert verdict("no_slice_collapses", collapsed("UA"), champion=collapsed("UA")).passed


def test_a_drop_within_the_noise_of_a_small_slice_is_no_collapse() -> None:
    small = World(rows=1500, seed=6)
    gate = GATE.model_copy(update={"min_slice_rows": 50, "max_slice_auc_drop": 0.01})
    candidate, champion = small.noisy(0.9, seed=1), small.noisy(0.9, seed=2)
    evaluation = small.evaluate(candidate, champion, gate=gate)
    drops = [s.auc_difference for s in evaluation.slices if s.auc_difference]
    assert any(d.value < -gate.max_slice_auc_drop and d.high > 0 for d in drops), drops
    assert verdict("no_slice_collapses", candidate, champion, world=small, gate=gate).passed


def test_the_collapse_of_a_slice_too_small_to_judge_is_only_counted() -> None:
    strict = GATE.model_copy(update={"min_slice_rows": 1000})
    passed = verdict("no_slice_collapses", collapsed("UA"), gate=strict)
    assert passed.passed
    assert "1 too small to judge" in passed.observed


def test_slices_that_are_all_too_small_cannot_be_judged() -> None:
    refused = verdict("no_slice_collapses", GOOD, gate=GATE.model_copy(update={"min_slice_rows": 100_000}))
    assert not refused.passed
    assert "Cannot judge: no slice by carrier is large enough" in refused.explanation


# --- calibration_within_bounds


@pytest.mark.parametrize(
    "broken",
    [
        sigmoid(WORLD.logit + 1.3),  # as after training with balanced class weights
        sigmoid(WORLD.logit * 3),  # overconfident
        WORLD.truth / 2,
    ],
    ids=["class weights", "overconfident", "halved"],
)
def test_a_miscalibrated_model_is_refused(broken: np.ndarray) -> None:
    refused = verdict("calibration_within_bounds", broken)
    assert not refused.passed
    assert "reliability curve" in refused.explanation


def test_an_honest_model_is_not_blamed_for_a_rate_that_moved() -> None:
    """The rows' rate is 14 points above the training set's: far more than the bound itself."""
    rng = np.random.default_rng(8)
    moved = World()
    moved.labels = (rng.random(moved.logit.size) < sigmoid(moved.logit + 0.8)).astype(float)
    rate = float(WORLD.labels.mean())
    predictions = {"baseline": np.full(moved.labels.size, rate), "new": moved.truth}
    from mlops_assets.judging.evaluation import evaluate

    evaluation = evaluate(moved.labels, predictions, {}, GATE)
    found = {v.name: v for v in judge(evaluation, GATE, proof=None)}["calibration_within_bounds"]
    assert found.figures["calibration_error"] > GATE.max_calibration_error
    assert found.figures["drift"] == pytest.approx(moved.labels.mean() - rate)
    assert found.passed


# --- artifact_reproduces


def test_an_artifact_that_is_not_what_was_evaluated_is_refused() -> None:
    evaluation = WORLD.evaluate(GOOD)
    refused = judge(evaluation, GATE, proof="example 3 gave 0.4, not 0.6")[-1]
    assert (refused.name, refused.passed) == ("artifact_reproduces", False)
    assert "example 3 gave 0.4, not 0.6" in refused.explanation
    assert judge(evaluation, GATE, proof=None)[-1].passed
    assert not judge(evaluation, GATE, proof="")[-1].passed


def test_a_project_without_slices_has_none_that_collapse() -> None:
    from mlops_assets.judging.evaluation import evaluate

    predictions = {"baseline": np.full(WORLD.labels.size, 0.2), "new": GOOD}
    found = judge(evaluate(WORLD.labels, predictions, {}, GATE), GATE, proof=None)[2]
    assert found.passed
    assert "declares no slices" in found.explanation
