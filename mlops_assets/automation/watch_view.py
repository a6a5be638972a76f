"""What a project's watch sees: the prediction log in the store, and what Dagster was told of."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from mlops_assets.automation.conditions import DATA_VERSION_TAG
from mlops_assets.automation.watch_plan import Listed, View
from mlops_assets.lifecycle.describe import asset_key
from mlops_assets.lifecycle.drift import LAST_FAILURE
from mlops_assets.lifecycle.lineage import NotMaterializedError, data_versions
from mlops_assets.lifecycle.log_days import logged_by_partition, logged_days, state_of
from mlops_assets.lifecycle.performance import OUTCOMES
from mlops_assets.lifecycle.reference_profile import Watched, watched
from serving.prediction_log.objects import answered, list_days, list_objects

if TYPE_CHECKING:
    import dagster as dg
    from mypy_boto3_s3 import S3Client

    from mlops_assets.project import Project
    from mlops_assets.resources.tables import Tables

NEWEST = 2
"""Days that are listed at each look; of the others one at a time, in turn: objects come late if a
store was down, and cost an hour to notice after a year."""


@dataclass(frozen=True)
class _Last:
    """The last materialization of an asset: its data version, and metadata as plain values."""

    state: str
    metadata: dict[str, Any]


def look(  # noqa: PLR0913 - all that is looked at
    instance: dg.DagsterInstance,
    client: S3Client,
    bucket: str,
    tables: Tables,
    project: Project,
    after: str,
) -> tuple[View, str]:
    """What there is now; and which of the older days was looked at, to be given back as ``after``."""
    made = data_versions(instance, asset_key(project, "predictions"))
    days = list_days(client, bucket, project.name)
    wanted, position = _days_to_list(days, set(made), after)
    listed = {}
    for day in wanted:
        counted = answered(client, bucket, project.name, day)
        objects = list_objects(client, bucket, project.name, day)
        if objects:
            listed[day] = Listed(state_of(objects, counted), sum(o.bytes for o in objects))
    with tables.engine.connect() as connection:
        noted, logged = logged_days(connection, project.name), logged_by_partition(connection, project.name)
    drift, performance = _last(instance, project, "drift"), _last(instance, project, "performance")
    return View(
        listed=listed,
        days=made,
        logged_days=noted,
        logged=logged,
        features=data_versions(instance, asset_key(project, "features")),
        outcomes=data_versions(instance, asset_key(project, "outcomes")),
        champion=_champion(instance, project),
        drift=drift.state,
        failure=drift.metadata.get(LAST_FAILURE, {}),
        performance=performance.state,
        measured=set(performance.metadata.get(OUTCOMES, {})),
        report=_last(instance, project, "drift_report").state,
    ), position


def _days_to_list(days: list[str], known: set[str], after: str) -> tuple[list[str], str]:
    """The newest days, those not known yet, and the next of the others after ``after``."""
    newest = days[-NEWEST:]
    others = [day for day in days[:-NEWEST] if day in known]
    turn = next((day for day in others if day > after), others[0] if others else "")
    unknown = [day for day in days[:-NEWEST] if day not in known][:5]
    return sorted({*newest, *unknown, *([turn] if turn else [])}), turn


def _champion(instance: dg.DagsterInstance, project: Project) -> Watched | None:
    try:
        return watched(instance, project)
    except NotMaterializedError:
        return None


def _last(instance: dg.DagsterInstance, project: Project, stage: str) -> _Last:
    event = instance.get_latest_materialization_event(asset_key(project, stage))
    made = event.asset_materialization if event else None
    if made is None:
        return _Last("", {})
    metadata = {name: getattr(value, "value", value) for name, value in made.metadata.items()}
    return _Last((made.tags or {}).get(DATA_VERSION_TAG, ""), metadata)
