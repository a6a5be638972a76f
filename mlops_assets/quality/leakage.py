"""Does something among the features know the answer? Pure functions on columns and frames.

A column leaks when it predicts the label too well alone: each value's (or bin's, or the missing
values') rate of positive labels is taken from one half of the rows, and the ROC AUC of these rates is
measured on the other half. That finds a label that was copied, inverted, shifted, binned or turned
into missing values, and nothing can be won by a column that has a value for each row.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from mlops_assets.quality.verdict import Verdict

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from mlops_assets.project import Columns, Leakage

BINS = 40
_PRIOR_ROWS = 5.0
_STANDARD_ERRORS = 2.0

COLUMN_REMEDY = (
    "take out of the features what is known only after the event, or is made from the label. A column that "
    "honestly predicts so well: raise `max_column_auc` of the project's `Leakage`. Then materialize again"
)
ROWS_REMEDY = (
    "find out how the held-out partition's rows came into others (a source that delivers them twice, a "
    "wrong partition), correct the files and upload them again"
)
TIME_REMEDY = (
    "see which partition has rows of another time, and correct `features.build` or the file; the held-out "
    "partition must be later than all that is trained on"
)


def judge_columns(columns: Columns, labels: NDArray[Any], limits: Leakage) -> Verdict:
    """Each of ``columns`` (rows,) alone against ``labels`` (0 or 1, rows)."""
    aucs = {name: lone_auc(np.asarray(values), labels) for name, values in columns.items()}
    # A few rows make large AUCs by chance: what counts is what the AUC is at least.
    over = [n for n, (auc, error) in aucs.items() if auc - _STANDARD_ERRORS * error > limits.max_column_auc]
    best = sorted(aucs, key=lambda name: -aucs[name][0])
    told = [name for name in best if name in over] or best[:1]
    observed = ", ".join(f"{name} alone reaches a ROC AUC of {aucs[name][0]:.3f}" for name in told)
    return Verdict(
        "leakage",
        not over,
        observed,
        f"a column alone reaches at most {limits.max_column_auc:g}",
        COLUMN_REMEDY,
        {"lone ROC AUC": {name: round(aucs[name][0], 4) for name in best[:10]}},
    )


def lone_auc(values: NDArray[Any], labels: NDArray[Any]) -> tuple[float, float]:
    """How well ``values`` alone tell ``labels``: ROC AUC on every other row, and its standard error.

    (0.5, 0) where one of the halves has one kind of label only.
    """
    codes, y = _codes(values), np.asarray(labels, dtype=float)
    known, asked = slice(0, None, 2), slice(1, None, 2)
    if not 0 < y[known].mean() < 1 or not 0 < y[asked].mean() < 1:
        return 0.5, 0.0
    count = np.bincount(codes[known], minlength=codes.max() + 1)
    positive = np.bincount(codes[known], weights=y[known], minlength=len(count))
    rate = (positive + _PRIOR_ROWS * y[known].mean()) / (count + _PRIOR_ROWS)
    ranks = pd.Series(rate[codes[asked]]).rank().to_numpy()
    yes = y[asked] == 1
    m, n = int(yes.sum()), int((~yes).sum())
    auc = (ranks[yes].sum() - m * (m + 1) / 2) / (m * n)
    # Van Dantzig's bound: no AUC varies by more, however the scores are spread.
    return float(auc), float(np.sqrt(max(auc * (1 - auc), 0) / min(m, n)))


def _codes(values: NDArray[Any]) -> NDArray[np.int64]:
    """A code from 0 on for each value, or for each of ``BINS`` bins of numbers; missing has its own."""
    if values.dtype.kind not in "iufb":
        return np.asarray(pd.factorize(values, use_na_sentinel=True)[0] + 1, dtype=np.int64)
    numbers = values.astype(float)
    given = numbers[~np.isnan(numbers)]
    if not len(given):
        return np.zeros(len(numbers), dtype=np.int64)
    edges = np.unique(given)
    if len(edges) > BINS:
        edges = np.unique(np.quantile(given, np.linspace(0, 1, BINS + 1)))
    codes = np.searchsorted(edges, numbers, side="left") + 1
    return np.where(np.isnan(numbers), 0, codes).astype(np.int64)


def judge_seen(
    training: pd.DataFrame, held_out: pd.DataFrame, fields: Sequence[str], limits: Leakage
) -> Verdict:
    """Rows of ``held_out`` that stand, in all ``fields``, among the ``training`` rows as well."""
    both = pd.concat([training[list(fields)], held_out[list(fields)]], ignore_index=True)
    hashes = pd.util.hash_pandas_object(both, index=False).to_numpy()
    seen = np.isin(hashes[len(training) :], hashes[: len(training)])
    share = float(seen.mean()) if len(seen) else 0.0
    return Verdict(
        "leakage",
        share <= limits.max_seen,
        f"{int(seen.sum()):,} of {len(held_out):,} held-out rows ({share:.1%}) are among the training rows",
        f"at most {limits.max_seen:.1%} of the held-out rows",
        ROWS_REMEDY,
        {"held-out rows seen": int(seen.sum())},
    )


def judge_time(frame: pd.DataFrame, event_time: str | None, partition: str) -> Verdict:
    """Each row happens in ``partition``: its ISO text begins with it (``2013-04``, ``2013-04-01``)."""
    allowed = f"all rows happen in {partition}"
    if event_time is None or not len(frame):
        return Verdict("leakage", passed=True, observed="no time", allowed=allowed, remedy=TIME_REMEDY)
    other = frame.loc[~frame[event_time].str.startswith(partition).to_numpy(dtype=bool), event_time]
    told = f"{len(other):,} of {len(frame):,} rows do not happen in {partition}"
    if len(other):
        told += f", the first at {other.min()}"
    return Verdict(
        "leakage", not len(other), told, allowed, TIME_REMEDY, {"rows of another time": len(other)}
    )


def judge_order(training: pd.DataFrame, held_out: pd.DataFrame, event_time: str | None) -> Verdict:
    """All ``training`` rows happen before all ``held_out`` ones, by the column ``event_time``.

    Its ISO texts have one form, and so sort as times do.
    """
    allowed = "all training rows happen before the first held-out row"
    if event_time is None or not len(training) or not len(held_out):
        return Verdict("leakage", passed=True, observed="no time", allowed=allowed, remedy=TIME_REMEDY)
    last, first = training[event_time].max(), held_out[event_time].min()
    told = f"the last training row happens at {last}, the first held-out row at {first}"
    return Verdict("leakage", bool(last < first), told, allowed, TIME_REMEDY)
