"""Why a training runs: found at its start, and carried along by the training set."""

from __future__ import annotations

import datetime as dt
import json
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

import dagster as dg

from mlops_assets.lifecycle.describe import asset_key
from mlops_assets.lifecycle.lineage import NotMaterializedError, latest
from mlops_assets.retraining.desk import Asked, Desk
from mlops_assets.retraining.policy import BY_HAND, Key
from mlops_assets.retraining.reading import AUTOMATION_TAG, newest_run

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mlops_assets.project import Project
    from mlops_assets.retraining.table import Training

REASON = "reason"
"""Metadata of ``training_set`` that the later stages read."""

_LONGEST_TAG = 1000
_FORMER = ("dagster/parent_run_id", "dagster/root_run_id")


@dataclass(frozen=True)
class Reason:
    """Why a training runs. ``evidence``: cause -> its figures, and the check's evaluation that said so."""

    cause: str
    causes: tuple[str, ...]
    why: str
    evidence: dict[str, Any]
    key: str = ""

    @classmethod
    def read(cls, told: Mapping[str, Any]) -> Reason:
        """The reason among metadata or evidence; one that says so where there is none."""
        found = told.get(REASON)
        return cls(**{**found, "causes": tuple(found["causes"])}) if found else UNKNOWN

    def as_json(self) -> dict[str, Any]:
        return {**asdict(self), "causes": list(self.causes)}

    def tags(self, prefix: str = "mlops/") -> dict[str, str]:
        """As tags of a run, a MLflow run or a registered version."""
        evidence = json.dumps(self.evidence, default=str)
        texts = {"cause": self.cause, "why": self.why, "evidence": evidence}
        return {f"{prefix}{name}": text[:_LONGEST_TAG] for name, text in texts.items()}

    def metadata(self) -> dict[str, Any]:
        """As metadata of an asset that the training makes."""
        return {"cause": self.cause, "why": self.why, REASON: self.as_json()}


UNKNOWN = Reason("unknown", (), "The training set was made before reasons were kept.", {})


def claim(context: dg.AssetExecutionContext, project: Project, database_url: str) -> Reason:
    """The reason of the run that is beginning, which is tagged with it.

    The decision that automation wrote down; that of the training that a person runs again; else that a
    person began it. The same answer however often a run asks.
    """
    desk = Desk(project, database_url)
    row = _own(desk, context.run) or _asked(desk, context.run) or _again(desk, context.run)
    if row is None:
        _begin_by_hand(desk, context.instance, context.run)
        row = _own(desk, context.run)
    reason = _reason(row) if row is not None else UNKNOWN
    context.instance.add_run_tags(context.run.run_id, reason.tags())
    return reason


def read_reason(instance: dg.DagsterInstance, project: Project) -> Reason:
    """The reason of the training set that was made last."""
    try:
        return Reason.read(latest(instance, asset_key(project, "training_set")).metadata)
    except NotMaterializedError:
        return UNKNOWN


def _own(desk: Desk, run: dg.DagsterRun) -> Training | None:
    return next((row for row in desk.trainings.rows() if row.run_id == run.run_id), None)


def _asked(desk: Desk, run: dg.DagsterRun) -> Training | None:
    """The open decision, if automation asked for the run."""
    if AUTOMATION_TAG not in run.tags:
        return None
    for row in desk.trainings.rows():
        if row.run_id is None and row.ended_at is None:
            desk.trainings.take(row.seq, run.run_id)
            return row
    return None


def _again(desk: Desk, run: dg.DagsterRun) -> Training | None:
    """The training that this run is another try of."""
    former = {run.tags.get(name) for name in _FORMER} - {None}
    for row in desk.trainings.rows():
        if row.run_id in former:
            desk.trainings.take(row.seq, run.run_id)
            return replace(row, why=f"{row.why} (Tried again.)")
    return None


def _begin_by_hand(desk: Desk, instance: dg.DagsterInstance, run: dg.DagsterRun) -> None:
    now = dt.datetime.now(dt.UTC)
    rows = desk.trainings.rows()
    state = replace(desk.gather(instance, now, Asked(rows)), busy=False)
    decision = desk.decide(state)
    who = f" by {run.tags['user']}" if "user" in run.tags else ""
    key = Key((BY_HAND,), state.champion or "", state.data, state.code)
    desk.trainings.add(
        {
            "key": f"{key}#{run.run_id}",
            "cause": BY_HAND,
            "causes": [BY_HAND, *decision.causes],
            "evidence": {BY_HAND: {"new_rows": state.new_rows, "policy": decision.why}, **decision.evidence},
            "why": f"Begun by hand{who}. What the policy said then: {decision.why}",
            "at": now,
            "after_run": newest_run(instance),
            "run_id": run.run_id,
        }
    )


def _reason(row: Training) -> Reason:
    return Reason(row.cause, tuple(row.causes), row.why, dict(row.evidence), row.key)
