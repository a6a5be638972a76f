"""Are there as many rows as usual? A file that was cut, or exported twice into one, is not."""

from __future__ import annotations

import statistics
from typing import TYPE_CHECKING

from mlops_assets.quality.verdict import Verdict

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mlops_assets.project import Quality

REMEDY = (
    "see whether the export ended early or ran twice, and upload the whole file again under the same name. "
    "If the partition really is like this: say so in `accepted` of the source's quality, with the reason, "
    "and materialize the raw asset's partition again"
)


def judge_volume(rows: int, others: Sequence[int], limits: Quality) -> Verdict:
    """The number of ``rows`` against declared limits and the median of ``others`` (rows by partition)."""
    fits, allowed = [], []
    observed = f"{rows:,} rows"
    figures: dict[str, float] = {"rows": rows}
    if limits.rows is not None:
        low, high = limits.rows
        fits.append(low <= rows <= high)
        allowed.append(f"{low:,} to {high:,} rows")
    if len(others) >= limits.min_others:
        usual = statistics.median(others)
        least, most = limits.rows_to_usual
        fits.append(least * usual <= rows <= most * usual)
        observed += f", {rows / usual:.0%} of the usual {usual:,.0f} (median of {len(others)} others)"
        allowed.append(f"{least:.0%} to {most:.0%} of the usual")
        figures["usual rows"] = usual
    else:
        allowed.append(f"as usual, once there are {limits.min_others} other partitions")
    return Verdict("volume", all(fits), observed, "; ".join(allowed), REMEDY, figures)
