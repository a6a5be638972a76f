"""What Dagster's event log says of a project's features, code and trainings."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import dagster as dg
from dagster._core.storage.dagster_run import NOT_FINISHED_STATUSES  # Dagster names them nowhere else

from mlops_assets.automation.conditions import DATA_VERSION_TAG
from mlops_assets.lifecycle.code import code_version
from mlops_assets.lifecycle.describe import asset_key
from mlops_assets.lifecycle.lineage import MANIFEST, NotMaterializedError, latest

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from mlops_assets.project import Project


CODE_VERSION_TAG = "dagster/code_version"
AUTOMATION_TAG = "dagster/from_automation_condition"
"""On each run that the automation sensor asked for."""

ROWS = "dagster/row_count"
_RECENT_RUNS = 200


@dataclass(frozen=True)
class Made:
    """Features of one partition: data version, rows, and the code version that made them."""

    content: str
    rows: int
    code: str | None


class FeaturesReader:
    """The features of all partitions as they are now.

    Each materialization is read once: a tick asks only for what is new.
    """

    def __init__(self, project: Project) -> None:
        self.key = asset_key(project, "features")
        self._known: dict[int, Made] = {}

    def read(self, instance: dg.DagsterInstance) -> dict[str, Made]:
        """Partition -> what its features are; the last materialization counts."""
        kind = dg.DagsterEventType.ASSET_MATERIALIZATION
        ids = instance.event_log_storage.get_latest_storage_id_by_partition(self.key, kind)
        self._learn(instance, sorted(set(ids.values()) - set(self._known)))
        self._known = {number: self._known[number] for number in ids.values()}
        return {partition: self._known[number] for partition, number in sorted(ids.items())}

    def _learn(self, instance: dg.DagsterInstance, ids: list[int]) -> None:
        if not ids:
            return
        wanted = dg.AssetRecordsFilter(asset_key=self.key, storage_ids=ids)
        for record in instance.fetch_materializations(wanted, limit=len(ids)).records:
            made = record.asset_materialization
            if made is not None:
                tags = made.tags or {}
                rows = made.metadata[ROWS].value if ROWS in made.metadata else 0
                content = tags.get(DATA_VERSION_TAG, "")
                self._known[record.storage_id] = Made(content, int(str(rows)), tags.get(CODE_VERSION_TAG))


def trained_on(instance: dg.DagsterInstance, project: Project) -> dict[str, str]:
    """Partition -> data version, of what the last training set was made of; empty before the first."""
    try:
        manifest = latest(instance, asset_key(project, "training_set")).metadata[MANIFEST]
    except NotMaterializedError:
        return {}
    entries = [*manifest["partitions"], manifest["held_out"]]
    return {entry["partition"]: entry["data_version"] for entry in entries}


def candidate_codes(project: Project) -> dict[str, str]:
    """Family -> the version of the code that would train it now."""
    return {family.name: code_version(project.features.transform, family) for family in project.families}


def trained_by(instance: dg.DagsterInstance, project: Project) -> dict[str, str | None]:
    """Family -> the version of the code that trained it last; None where nothing did."""
    keys = {family.name: asset_key(project, "candidates", family.name) for family in project.families}
    found: Mapping[dg.AssetKey, str | None] = instance.get_latest_materialization_code_versions(keys.values())
    return {name: found.get(key) for name, key in keys.items()}


def under_way(instance: dg.DagsterInstance, project: Project) -> str:
    """What is being made that a training has to wait for, in words; empty when all is calm."""
    stages = ("training_set", "evaluation", "champion")
    training = {asset_key(project, stage) for stage in stages}
    training |= {asset_key(project, "candidates", family.name) for family in project.families}
    features = asset_key(project, "features")
    found = ""
    for run in _open_runs(instance):
        made = run.asset_selection or set()
        if training & made:
            return f"a training is under way (run {run.run_id[:8]})"
        if features in made:
            found = "features are being made"
    return found


def runs_of(instance: dg.DagsterInstance, asset: dg.AssetKey) -> list[dg.DagsterRun]:
    """The runs that make ``asset`` and are not over."""
    return [run for run in _open_runs(instance) if asset in (run.asset_selection or set())]


def _open_runs(instance: dg.DagsterInstance) -> Sequence[dg.DagsterRun]:
    return list(instance.get_runs(filters=dg.RunsFilter(statuses=NOT_FINISHED_STATUSES)))


def newest_run(instance: dg.DagsterInstance) -> int:
    """The number of the newest run that Dagster knows of; 0 before the first."""
    records = instance.get_run_records(limit=1)
    return int(records[0].storage_id) if records else 0


def asked_run(instance: dg.DagsterInstance, project: Project, after: int) -> dg.DagsterRun | None:
    """The first run after number ``after`` that automation asked for and that trains."""
    training_set = asset_key(project, "training_set")
    wanted = dg.RunsFilter(tags={AUTOMATION_TAG: "true"})
    found = None
    for record in instance.get_run_records(filters=wanted, limit=_RECENT_RUNS):  # newest first
        if record.storage_id <= after:
            break
        if training_set in (record.dagster_run.asset_selection or set()):
            found = record.dagster_run
    return found
