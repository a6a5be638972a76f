"""How large the spool may get, what happens then, and when a segment is finished."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

AtBound = Literal["refuse", "drop_oldest", "unlogged"]


@dataclass(frozen=True)
class Limits:
    """Of one endpoint's spool; from the settings ``MLOPS_PREDICTION_LOG_*``.

    ``max_bytes``: of all that is not shipped yet. ``at_bound``: then (and on a full disk) requests are
    refused (503), or the oldest rows are dropped, or answers go out unlogged; the latter two are counted.
    ``sync``: each record is on the disk before its answers are sent, so that it survives a power cut.
    """

    max_bytes: int = 2 * 1024**3
    at_bound: AtBound = "refuse"
    segment_bytes: int = 16 * 1024**2
    segment_seconds: float = 5.0
    sync: bool = False
