"""Real performance: by day, month, slice and version, and the verdict on what was promised."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import pytest
from msgspec.structs import replace
from sklearn.metrics import brier_score_loss, log_loss, roc_auc_score

from mlops_assets.judging.sample import ScoreError
from mlops_assets.monitoring.calibration import fit_calibration
from mlops_assets.monitoring.performance import judge_performance, measure
from mlops_assets.project import Performance
from mlops_assets_tests.monitoring.data import columns, promise, reference_of

if TYPE_CHECKING:
    from mlops_assets.monitoring.reference import Reference

LIMITS = Performance()


def _outcomes(rows: int = 12_000, seed: int = 0, noise: float = 0.0, days: int = 60) -> pd.DataFrame:
    """Outcomes of ``days`` days from March on; ``noise`` on the log odds is what the model does not know."""
    rng = np.random.default_rng(seed)
    odds = rng.normal(-1.2, 1.0, rows)
    return pd.DataFrame(
        {
            "time": pd.Timestamp("2013-03-01")
            + pd.to_timedelta(np.sort(rng.integers(0, days * 24, rows)), "h"),
            "probability": 1 / (1 + np.exp(-odds - rng.normal(0, noise, rows) if noise else -odds)),
            "label": (rng.random(rows) < 1 / (1 + np.exp(-odds))).astype(int),
            "version": "7",
            "carrier": rng.choice(["AA", "DL", "ZZ"], rows, p=[0.6, 0.39, 0.01]),
        }
    )


def _reference(promised: float = 0.74) -> Reference:
    made = reference_of(columns(300, 1), columns(300, 2), np.random.default_rng(0).random(300))
    seen = _outcomes(seed=99)
    calibration = fit_calibration(seen["label"], seen["probability"])
    return replace(made, promised=promise(promised), calibration=calibration)


def test_figures_are_scikit_learns_by_month_and_day() -> None:
    frame = _outcomes()
    found = measure(frame, {}, LIMITS)
    assert [month.name for month in found.months] == ["2013-03", "2013-04"]
    assert len(found.days) == 60
    assert found.rows == sum(day.real.rows for day in found.days) == 12_000
    for periods, length in ((found.months, 7), (found.days[:3], 10)):
        for period in periods:
            mine = frame[frame["time"].astype(str).str[:length] == period.name]
            y, p = mine["label"], mine["probability"]
            assert period.real.rows == len(mine)
            assert period.real.positive_rate == pytest.approx(y.mean())
            assert period.real.roc_auc == pytest.approx(roc_auc_score(y, p))
            assert period.real.log_loss == pytest.approx(log_loss(y, p))
            assert period.real.brier == pytest.approx(brier_score_loss(y, p))
    month = found.months[0]
    assert month.interval is not None
    assert month.interval.roc_auc.value == pytest.approx(month.real.roc_auc)
    assert month.interval.roc_auc.low < month.interval.roc_auc.value < month.interval.roc_auc.high


def test_slices_are_scored_where_they_are_large_enough() -> None:
    frame = _outcomes()
    found = measure(frame, {}, LIMITS, ["carrier"])
    assert {part.value: part.score.rows for part in found.slices} == {
        name: int((frame["carrier"] == name).sum()) for name in ("AA", "DL")
    }
    assert [skipped.value for skipped in found.skipped] == ["ZZ"]
    mine = frame[frame["carrier"] == "DL"]
    [dl] = [part for part in found.slices if part.value == "DL"]
    assert dl.score.roc_auc.value == pytest.approx(roc_auc_score(mine["label"], mine["probability"]))


def test_promised_and_expected_stand_beside_the_truth() -> None:
    found = measure(_outcomes(), {"7": _reference(0.74)}, LIMITS)
    for month in found.months:
        assert month.promised == 0.74
        assert month.expected is not None
        assert month.expected.roc_auc == pytest.approx(month.real.roc_auc or 0, abs=0.03)
        assert month.expected.positive_rate == pytest.approx(month.real.positive_rate, abs=0.02)


def test_each_version_is_scored_on_its_own_and_keeps_its_own_promise() -> None:
    frame = _outcomes()
    frame.loc[frame["time"] >= "2013-04-01", "version"] = "8"
    frame.loc[frame["time"] >= "2013-04-29", "version"] = "9"
    found = measure(frame, {"7": _reference(0.74), "8": _reference(0.8)}, LIMITS)
    assert found.versions["7"].rows == (frame["version"] == "7").sum()
    assert found.unscored["9"] == "outcomes of 1 days; 8 are needed for an interval"
    march, april = found.months
    assert (march.versions, march.promised) == (("7",), 0.74)
    assert (april.versions, april.promised, april.expected) == (("8", "9"), None, None)
    known = measure(frame[frame["version"] != "9"], {"7": _reference(0.74), "8": _reference(0.8)}, LIMITS)
    assert known.months[1].promised == pytest.approx(0.8)


def test_a_kept_promise_passes() -> None:
    reference = _reference(0.75)
    verdict = judge_performance(measure(_outcomes(), {"7": reference}, LIMITS), reference, LIMITS)
    assert verdict is not None
    assert verdict.passed
    assert verdict.figures["promised"] == 0.75


def test_a_broken_promise_fails_and_says_what_to_do() -> None:
    reference = _reference(0.75)
    verdict = judge_performance(measure(_outcomes(noise=1.5), {"7": reference}, LIMITS), reference, LIMITS)
    assert verdict is not None
    assert not verdict.passed
    assert verdict.figures["roc_auc_high"] < verdict.figures["floor"] == pytest.approx(0.73)
    assert "retrain on newer partitions" in verdict.explanation
    assert "promised 0.750 on 2013-03" in verdict.allowed


def test_the_promise_is_the_champions_whatever_others_did() -> None:
    bad, good = _outcomes(noise=3.0), _outcomes(seed=1)
    frame = pd.concat([bad.assign(version="6"), good], ignore_index=True)
    reference = _reference(0.75)
    verdict = judge_performance(measure(frame, {"7": reference}, LIMITS), reference, LIMITS)
    assert verdict is not None
    assert verdict.passed


@pytest.mark.parametrize("frame", [_outcomes(900), _outcomes(3_000, days=7), _outcomes().assign(version="6")])
def test_too_few_outcomes_too_few_days_or_none_of_its_own_give_no_verdict(frame: pd.DataFrame) -> None:
    reference = _reference()
    assert judge_performance(measure(frame, {"7": reference}, LIMITS), reference, LIMITS) is None


def test_intervals_are_resampled_by_day() -> None:
    """Days that go well and badly as wholes make a wide interval, however many rows they have."""
    frame = _outcomes(days=20)
    bad = frame["time"].dt.day % 2 == 0
    frame.loc[bad, "probability"] = np.random.default_rng(1).permutation(frame.loc[bad, "probability"])
    mixed = measure(frame, {}, LIMITS).versions["7"].roc_auc
    even = measure(_outcomes(days=20), {}, LIMITS).versions["7"].roc_auc
    assert mixed.high - mixed.low > 2 * (even.high - even.low)


def test_days_of_one_class_have_no_rank() -> None:
    frame = _outcomes()
    frame.loc[frame["time"] < "2013-03-02", "label"] = 0
    first = measure(frame, {}, LIMITS).days[0].real
    assert first.rows
    assert first.roc_auc is first.log_loss is None


def test_times_may_be_text_or_have_a_zone() -> None:
    frame = _outcomes(3_000)
    plain = measure(frame, {}, LIMITS)
    assert measure(frame.assign(time=frame["time"].astype(str)), {}, LIMITS) == plain
    assert measure(frame.assign(time=frame["time"].dt.tz_localize("UTC")), {}, LIMITS) == plain


def test_unusable_outcomes_are_refused() -> None:
    frame = _outcomes(3_000)
    with pytest.raises(ScoreError, match="no rows"):
        measure(frame[:0], {}, LIMITS)
    with pytest.raises(ScoreError, match="neither 0 nor 1"):
        measure(frame.assign(label=2), {}, LIMITS)
    with pytest.raises(ScoreError, match="rows are positive"):
        measure(frame.assign(label=0), {}, LIMITS)
    with pytest.raises(ScoreError, match="not probabilities"):
        measure(frame.assign(probability=np.nan), {}, LIMITS)
