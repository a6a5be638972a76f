"""The gate: the rule that turns a candidate into the champion. The reasoning is in ``docs/gate.md``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from mlops_assets.judging.evaluation import BASELINE, CHAMPION

if TYPE_CHECKING:
    from mlops_assets.judging.evaluation import Evaluation
    from mlops_assets.judging.resampling import Estimate
    from mlops_assets.judging.slices import Slice
    from mlops_assets.project import Gate


class Verdict(msgspec.Struct, frozen=True):
    """What one rule says of the challenger.

    ``observed`` and ``allowed`` are for people, ``figures`` for machines; ``explanation`` says why, and
    what to do where it did not pass.
    """

    name: str
    passed: bool
    observed: str
    allowed: str
    explanation: str
    figures: dict[str, float] = {}


CHECKS = {
    "beats_baseline": "Beats chance in rank beyond the noise; its log loss is no worse than a constant's.",
    "not_worse_than_champion": "Neither ROC AUC nor log loss is worse than the champion's beyond the noise.",
    "no_slice_collapses": "No slice ranks worse than chance or far worse than the champion did there.",
    "calibration_within_bounds": "Its probabilities are off by little more than the positive rate moved.",
    "artifact_reproduces": "The stored artifact loads and reproduces its own predictions.",
}
"""The names of the verdicts, in the order of ``judge``, and what each says when it passes."""


def judge(evaluation: Evaluation, gate: Gate, proof: str | None) -> tuple[Verdict, ...]:
    """The verdict of each of ``CHECKS`` on the evaluation's challenger; it is promoted if all passed.

    ``proof``: None if the stored artifact was loaded and reproduced its own predictions, else why not.
    """
    return (
        beats_baseline(evaluation, gate),
        not_worse_than_champion(evaluation, gate),
        no_slice_collapses(evaluation, gate),
        calibration_within_bounds(evaluation, gate),
        artifact_reproduces(evaluation, proof),
    )


def beats_baseline(evaluation: Evaluation, gate: Gate) -> Verdict:
    """The AUC's interval lies above the baseline's + ``min_auc_over_baseline``; the log loss is not lost.

    The log loss may be as bad as the baseline's within the noise: under a drift of the label it pays for
    the rate that moved, which rank does not. Beyond the noise it may not, nor by over
    ``max_possible_loss``, where rows are too few for the noise to end.
    """
    auc, loss = evaluation.versus_baseline.roc_auc, evaluation.versus_baseline.log_loss
    ranks = auc.low >= gate.min_auc_over_baseline
    pays = loss.low <= 0 and loss.value <= gate.max_possible_loss
    why = f"{evaluation.challenger} knows more than the training set's positive rate."
    if not ranks:
        why = (
            f"{evaluation.challenger} hardly ranks better than chance: look at the features and the join, "
            "or train on more partitions."
        )
    elif not pays:
        why = (
            f"{evaluation.challenger} ranks, but its probabilities are worth less than a constant: look at "
            "the calibration, or train on partitions that resemble the held-out one."
        )
    return Verdict(
        name="beats_baseline",
        passed=ranks and pays,
        observed=f"AUC {_signed(auc)}, log loss {_signed(loss)} against the baseline",
        allowed=f"AUC at least {gate.min_auc_over_baseline:+.3f} beyond the noise, log loss not above 0 "
        f"beyond the noise, nor above {gate.max_possible_loss:.3f}",
        explanation=why,
        figures=_figures(auc_difference=auc, log_loss_difference=loss),
    )


def not_worse_than_champion(evaluation: Evaluation, gate: Gate) -> Verdict:
    """Neither AUC nor log loss is worse beyond the noise, nor may it be worse by much within the noise.

    Worse beyond the noise: the whole paired interval is on the wrong side of ``noise_margin``. By much: the
    interval reaches further than ``max_possible_loss``, where the data cannot tell (too few rows).
    """
    allowed = (
        f"not worse beyond the noise and {gate.noise_margin:.3f}, "
        f"nor possibly by over {gate.max_possible_loss:.3f}"
    )
    difference = evaluation.versus_champion
    if difference is None:
        return _without_difference(evaluation, allowed)
    auc, loss = difference.roc_auc, difference.log_loss
    worse = [
        what for what, best in (("ROC AUC", auc.high), ("log loss", -loss.low)) if best < -gate.noise_margin
    ]
    unclear = [
        what
        for what, worst in (("ROC AUC", auc.low), ("log loss", -loss.high))
        if worst < -gate.max_possible_loss
    ]
    if worse:
        why = (
            f"{evaluation.challenger} is worse than the champion in {' and '.join(worse)}, beyond the noise: "
            "the champion stays."
        )
    elif unclear:
        why = (
            f"{evaluation.rows} rows cannot tell whether {evaluation.challenger} is much worse in "
            f"{' and '.join(unclear)}: the champion stays until a longer held-out window says more."
        )
    else:
        better = auc.low > 0 or loss.high < 0
        why = f"{evaluation.challenger} is {'better than' if better else 'as good as'} the champion."
    return Verdict(
        name="not_worse_than_champion",
        passed=not worse and not unclear,
        observed=f"AUC {_signed(auc)}, log loss {_signed(loss)} against the champion",
        allowed=allowed,
        explanation=why,
        figures={
            "noise_margin": gate.noise_margin,
            "max_possible_loss": gate.max_possible_loss,
            **_figures(auc_difference=auc, log_loss_difference=loss),
        },
    )


def _without_difference(evaluation: Evaluation, allowed: str) -> Verdict:
    if not evaluation.incumbent:
        observed, why = "no champion", "There is no champion yet: nothing to be worse than."
    else:
        reason = evaluation.unscored.get(CHAMPION, "it was not evaluated")
        observed = "a champion without a score"
        why = (
            f"Cannot judge: there is a champion, but {reason}. An incumbent never loses by default: make it "
            "loadable again, roll back to one that is, or retire it (mlops retire); then evaluate anew."
        )
    return Verdict("not_worse_than_champion", not evaluation.incumbent, observed, allowed, why)


def no_slice_collapses(evaluation: Evaluation, gate: Gate) -> Verdict:
    """No slice ranks worse than chance, nor far worse than the champion did there, beyond the noise.

    With no champion to compare with, a slice is compared with the challenger's own AUC on all rows.
    """
    allowed = (
        f"AUC not below {gate.min_slice_auc:.2f} and no drop over {gate.max_slice_auc_drop:.2f}, "
        f"in slices of {gate.min_slice_rows} rows or more"
    )
    if not evaluation.slices:
        wanted = ", ".join(evaluation.slice_columns)
        return Verdict(
            name="no_slice_collapses",
            passed=not wanted,
            observed="no slices",
            allowed=allowed,
            explanation=f"Cannot judge: no slice by {wanted} is large enough: use a longer window or a lower "
            "min_slice_rows."
            if wanted
            else "The project declares no slices.",
        )
    collapsed = {
        f"{s.column} {s.value}": why for s in evaluation.slices if (why := _collapse(s, evaluation, gate))
    }
    worst = min(evaluation.slices, key=lambda s: s.challenger.roc_auc.value)
    auc = worst.challenger.roc_auc
    return Verdict(
        name="no_slice_collapses",
        passed=not collapsed,
        observed=f"{len(collapsed)} of {len(evaluation.slices)} slices collapse; lowest AUC "
        f"{_plain(auc)} ({worst.column} {worst.value}); {len(evaluation.skipped)} too small to judge",
        allowed=allowed,
        explanation="; ".join(f"{name}: {why}" for name, why in collapsed.items())
        + ": look at these rows' features and at what is new in them."
        if collapsed
        else "The model works in every slice that is large enough to judge.",
        figures={"slices": len(evaluation.slices), "collapsed": len(collapsed), **_figures(lowest_auc=auc)},
    )


def _collapse(one: Slice, evaluation: Evaluation, gate: Gate) -> str:
    """Why the slice counts as collapsed; "" if it does not."""
    auc = one.challenger.roc_auc
    if auc.high < gate.min_slice_auc:
        return f"AUC {_plain(auc)} is below {gate.min_slice_auc:.2f}"
    drop = one.auc_difference
    if drop is not None:
        fell = drop.value < -gate.max_slice_auc_drop and drop.high < 0
        return f"AUC {_signed(drop)} against the champion" if fell else ""
    overall = evaluation.score.roc_auc.value
    fell = auc.high < overall - gate.max_slice_auc_drop
    return f"AUC {_plain(auc)} against {overall:.3f} on all rows" if fell else ""


def calibration_within_bounds(evaluation: Evaluation, gate: Gate) -> Verdict:
    """The calibration error is at most ``max_calibration_error`` above what drift alone accounts for.

    Drift alone: the baseline's calibration error, which is how far the positive rate moved between
    training set and held-out rows. No model can be blamed for a rate that moved.
    """
    error = evaluation.score.calibration_error
    drift = evaluation.scores[BASELINE].calibration_error.value
    limit = gate.max_calibration_error + drift
    passed = error.value <= limit
    return Verdict(
        name="calibration_within_bounds",
        passed=passed,
        observed=f"calibration error {_plain(error)}",
        allowed=f"at most {limit:.3f} ({gate.max_calibration_error:.3f} and the rate's drift, {drift:.3f})",
        explanation="Its probabilities are as honest as the drift of the rate allows."
        if passed
        else f"{evaluation.challenger}'s probabilities are off by more than the drift of the rate explains: "
        "look at the reliability curve, and at class weights or sampling in training.",
        figures={"limit": limit, "drift": drift, **_figures(calibration_error=error)},
    )


def artifact_reproduces(evaluation: Evaluation, proof: str | None) -> Verdict:
    """The stored artifact was loaded and reproduced its own predictions."""
    passed = proof is None
    return Verdict(
        name="artifact_reproduces",
        passed=passed,
        observed="reproduced" if passed else "not reproduced",
        allowed="loads, and gives its own examples their own probabilities",
        explanation=f"The artifact of {evaluation.challenger} is what was evaluated."
        if passed
        else f"{proof}. Train anew: an artifact that differs from what was evaluated must not be served.",
    )


def _plain(one: Estimate) -> str:
    return f"{one.value:.3f} [{one.low:.3f}, {one.high:.3f}]"


def _signed(one: Estimate) -> str:
    return f"{one.value:+.4f} [{one.low:+.4f}, {one.high:+.4f}]"


def _figures(**estimates: Estimate) -> dict[str, float]:
    return {
        f"{name}{suffix}": figure
        for name, one in estimates.items()
        for suffix, figure in (("", one.value), ("_low", one.low), ("_high", one.high))
    }
