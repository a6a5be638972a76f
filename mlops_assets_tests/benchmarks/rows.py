"""A row of the benchmark table."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Row:
    """One figure beside its peer's. ``met`` is None where there is no target."""

    name: str
    ours: float
    peer: float
    unit: str
    ratio: float
    target: float | None = None
    met: bool | None = None
