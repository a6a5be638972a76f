"""What came of a training, in words."""

from __future__ import annotations

from typing import TYPE_CHECKING

import dagster as dg
import sqlalchemy as sa

from mlops_assets.lifecycle.describe import asset_key
from mlops_assets.resources.promotions import promotions

if TYPE_CHECKING:
    from mlops_assets.project import Project


def outcome_of(instance: dg.DagsterInstance, engine: sa.Engine, project: Project, run_id: str) -> str:
    """What became of the finished run ``run_id``."""
    p = promotions.c
    query = sa.select(p.version).where(p.project == project.name, p.dagster_run == run_id)
    with engine.connect() as connection:
        version = connection.execute(query.order_by(p.id.desc()).limit(1)).scalar()
    if version is not None:
        return f"version {version} became the champion"
    run = instance.get_run_by_id(run_id)
    if run is None:
        return "its run is gone"
    if refused := _refused_by(instance, project, run_id):
        return f"the gate refused it: {', '.join(refused)}"
    ends = {dg.DagsterRunStatus.SUCCESS: "its run promoted nothing", dg.DagsterRunStatus.CANCELED: "canceled"}
    return ends.get(run.status, "its run failed")


def _refused_by(instance: dg.DagsterInstance, project: Project, run_id: str) -> list[str]:
    """The gate's checks that failed in the run."""
    kind = dg.DagsterEventType.ASSET_CHECK_EVALUATION
    gate, failed = asset_key(project, "evaluation"), []
    for record in instance.get_records_for_run(run_id, of_type=kind).records:
        event = record.event_log_entry.dagster_event
        if event is not None:
            found = event.asset_check_evaluation_data
            if found.asset_key == gate and found.blocking and not found.passed:
                failed.append(found.check_name)
    return failed
