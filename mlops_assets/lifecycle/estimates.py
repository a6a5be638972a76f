"""What was expected of a version before labels came: a short series in the lake, for later comparison."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from mlops_assets.project import Project
    from mlops_assets.resources.lake import Lake

KEPT = 200
"""Entries of a version: older ones go."""


class Said(msgspec.Struct, frozen=True):
    """An estimate as it was made at ``at`` (ISO) of ``rows`` predictions, by partition of their event."""

    at: str
    rows: int
    partitions: dict[str, int]
    roc_auc: float
    log_loss: float
    brier: float
    positive_rate: float

    @property
    def about(self) -> str:
        """The partition that most of the predictions are about."""
        return max(self.partitions, key=lambda name: self.partitions[name], default="")


def estimates_key(project: Project, version: str) -> str:
    return f"{project.name}/drift/estimates/{version}.json"


def said_before(lake: Lake, project: Project, version: str) -> list[Said]:
    """What was expected of ``version`` so far, oldest first."""
    data = lake.find(estimates_key(project, version))
    return msgspec.json.decode(data, type=list[Said]) if data is not None else []


def say(lake: Lake, project: Project, version: str, said: Said) -> None:
    """Append ``said``; what was said of the same window before is replaced."""
    kept = said_before(lake, project, version)
    if kept and kept[-1].at == said.at:
        kept.pop()
    key = estimates_key(project, version)
    lake.put(key, msgspec.json.encode([*kept, said][-KEPT:]), "application/json")
