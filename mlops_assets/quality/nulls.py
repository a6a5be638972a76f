"""Has a column gone missing? Shares of missing values against declared ones and other partitions'."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mlops_assets.quality.verdict import Verdict

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from mlops_assets.quality.summary import Summary

REMEDY = (
    "see why the exporter left the values out, and upload the file again under the same name. If they are "
    "not to be had: raise the column's share in `max_nulls` of the source's quality, or list the partition "
    "in `accepted` with the reason, and materialize it again"
)
SHOWN = 5


def judge_nulls(  # noqa: PLR0913 - limits of two kinds of asset
    summary: Summary,
    others: Sequence[Summary],
    columns: Iterable[str],
    declared: Mapping[str, float],
    max_rise: float,
    min_others: int,
    remedy: str = REMEDY,
) -> Verdict:
    """Each of ``columns``: at most its ``declared`` share; else not all, nor ``max_rise`` above others."""
    limits = {}
    for name in columns:
        if name in declared:
            limits[name] = declared[name]
        else:
            known = [other.nulls[name] for other in others if name in other.nulls]
            limits[name] = min(1.0, max(known) + max_rise) if len(known) >= min_others else 1.0
    shares = {name: summary.nulls.get(name, 1.0) for name in limits}
    # All of a column is too much, unless that is declared.
    over = [n for n in limits if shares[n] > limits[n] or (shares[n] >= 1 and n not in declared)]
    shown = sorted(over, key=lambda name: limits[name] - shares[name])[:SHOWN]
    most = sorted(shares, key=lambda name: -shares[name])[:SHOWN]
    observed = ", ".join(f"{name} is missing in {shares[name]:.1%} of the rows" for name in shown or most)
    allowed = ", ".join(f"{name} at most {_limit(limits[name])}" for name in shown or most)
    return Verdict(
        "nulls",
        not over,
        observed or "no column may be missing",
        allowed or "none",
        remedy,
        {"shares": {name: round(share, 4) for name, share in shares.items() if share}},
    )


def _limit(share: float) -> str:
    return "in some of them" if share >= 1 else f"{share:.0%}"
