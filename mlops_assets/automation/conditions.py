"""When Dagster's declarative automation asks for a training, and for what follows one."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

import dagster as dg
from dagster._core.storage.dagster_run import NOT_FINISHED_STATUSES  # Dagster names them nowhere else

from mlops_assets.lifecycle.lineage import MANIFEST, NotMaterializedError, latest

if TYPE_CHECKING:
    from collections.abc import Mapping

DATA_VERSION_TAG = "dagster/data_version"


@dataclass(frozen=True, eq=False)
class NewFeatures(dg.AutomationCondition[dg.AssetKey]):
    """True once for each state of the features that no training has seen, as soon as all is calm.

    It compares states, not events: the content of all partitions of ``features`` now, with what the
    last training set was made of and with what a training was last asked for. So nothing is lost that
    arrives during a training or while the daemon is down, nothing is trained on twice, a failed
    training is not asked for again and again, and a burst of uploads is one training. (Dagster's
    ``eager`` forgets an update that arrives while the asset is being made, and waits for all
    partitions of an upstream asset, which a growing series never has.)

    Evaluated in the code location (``use_user_code_server``), as custom conditions are.
    """

    features: dg.AssetKey
    count: int

    @property
    def name(self) -> str:
        return "new_features"

    @property
    def description(self) -> str:
        return (
            f"{self.features.to_user_string()} has at least {self.count} partitions, their content is not "
            "what was trained on last, and no run is changing them"
        )

    def evaluate(self, context: Any) -> dg.AutomationResult[dg.AssetKey]:
        instance = context.asset_graph_view.instance
        now = contents(instance, self.features)
        state = fingerprint(now)
        ask = (
            len(now) >= self.count
            and state != context.cursor
            and now != trained_on(instance, context.key)
            and not busy(instance, {self.features, context.key})
        )
        subset = context.candidate_subset if ask else context.get_empty_subset()
        return dg.AutomationResult(context, subset, cursor=state if ask else context.cursor)


def training_condition(features: dg.AssetKey, min_partitions: int) -> dg.AutomationCondition[dg.AssetKey]:
    """When a training set is asked for: see ``NewFeatures``."""
    return NewFeatures(features, min_partitions)


def following_condition() -> dg.AutomationCondition[dg.AssetKey]:
    """What comes after a training set follows it, in the same run."""
    return cast("dg.AutomationCondition[dg.AssetKey]", dg.AutomationCondition.eager())


def contents(instance: dg.DagsterInstance, asset: dg.AssetKey) -> dict[str, str]:
    """Partition -> data version, of all materialized partitions."""
    found = instance.event_log_storage.get_latest_tags_by_partition(
        asset, dg.DagsterEventType.ASSET_MATERIALIZATION, [DATA_VERSION_TAG]
    )
    return {partition: tags.get(DATA_VERSION_TAG, "") for partition, tags in found.items()}


def trained_on(instance: dg.DagsterInstance, training_set: dg.AssetKey) -> dict[str, str]:
    """Partition -> data version, of what the last training set was made of; empty before the first."""
    try:
        manifest = latest(instance, training_set).metadata[MANIFEST]
    except NotMaterializedError:
        return {}
    entries = [*manifest["partitions"], manifest["held_out"]]
    return {entry["partition"]: entry["data_version"] for entry in entries}


def fingerprint(versions: Mapping[str, str]) -> str:
    """Tells states of the features apart."""
    return hashlib.sha256(json.dumps(sorted(versions.items())).encode()).hexdigest()[:16]


def busy(instance: dg.DagsterInstance, assets: set[dg.AssetKey]) -> bool:
    """Whether a run that makes one of ``assets`` is queued or under way."""
    runs = instance.get_runs(filters=dg.RunsFilter(statuses=NOT_FINISHED_STATUSES))
    return any(assets & (run.asset_selection or set()) for run in runs)
