"""The champion's real performance on outcomes, beside what was promised and what was expected."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
import numpy as np

from mlops_assets.judging.gate import Verdict
from mlops_assets.judging.metrics import Replicates, Score, replicate
from mlops_assets.judging.resampling import MIN_GROUPS, Resampling, days
from mlops_assets.judging.sample import MIN_PER_CLASS, checked_labels, checked_probabilities
from mlops_assets.judging.slices import SkippedSlice, slicings
from mlops_assets.judging.statistics import METRICS, Statistics
from mlops_assets.monitoring.estimate import Expected, expect

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import pandas as pd
    from numpy.typing import NDArray

    from mlops_assets.monitoring.reference import Reference
    from mlops_assets.project import Performance

ROUNDS = 200
"""Resamples: fewer than the gate's, for this is asked again with each batch of outcomes."""


class Figures(msgspec.Struct, frozen=True):
    """A model's metrics on some rows, without intervals (formulas: ``judging.statistics``).

    The metrics are None where either class has fewer than ``MIN_PER_CLASS`` rows.
    """

    rows: int
    positives: int
    roc_auc: float | None = None
    log_loss: float | None = None
    brier: float | None = None
    calibration_error: float | None = None

    @property
    def positive_rate(self) -> float:
        return self.positives / self.rows


class Period(msgspec.Struct, frozen=True):
    """A day (``2013-04-01``) or a month (``2013-04``): real, promised and expected.

    ``versions`` answered in it. ``interval`` has the real figures with intervals, resampled by day (None
    where days are too few); ``promised`` is the ROC AUC, a mean over the rows where several versions
    answered; ``expected`` is the estimate without labels. Both are None if a version has no reference.
    """

    name: str
    versions: tuple[str, ...]
    real: Figures
    interval: Score | None = None
    promised: float | None = None
    expected: Expected | None = None


class Part(msgspec.Struct, frozen=True):
    """The rows where ``column`` is ``value``, with intervals."""

    column: str
    value: str
    score: Score


class Measured(msgspec.Struct, frozen=True):
    """Real performance; every interval is resampled by day.

    ``versions``: model version -> its score on its own outcomes, where it has enough days and rows of both
    classes; ``unscored``: the others, and why. ``days``, ``months``: rising. ``slices``: large enough
    ones; ``skipped``: the others.
    """

    rows: int
    positives: int
    versions: dict[str, Score]
    unscored: dict[str, str]
    days: tuple[Period, ...]
    months: tuple[Period, ...]
    slices: tuple[Part, ...]
    skipped: tuple[SkippedSlice, ...]


class _Rows:
    """Outcomes as arrays: labels ``y``, probabilities ``p``, ``day``, ``month``, ``version``: (rows,)."""

    def __init__(self, frame: pd.DataFrame) -> None:
        self.p = checked_probabilities("the outcomes", frame["probability"], len(frame))
        self.y = np.asarray(frame["label"], dtype=np.float64)
        self.day = days(frame["time"].dt.tz_localize(None) if _has_zone(frame["time"]) else frame["time"])
        self.month = self.day.astype("U7")
        self.version = frame["version"].astype(str).to_numpy(dtype=object)


def measure(
    outcomes: pd.DataFrame,
    references: Mapping[str, Reference],
    limits: Performance,
    slices: Sequence[str] = (),
    min_slice_rows: int = 400,
) -> Measured:
    """The real performance on ``outcomes``, one row for each prediction whose label is known.

    Columns: "time" (datetime64 or ISO text: by which days and months are told, and days resampled),
    "probability", "label" (0 or 1), "version" (text), and those of ``slices``. ``references``: model
    version -> its reference, for promised and expected figures; a version without one has none.
    Raises ``ScoreError`` for no rows, labels that are not 0 or 1, or fewer than 10 rows of a class.
    """
    rows = _Rows(outcomes)
    checked_labels(rows.y)
    resampling = Resampling(ROUNDS, limits.confidence)
    versions, unscored = _versions(rows, resampling)
    cuts = slicings(rows.y, {name: outcomes[name].to_numpy() for name in slices}, min_slice_rows)
    used = [cut for cut in cuts if cut.values]  # noqa: PD011 -- no frame
    parts: list[Part] = []
    if used and np.unique(rows.day).size >= MIN_GROUPS:
        found = replicate([cut.statistics(rows.y, rows.p) for cut in used], rows.y.size, resampling, rows.day)
        for cut, replicates in zip(used, found, strict=True):
            parts += [Part(s.column, s.value, s.challenger) for s in cut.scored(rows.y, replicates, None)]
    return Measured(
        rows=int(rows.y.size),
        positives=int(rows.y.sum()),
        versions=versions,
        unscored=unscored,
        days=_periods(rows, rows.day, references, None),
        months=_periods(rows, rows.month, references, resampling),
        slices=tuple(parts),
        skipped=tuple(skipped for cut in cuts for skipped in cut.skipped),
    )


def judge_performance(measured: Measured, reference: Reference, limits: Performance) -> Verdict | None:
    """Whether the champion of ``reference`` keeps what its evaluation promised, on its own outcomes.

    Broken: the whole interval of the real ROC AUC is more than ``max_auc_drop`` below the promised one.
    None if it cannot be judged yet (fewer than ``min_outcomes`` of its own, or too few days): no verdict is
    no reason to close an alert.
    """
    real = measured.versions.get(reference.champion)
    if real is None or real.rows < limits.min_outcomes:
        return None
    promised = reference.promised.roc_auc
    floor = promised.value - limits.max_auc_drop
    auc = real.roc_auc
    passed = auc.high >= floor
    why = f"Version {reference.champion} keeps what its evaluation promised."
    if not passed:
        why = (
            f"Version {reference.champion} ranks worse than its evaluation promised, beyond the noise. Look "
            "at the months and slices where it fell and at the drift report; then retrain on newer "
            "partitions, or roll back to a version that did better."
        )
    return Verdict(
        name="performance",
        passed=passed,
        observed=f"ROC AUC {auc.value:.3f} [{auc.low:.3f}, {auc.high:.3f}] on {real.rows:,} outcomes",
        allowed=f"interval reaching {floor:.3f} (promised {promised.value:.3f} on {reference.held_out}, "
        f"less {limits.max_auc_drop:.3f})",
        explanation=why,
        figures={
            "rows": real.rows,
            "roc_auc": auc.value,
            "roc_auc_low": auc.low,
            "roc_auc_high": auc.high,
            "promised": promised.value,
            "floor": floor,
            "log_loss": real.log_loss.value,
            "promised_log_loss": reference.promised.log_loss.value,
        },
    )


def _versions(rows: _Rows, resampling: Resampling) -> tuple[dict[str, Score], dict[str, str]]:
    scores, unscored = {}, {}
    for version in sorted(set(rows.version)):
        mine = rows.version == version
        why = _why_not(rows.y[mine], rows.day[mine])
        if why:
            unscored[version] = why
        else:
            scores[version] = _scored(rows, mine, resampling)
    return scores, unscored


def _why_not(y: NDArray[np.float64], day: NDArray[np.str_]) -> str:
    """Why there is no interval for these rows; "" if there is one."""
    of_one, days_seen = int(min(y.sum(), y.size - y.sum())), np.unique(day).size
    if of_one < MIN_PER_CLASS:
        return f"{of_one} outcomes of one class; {MIN_PER_CLASS} are needed"
    if days_seen < MIN_GROUPS:
        return f"outcomes of {days_seen} days; {MIN_GROUPS} are needed for an interval"
    return ""


def _scored(rows: _Rows, mine: NDArray[np.bool_], resampling: Resampling) -> Score:
    y = rows.y[mine]
    replicates: Replicates
    [replicates] = replicate([Statistics(y, rows.p[mine])], y.size, resampling, rows.day[mine])
    return replicates.score(int(y.size), int(y.sum()))


def _periods(
    rows: _Rows,
    period: NDArray[np.str_],
    references: Mapping[str, Reference],
    resampling: Resampling | None,
) -> tuple[Period, ...]:
    calibrated, promised = _by_reference(rows, references)
    found = []
    for name in np.unique(period):
        mine = period == name
        y, p = rows.y[mine], rows.p[mine]
        known = not np.isnan(promised[mine]).any()
        interval = resampling and not _why_not(y, rows.day[mine])
        found.append(
            Period(
                name=str(name),
                versions=tuple(sorted(set(rows.version[mine]))),
                real=figures(y, p),
                interval=_scored(rows, mine, resampling) if resampling and interval else None,
                promised=float(promised[mine].mean()) if known else None,
                expected=expect(p, calibrated[mine]) if known else None,
            )
        )
    return tuple(found)


def _by_reference(
    rows: _Rows, references: Mapping[str, Reference]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Each row's calibrated probability and promised ROC AUC, float64 (rows,); NaN without a reference."""
    calibrated, promised = np.full(rows.p.size, np.nan), np.full(rows.p.size, np.nan)
    for version, reference in references.items():
        mine = rows.version == version
        calibrated[mine] = reference.calibration(rows.p[mine])
        promised[mine] = reference.promised.roc_auc.value
    return calibrated, promised


def figures(labels: NDArray[np.float64], probabilities: NDArray[np.float64]) -> Figures:
    """The metrics without intervals; both (rows,)."""
    rows, positives = int(labels.size), int(labels.sum())
    if min(positives, rows - positives) < MIN_PER_CLASS:
        return Figures(rows, positives)
    values = Statistics(labels, probabilities).compute()[:, 0]
    return Figures(rows, positives, **{name: float(v) for name, v in zip(METRICS, values, strict=True)})


def _has_zone(times: pd.Series) -> bool:
    return getattr(times.dtype, "tz", None) is not None
