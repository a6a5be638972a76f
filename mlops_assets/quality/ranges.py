"""Are numbers of the usual size? Other units keep within a contract's hard limits, but not within these."""

from __future__ import annotations

import statistics
from typing import TYPE_CHECKING

from mlops_assets.quality.verdict import Verdict

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mlops_assets.project import Quality
    from mlops_assets.quality.summary import Summary

REMEDY = (
    "see whether the exporter changed a unit or filled in a column with another, and upload the file again "
    "under the same name. If the values are right: widen the column's `medians` or `max_spread_change` in "
    "the source's quality, or list the partition in `accepted` with the reason, and materialize it again"
)


def judge_ranges(
    summary: Summary, others: Sequence[Summary], limits: Quality, skip: Sequence[str] = ()
) -> Verdict:
    """Declared medians, and the spread of each numeric column but ``skip`` against the usual one.

    The spread is the width of the middle half: that of a running number stays the same while its values
    grow, that of a measure in another unit does not. Columns whose middle half is one value have none.
    """
    observed, allowed = [], []
    for name, (low, high) in limits.medians.items():
        if name in summary.quartiles and not low <= (median := summary.quartiles[name][1]) <= high:
            observed.append(f"the median of {name} is {median:g}")
            allowed.append(f"{name} {low:g} to {high:g}")
    for name in summary.quartiles:
        known = [_spread(other, name) for other in others if name in other.quartiles]
        if name in skip or len(known) < limits.min_others:
            continue
        usual, now = statistics.median(known), _spread(summary, name)
        least, most = usual / limits.max_spread_change, usual * limits.max_spread_change
        if usual and now and not least <= now <= most:
            observed.append(f"the middle half of {name} is {now:g} wide, usually {usual:g}")
            allowed.append(
                f"{name} {usual / limits.max_spread_change:g} to {usual * limits.max_spread_change:g}"
            )
    medians = {name: summary.quartiles[name][1] for name in limits.medians if name in summary.quartiles}
    return Verdict(
        "ranges",
        not observed,
        "; ".join(observed) or _medians(medians) or "no column is of another size than usual",
        "; ".join(allowed) or _allowed(limits),
        REMEDY,
        {"quartiles": {name: list(values) for name, values in summary.quartiles.items()}},
    )


def _spread(summary: Summary, name: str) -> float:
    low, _, high = summary.quartiles[name]
    return high - low


def _medians(medians: dict[str, float]) -> str:
    return ", ".join(f"the median of {name} is {value:g}" for name, value in medians.items())


def _allowed(limits: Quality) -> str:
    medians = [f"{name} {low:g} to {high:g}" for name, (low, high) in limits.medians.items()]
    spread = (
        f"the middle half of a column at most {limits.max_spread_change:g} times as wide or narrow as usual"
    )
    return "; ".join([", ".join(medians), spread] if medians else [spread])
