"""When what follows a training is asked for (when a training is: ``retraining.condition``)."""

from __future__ import annotations

from typing import cast

import dagster as dg

DATA_VERSION_TAG = "dagster/data_version"


def contents(instance: dg.DagsterInstance, asset: dg.AssetKey) -> dict[str, str]:
    """Partition -> data version, of all materialized partitions."""
    found = instance.event_log_storage.get_latest_tags_by_partition(
        asset, dg.DagsterEventType.ASSET_MATERIALIZATION, [DATA_VERSION_TAG]
    )
    return {partition: tags.get(DATA_VERSION_TAG, "") for partition, tags in found.items()}


def following_condition() -> dg.AutomationCondition[dg.AssetKey]:
    """What comes after a training set follows it, in the same run."""
    return cast("dg.AutomationCondition[dg.AssetKey]", dg.AutomationCondition.eager())
