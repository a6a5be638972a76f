"""All that is judged of features and of a training set before they become an asset."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mlops_assets.quality.leakage import judge_columns, judge_order, judge_seen, judge_time
from mlops_assets.quality.nulls import judge_nulls
from mlops_assets.quality.skew import evenly, judge_skew, model_columns
from mlops_assets.quality.verdict import Verdict, merge

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pandas as pd

    from mlops_assets.project import Features
    from mlops_assets.quality.summary import Summary

FEATURES_CHECKS = {
    "leakage": "No column predicts the label too well by itself; each row happens in its partition.",
    "skew": "The endpoint, asked about these rows, makes the same columns of them as a training.",
    "nulls": "No field has gone missing, by a join that finds nothing say.",
}
SAMPLE = 10_000
"""Rows whose model columns are looked at, evenly spaced: enough for the second digit of a ROC AUC."""
TRAINING_CHECKS = {
    "leakage": (
        "No column predicts the label too well by itself, no held-out row is trained on, and all that is "
        "trained on happened before the held-out partition."
    ),
    "skew": "The endpoint, asked about these rows, makes the same columns of them as a training.",
}
"""Name -> what it makes sure of."""
NULLS_REMEDY = (
    "see which source the field is joined from, and whether its keys fit (time zones, codes that changed); "
    "correct the file or `features.build`, and materialize again. If the values are not to be had: raise "
    "`max_null_rise` of the project's `Leakage`"
)


def judge_features(
    features: Features, partition: str, frame: pd.DataFrame, summary: Summary, others: Sequence[Summary]
) -> tuple[Verdict, ...]:
    """The verdicts of ``FEATURES_CHECKS`` on the rows of ``partition``; ``others`` are other partitions'."""
    limits = features.leakage
    leakage, skew = _columns(features, frame)
    return (
        merge("leakage", [leakage, judge_time(frame, features.event_time, partition)]),
        skew,
        judge_nulls(
            summary,
            others,
            features.instance_fields,
            {},
            limits.max_null_rise,
            limits.min_others,
            NULLS_REMEDY,
        ),
    )


def judge_training_set(
    features: Features, training: pd.DataFrame, held_out: pd.DataFrame
) -> tuple[Verdict, ...]:
    """The verdicts of ``TRAINING_CHECKS`` on the rows to train on and those held out."""
    leakage, skew = _columns(features, training)
    order = judge_order(training, held_out, features.event_time)
    parts = [leakage, order]
    if features.event_time is None or not order.passed:  # else no row can be among the earlier ones
        fields = list(dict.fromkeys([*features.identity, *features.instance_fields]))
        parts.append(judge_seen(training, held_out, fields, features.leakage))
    return merge("leakage", parts), skew


def _columns(features: Features, frame: pd.DataFrame) -> tuple[Verdict, Verdict]:
    """Leakage by a column, and skew, on a sample of the rows."""
    rows = frame.iloc[evenly(len(frame), SAMPLE)]
    columns = model_columns(features, rows)
    used = {name: columns[name] for name in (*features.numeric, *features.categorical)}
    labels = rows[features.label].to_numpy()
    return judge_columns(used, labels, features.leakage), judge_skew(features, rows, columns)
