"""The automation conditions by which trainings, and features of new code, come by themselves."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import dagster as dg
from dagster._core.definitions.events import AssetKeyPartitionKey

from mlops_assets.lifecycle.code import code_version
from mlops_assets.retraining.check import tell
from mlops_assets.retraining.desk import Desk
from mlops_assets.retraining.reading import FeaturesReader, runs_of

if TYPE_CHECKING:
    from mlops_assets.project import Project

PARTITION_TAG = "dagster/partition"


@dataclass(frozen=True, eq=False)
class RetrainingDue(dg.AutomationCondition[dg.AssetKey]):
    """True once for each training that the project's policy calls for (``retraining.policy``).

    It compares states, not events: so nothing is lost that arrives during a training or while the daemon
    is down, and a burst of uploads is one training. (Dagster's ``eager`` forgets an update that arrives
    while the asset is being made, and waits for all partitions of an upstream asset, which a growing
    series never has.) Why it is true is written down for the run that follows.

    Evaluated in the code location (``use_user_code_server``), as custom conditions are.
    """

    desk: Desk

    @property
    def name(self) -> str:
        return "retraining_due"

    @property
    def description(self) -> str:
        return (
            f"the retraining policy of {self.desk.project.name} calls for a training; what it waits for is "
            "told by the check `retraining`"
        )

    def evaluate(self, context: Any) -> dg.AutomationResult[dg.AssetKey]:
        instance = context.asset_graph_view.instance
        decision = self.desk.tick(instance, context.evaluation_time)
        ask = decision is not None and decision.train
        if decision is not None:
            tell(instance, self.desk, decision, context.evaluation_time)
        subset = context.candidate_subset if ask else context.get_empty_subset()
        return dg.AutomationResult(context, subset)


def retraining_condition(project: Project, database_url: str) -> dg.AutomationCondition[dg.AssetKey]:
    """When a training set of ``project`` is asked for."""
    return RetrainingDue(Desk(project, database_url))


@dataclass(frozen=True, eq=False)
class FeaturesOutdated(dg.AutomationCondition[dg.AssetKey]):
    """True once for each partition of features that was made by other code than the code of now.

    Without it, a training after a change of ``Features.build`` would mix rows of the old code and of the
    new. Dagster's ``code_version_changed`` forgets what was changed while a partition was being made, and
    asks for partitions that have no data yet.
    """

    project: Project
    reader: FeaturesReader
    code: str

    @property
    def name(self) -> str:
        return "features_outdated"

    @property
    def description(self) -> str:
        return f"features of {self.project.name} were made by other code than {self.code}"

    def evaluate(self, context: Any) -> dg.AutomationResult[dg.AssetKey]:
        view = context.asset_graph_view
        asked: dict[str, list[str]] = json.loads(context.cursor) if context.cursor else {}
        done = set(asked.get(self.code, ()))
        made = self.reader.read(view.instance)
        due = {p for p, part in made.items() if part.code not in (None, self.code)} - done
        if due:
            due -= {
                p for run in runs_of(view.instance, self.reader.key) if (p := run.tags.get(PARTITION_TAG))
            }
        pairs = {AssetKeyPartitionKey(context.key, partition) for partition in due}
        subset = view.get_asset_subset_from_asset_partitions(context.key, pairs)
        return dg.AutomationResult(
            context, subset, cursor=json.dumps({self.code: sorted(done | due)}) if done | due else None
        )


def features_condition(project: Project) -> dg.AutomationCondition[dg.AssetKey]:
    """When partitions of the features of ``project`` are asked for that exist already."""
    return FeaturesOutdated(project, FeaturesReader(project), code_version(project.features.build))
