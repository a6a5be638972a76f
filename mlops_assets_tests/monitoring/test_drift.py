"""The drift verdict: how often it cries wolf, what it sees, and what it lets pass."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
import numpy as np
import pytest

from mlops_assets.monitoring.drift import DriftVerdict, judge_drift
from mlops_assets.monitoring.profiles import ProfileError
from mlops_assets.monitoring.reference import Reference, profile_features, profile_scores
from mlops_assets.project import Drift
from mlops_assets_tests.monitoring.data import CATEGORICAL, NUMERIC, columns, reference_of

if TYPE_CHECKING:
    from mlops_assets_tests.monitoring.data import Columns

LIMITS = Drift()
ALL = (*NUMERIC, *CATEGORICAL)


@pytest.fixture(scope="module")
def reference() -> Reference:
    return reference_of(columns(40_000, 1), columns(10_000, 2), _scores(10_000, 3))


def _scores(rows: int, seed: int, shift: float = 0.0) -> np.ndarray:
    return np.asarray(1 / (1 + np.exp(-np.random.default_rng(seed).normal(-1.3 + shift, 0.8, rows))))


def _judge(
    reference: Reference, window: Columns, scores: np.ndarray | None = None, limits: Drift = LIMITS,
    days: int | None = None,
) -> DriftVerdict:  # fmt: skip
    rows = len(next(iter(window.values())))
    p = _scores(rows, rows) if scores is None else scores
    return judge_drift(
        reference, profile_features(reference, window), profile_scores(reference, p), limits, days
    )


def test_without_drift_both_pass(reference: Reference) -> None:
    verdict = _judge(reference, columns(20_000, 9))
    assert verdict.judged
    assert verdict.features_passed
    assert verdict.scores_passed
    assert not verdict.drifted
    assert verdict.features.name == "feature_drift"
    assert verdict.scores.name == "score_drift"


def test_false_alarms_are_as_rare_as_declared_even_where_every_movement_counts(reference: Reference) -> None:
    """The worst case: nothing is too small a movement, and one column is too many."""
    strict = Drift(false_alarm_rate=0.05, min_distance=1e-9, usual_movement=1, max_drifted_share=0,
                   max_score_distance=1e-9)  # fmt: skip
    bare = reference_of(columns(40_000, 1), columns(10_000, 2), _scores(10_000, 3))
    zero: dict[str, tuple[float, ...]] = dict.fromkeys(ALL, (0.0,))
    bare = _with_usual(bare, zero)
    rounds = 300
    alarms = sum(not _judge(bare, columns(2_000, 1_000 + n), limits=strict).features_passed
                 for n in range(rounds))  # fmt: skip
    assert alarms <= 0.05 * rounds + 2 * np.sqrt(0.05 * 0.95 * rounds)
    assert alarms > 0  # the test could fail: without the correction two in three would be alarms
    assert sum(min(c.p_value for c in _judge(bare, columns(2_000, 1_000 + n), limits=strict).columns) <= 0.05
               for n in range(40)) > 15  # fmt: skip


def _with_usual(reference: Reference, distances: dict[str, tuple[float, ...]]) -> Reference:
    usual = msgspec.structs.replace(reference.usual_features, distances=distances)
    return msgspec.structs.replace(reference, usual_features=usual)


def test_with_the_defaults_chance_alone_never_alarms(reference: Reference) -> None:
    verdicts = [_judge(reference, columns(2_000, 2_000 + n), _scores(2_000, 2_000 + n)) for n in range(200)]
    assert all(v.features_passed and v.scores_passed and not v.drifted for v in verdicts)


def test_real_drift_is_seen_every_time(reference: Reference) -> None:
    moved = ("n0", "n3", "n7", "n9", "c1", "c3")
    for seed in range(30):
        verdict = _judge(reference, columns(2_000, 3_000 + seed, moved, shift=0.5))
        assert {column.name for column in verdict.drifted} == set(moved)
        assert not verdict.features_passed


def test_few_columns_may_move(reference: Reference) -> None:
    verdict = _judge(reference, columns(20_000, 5, ("n0", "c1")))
    assert verdict.features_passed
    assert verdict.drifted_share == pytest.approx(0.1)
    assert [column.name for column in verdict.columns[:2]] == ["n0", "c1"]
    assert "Moved, but few: n0" in verdict.features.explanation


def test_with_many_rows_a_trifle_is_significant_but_no_drift(reference: Reference) -> None:
    verdict = _judge(reference, columns(300_000, 6, NUMERIC, shift=0.05))
    assert all(c.adjusted_p < 1e-6 for c in verdict.columns if c.name in NUMERIC)
    assert not verdict.drifted


def test_what_the_held_out_partition_did_as_well_is_usual() -> None:
    training, held_out = columns(20_000, 1), columns(8_000, 2, ALL, shift=1.0)
    reference = reference_of(training, held_out, _scores(8_000, 3))
    assert not _judge(reference, columns(8_000, 4, ALL, shift=1.1)).drifted
    assert set(NUMERIC) <= {c.name for c in _judge(reference, columns(8_000, 4, ALL, shift=2.0)).drifted}


def test_a_few_days_are_held_against_a_few_days() -> None:
    """Each day has its own weather: short windows are far from the reference although nothing changed."""
    rng = np.random.default_rng(0)

    def month(seed: int, days: int = 30) -> Columns:
        level = np.random.default_rng(seed).normal(0, 1, (days, len(NUMERIC)))
        made = columns(days * 500, seed)
        return made | {
            name: made[name] * 0.3 + np.repeat(level[:, at], 500) for at, name in enumerate(NUMERIC)
        }

    day = np.repeat(np.arange(30), 500).astype(str)
    training, held_out = month(1, 90), month(2)
    scores = rng.random(15_000)
    by_day = reference_of(training, held_out, scores, np.char.zfill(day, 2))
    as_one = reference_of(training, held_out, scores)
    window = {name: values[:2_000] for name, values in month(3).items()}
    assert not _judge(as_one, window, rng.random(2_000)).features_passed
    assert _judge(by_day, window, rng.random(2_000)).features_passed
    # the same rows, sampled thinly from a whole month, are held against a whole month
    assert not _judge(by_day, window, rng.random(2_000), days=30).features_passed


def test_a_column_that_went_missing_is_drift_and_told() -> None:
    reference = reference_of(columns(20_000, 1), columns(8_000, 2), _scores(8_000, 3))
    window = columns(8_000, 4)
    window["n5"] = np.full(8_000, np.nan)
    window["c2"] = np.full(8_000, None, dtype=object)
    found = {column.name: column for column in _judge(reference, window).drifted}
    assert set(found) == {"n5", "c2"}
    assert found["n5"].distance == 1
    assert found["n5"].moved == found["c2"].moved == "missing: 0.0% to 100.0%"


def test_wholly_new_values_are_drift_even_where_the_held_out_ones_were_half_new() -> None:
    training, held_out, window = columns(9_000, 1), columns(9_000, 2), columns(9_000, 3)
    held_out["c0"] = np.where(np.arange(9_000) % 10, "new", held_out["c0"]).astype(object)
    window["c0"] = np.full(9_000, "new", dtype=object)
    found = _judge(reference_of(training, held_out, _scores(9_000, 3)), window, _scores(9_000, 4)).drifted
    assert [column.name for column in found] == ["c0"]


def test_scores_that_moved_fail_their_own_check_only(reference: Reference) -> None:
    verdict = _judge(reference, columns(5_000, 5), _scores(5_000, 6, shift=1.0))
    assert verdict.features_passed
    assert not verdict.scores_passed
    assert verdict.scores_distance > 0.2
    assert verdict.scores.figures["distance"] == verdict.scores_distance


def test_too_few_rows_are_not_judged(reference: Reference) -> None:
    verdict = _judge(reference, columns(1_999, 5, ALL, shift=3.0), _scores(1_999, 6, shift=3.0))
    assert not verdict.judged
    assert verdict.features_passed
    assert verdict.scores_passed
    assert "Too few predictions" in verdict.explanation


def test_no_rows_at_all_are_not_judged(reference: Reference) -> None:
    empty = {name: values[:0] for name, values in columns(10, 1).items()}
    assert not _judge(reference, empty, np.empty(0)).judged


def test_profiles_of_another_reference_are_refused(reference: Reference) -> None:
    other = reference_of(columns(5_000, 11), columns(5_000, 12), _scores(5_000, 13))
    window = columns(3_000, 1)
    with pytest.raises(ProfileError, match="different bins"):
        judge_drift(
            reference, profile_features(other, window), profile_scores(reference, _scores(3_000, 1)), LIMITS
        )
    with pytest.raises(ProfileError, match="different bins"):
        judge_drift(
            reference, profile_features(reference, window), profile_scores(other, _scores(3_000, 1)), LIMITS
        )
