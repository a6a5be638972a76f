"""A sensor per project that looks at its endpoint: does it serve the champion?

Dagster has no look at a server of its own. What is reported is what changes, and now and then that it is
still so; a look that goes well also keeps the ``endpoint`` asset fresh.
"""

from __future__ import annotations

import json
import time
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

import dagster as dg

from mlops_assets.lifecycle.describe import asset_key
from mlops_assets.lifecycle.lineage import NotMaterializedError, latest
from mlops_assets.lifecycle.serving_check import as_evaluation, look, note_of_sight, promoted

if TYPE_CHECKING:
    from mlops_assets.project import Project

LOOK_SECONDS = 15
REPEAT_SECONDS = 1800.0
"""How often the same verdict is reported again."""
SIGHTS_A_WINDOW = 3
"""How often an endpoint is noted as seen while its freshness policy's window lasts."""


@dataclass(frozen=True)
class Told:
    """What was reported last, and when (seconds since 1970). ``doubt``: the last look failed."""

    verdict: str = ""
    at: float = 0.0
    doubt: bool = False

    @classmethod
    def parse(cls, text: str | None) -> Told:
        """From ``dump``; anything else is the beginning."""
        try:
            raw = json.loads(text or "{}")
            return cls(str(raw.get("verdict", "")), float(raw.get("at", 0)), bool(raw.get("doubt")))
        except (ValueError, TypeError, AttributeError):
            return cls()

    def dump(self) -> str:
        return json.dumps(asdict(self))


def watch_endpoint(
    instance: dg.DagsterInstance, project: Project, url: str, told: Told, now: float
) -> tuple[list[dg.AssetCheckEvaluation | dg.AssetMaterialization], Told]:
    """Look once: the events to report, and what is to be remembered.

    A failure is reported when two looks in a row fail: a server that restarts is no alert.
    """
    version, verdict = look(promoted(instance, project), project, url, now)
    if version is None or verdict is None:
        return [], told
    if not verdict.passed and not told.doubt:
        return [], Told(told.verdict, told.at, doubt=True)
    events: list[dg.AssetCheckEvaluation | dg.AssetMaterialization] = []
    said = f"{'' if verdict.passed else 'not '}{version}"
    if said != told.verdict or now - told.at >= REPEAT_SECONDS:
        events.append(as_evaluation(project, verdict))
        told = Told(said, now)
    if verdict.passed and _unseen(instance, project, now):
        events.append(note_of_sight(project, version, url))
    return events, Told(told.verdict, told.at, doubt=not verdict.passed)


def _unseen(instance: dg.DagsterInstance, project: Project, now: float) -> bool:
    """Whether the asset is on its way to staleness. Its first materialization is a run's business."""
    window = project.freshness.endpoint
    if window is None:
        return False
    try:
        made = latest(instance, asset_key(project, "endpoint"))
    except NotMaterializedError:
        return False
    return now - made.timestamp >= window.total_seconds() / SIGHTS_A_WINDOW


def build_endpoint_sensor(project: Project, url: str) -> dg.SensorDefinition:
    """The sensor ``<project>_endpoint``, which looks at ``url``."""

    @dg.sensor(
        name=f"{project.name}_endpoint",
        description=f"Looks whether the endpoint at {url} serves the champion, reports when that changes.",
        minimum_interval_seconds=LOOK_SECONDS,
        default_status=dg.DefaultSensorStatus.RUNNING,
    )
    def endpoint_sensor(context: dg.SensorEvaluationContext) -> dg.SensorResult:
        told = Told.parse(context.cursor)
        events, told = watch_endpoint(context.instance, project, url, told, time.time())
        reason = None if events else "the endpoint is as it was reported last"
        return dg.SensorResult(
            asset_events=events, cursor=told.dump(), skip_reason=dg.SkipReason(reason) if reason else None
        )

    return endpoint_sensor
