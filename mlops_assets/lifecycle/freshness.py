"""Freshness policies: how long ago an asset may have been materialized last."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import dagster as dg

if TYPE_CHECKING:
    from datetime import timedelta


def freshness(window: timedelta | None) -> dict[str, Any]:
    """The arguments of an asset that may be ``window`` old (``Project.freshness``); none for None.

    Dagster's freshness daemon looks at the last materialization, of whichever partition: it fails when
    nothing has come for so long. An asset that was never materialized is not judged.
    """
    return {} if window is None else {"freshness_policy": dg.FreshnessPolicy.time_window(fail_window=window)}
