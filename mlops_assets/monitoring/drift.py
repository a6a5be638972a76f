"""The drift verdict: have the features or the scores of live traffic moved? See ``docs/drift.md``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
import numpy as np

from mlops_assets.judging.gate import Verdict
from mlops_assets.monitoring.distance import distance, holm, p_value
from mlops_assets.monitoring.profiles import Profile, check_same_binning
from mlops_assets.monitoring.reference import SCORES

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from mlops_assets.monitoring.reference import Reference
    from mlops_assets.project import Drift


class ColumnDrift(msgspec.Struct, frozen=True):
    """How far one column moved from the reference.

    ``distance`` and ``allowed``: Jensen-Shannon, 0 to 1; ``held_out``: that of as many days of the
    held-out partition, on average;
    ``adjusted_p``: ``p_value`` corrected for all columns. ``moved``: the bin that gained the most, in words.
    """

    name: str
    distance: float
    allowed: float
    held_out: float
    p_value: float
    adjusted_p: float
    drifted: bool
    moved: str


class DriftVerdict(msgspec.Struct, frozen=True):
    """What the window says. ``features`` and ``scores`` are for the checks of these names.

    ``columns`` come with the farthest beyond its limit first; ``score`` is the scores' own movement.
    ``judged`` is False with fewer than ``min_rows`` rows: both verdicts then pass for want of evidence, and
    a check should rather not be evaluated.
    """

    champion: str
    rows: int
    judged: bool
    columns: tuple[ColumnDrift, ...]
    score: ColumnDrift
    features: Verdict
    scores: Verdict

    @property
    def drifted(self) -> tuple[ColumnDrift, ...]:
        """The columns that have drifted."""
        return tuple(column for column in self.columns if column.drifted)

    @property
    def drifted_share(self) -> float:
        return len(self.drifted) / max(len(self.columns), 1)

    @property
    def features_passed(self) -> bool:
        return self.features.passed

    @property
    def scores_passed(self) -> bool:
        return self.scores.passed

    @property
    def scores_distance(self) -> float:
        return self.score.distance

    @property
    def explanation(self) -> str:
        return f"{self.features.explanation} {self.scores.explanation}"


def judge_drift(
    reference: Reference, window: Profile, scores: Profile, limits: Drift, days: int | None = None
) -> DriftVerdict:
    """Whether the ``window``'s features and ``scores`` have moved from ``reference``, by ``limits``.

    The profiles are those of ``profile_features`` and ``profile_scores`` on the same rows. ``days``: how many
    days the rows are about; None: as many as so many rows of the held-out partition were.
    Raises ``ProfileError`` if they were made with another reference's bins.
    """
    check_same_binning(reference.features, window)
    check_same_binning(reference.held_out_features, window)
    check_same_binning(reference.scores, scores)
    judged = min(window.rows, scores.rows) >= limits.min_rows
    columns = _columns(reference, window, limits, days)
    score = _score(reference, scores, limits, days)
    if judged:
        features_verdict, scores_verdict = _features(columns, window, limits), _scores(score, scores)
    else:
        features_verdict = _too_few("feature_drift", window.rows, limits)
        scores_verdict = _too_few("score_drift", scores.rows, limits)
    return DriftVerdict(
        reference.champion, window.rows, judged, columns, score, features_verdict, scores_verdict
    )


def _columns(
    reference: Reference, window: Profile, limits: Drift, days: int | None
) -> tuple[ColumnDrift, ...]:
    names = list(window.counts)
    days = days or reference.usual_features.days_of(window.rows)
    p_values = [p_value(reference.features.array(name), window.array(name)) for name in names]
    found = []
    for name, p, adjusted in zip(names, p_values, holm(p_values), strict=True):
        counts = reference.features.array(name)
        moved = _zero_if_nan(distance(counts, window.array(name)))
        usual = reference.usual_features.distance(name, days)
        allowed = _allowed(limits.min_distance, usual, limits)
        found.append(
            ColumnDrift(
                name=name,
                distance=moved,
                allowed=allowed,
                held_out=usual,
                p_value=p,
                adjusted_p=adjusted,
                drifted=adjusted <= limits.false_alarm_rate and moved > allowed,
                moved=_moved(reference.features, window, name),
            )
        )
    return tuple(sorted(found, key=lambda c: (not c.drifted, -c.distance / c.allowed, c.name)))


def _allowed(floor: float, usual: float, limits: Drift) -> float:
    """Never 1: a column that shares no bin with the reference has drifted whatever is usual."""
    return max(floor, min(usual * limits.usual_movement, (1 + usual) / 2))


def _score(reference: Reference, scores: Profile, limits: Drift, days: int | None) -> ColumnDrift:
    usual = reference.usual_scores.distance(SCORES, days or reference.usual_scores.days_of(scores.rows))
    allowed = _allowed(limits.max_score_distance, usual, limits)
    p = p_value(reference.scores.array(SCORES), scores.array(SCORES))
    moved = _zero_if_nan(distance(reference.scores.array(SCORES), scores.array(SCORES)))
    return ColumnDrift(
        name=SCORES,
        distance=moved,
        allowed=allowed,
        held_out=usual,
        p_value=p,
        adjusted_p=p,
        drifted=p <= limits.false_alarm_rate and moved > allowed,
        moved=_moved(reference.scores, scores, SCORES),
    )


def _features(columns: tuple[ColumnDrift, ...], window: Profile, limits: Drift) -> Verdict:
    drifted = [column for column in columns if column.drifted]
    share = len(drifted) / max(len(columns), 1)
    passed = share <= limits.max_drifted_share
    names = ", ".join(f"{c.name} ({c.moved})" for c in drifted[:5]) + (", ..." if len(drifted) > 5 else "")
    why = f"The last {window.rows:,} predictions were asked about rows like those of the training set."
    if drifted and passed:
        why = f"Moved, but few: {names}."
    elif drifted:
        why = (
            f"Moved: {names}. Open the drift report: if the world moved, retrain on newer partitions; if a "
            "source or a transform broke, repair it first."
        )
    return Verdict(
        name="feature_drift",
        passed=passed,
        observed=f"{len(drifted)} of {len(columns)} columns have drifted ({share:.0%})",
        allowed=f"at most {limits.max_drifted_share:.0%} of the columns",
        explanation=why,
        figures={"drifted_share": share, "drifted": len(drifted), "rows": window.rows},
    )


def _scores(score: ColumnDrift, scores: Profile) -> Verdict:
    why = f"The last {scores.rows:,} scores are spread as on the held-out partition."
    if score.drifted:
        why = (
            f"The scores are not what they were on the held-out partition ({score.moved}). Look at the "
            "features that moved: if the world moved, retrain; if a source or a transform broke, repair it."
        )
    return Verdict(
        name="score_drift",
        passed=not score.drifted,
        observed=f"Jensen-Shannon distance {score.distance:.3f} (p {score.p_value:.2g})",
        allowed=f"distance at most {score.allowed:.3f}",
        explanation=why,
        figures={
            "distance": score.distance,
            "allowed": score.allowed,
            "p_value": score.p_value,
            "rows": scores.rows,
        },
    )


def _too_few(name: str, rows: int, limits: Drift) -> Verdict:
    return Verdict(
        name=name,
        passed=True,
        observed=f"{rows:,} predictions",
        allowed=f"judged from {limits.min_rows:,} on",
        explanation="Too few predictions to judge: wait for traffic.",
        figures={"rows": rows},
    )


def _moved(reference: Profile, window: Profile, name: str) -> str:
    """The bin whose share rose the most, as ``missing 0% -> 12%``."""
    if not reference.rows or not window.rows:
        return ""
    before: NDArray[np.float64] = reference.array(name) / reference.rows
    after: NDArray[np.float64] = window.array(name) / window.rows
    at = int(np.argmax(after - before))
    return f"{window.binning.columns[name].labels[at]}: {before[at]:.1%} to {after[at]:.1%}"


def _zero_if_nan(value: float) -> float:
    return 0.0 if np.isnan(value) else value
