"""All that is judged of a source's rows once they keep their contract."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mlops_assets.quality.duplicates import judge_duplicates
from mlops_assets.quality.nulls import judge_nulls
from mlops_assets.quality.ranges import judge_ranges
from mlops_assets.quality.volume import judge_volume

if TYPE_CHECKING:
    from collections.abc import Mapping

    import pandas as pd

    from mlops_assets.project import Source
    from mlops_assets.quality.summary import Summary
    from mlops_assets.quality.verdict import Verdict

CHECKS = {
    "volume": "There are about as many rows as in other partitions, and as many as the project declares.",
    "duplicates": "No row repeats the key of another, and the rows are not another partition's.",
    "nulls": "No column has gone missing: its share of missing values is as declared, or as usual.",
    "ranges": "Numbers are of the usual size: medians as declared, spreads as usual. Units did not change.",
}
"""Name -> what it makes sure of."""


def judge_raw(
    source: Source,
    partition: str | None,
    frame: pd.DataFrame,
    summary: Summary,
    others: Mapping[str, Summary],
) -> tuple[Verdict, ...]:
    """The verdicts of ``CHECKS``, in their order, on the rows of ``partition``.

    ``summary`` is that of ``frame``, ``others`` are those of other partitions by name. What the project
    accepts passes.
    """
    quality, contract = source.quality, source.contract
    known = list(others.values())
    nullable = [column.name for column in contract.columns if column.nullable]
    verdicts = (
        judge_volume(summary.rows, [other.rows for other in known], quality),
        judge_duplicates(frame, contract, summary.content, others),
        judge_nulls(summary, known, nullable, quality.max_nulls, quality.max_null_rise, quality.min_others),
        judge_ranges(summary, known, quality, skip=contract.partition_by),
    )
    return tuple(v.accept(quality.why_accepted(v.check, partition)) for v in verdicts)
