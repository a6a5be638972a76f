"""When Dagster's declarative automation asks for a training, and for what follows one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, cast

import dagster as dg


@dataclass(frozen=True, eq=False)
class EnoughPartitions(dg.AutomationCondition[dg.AssetKey]):
    """True once ``asset`` has at least ``count`` materialized partitions.

    Dagster's own conditions ask for all of an upstream asset's partitions, which a growing series
    never has. Evaluated in the code location (``use_user_code_server``), as custom conditions are.
    """

    asset: dg.AssetKey
    count: int

    @property
    def name(self) -> str:
        return "enough_partitions"

    @property
    def description(self) -> str:
        return f"{self.asset.to_user_string()} has at least {self.count} partitions"

    def evaluate(self, context: Any) -> dg.AutomationResult[dg.AssetKey]:
        found = context.asset_graph_view.instance.get_materialized_partitions(self.asset)
        enough = len(found) >= self.count
        return dg.AutomationResult(context, context.candidate_subset if enough else context.get_empty_subset())


def training_condition(features: dg.AssetKey, min_partitions: int) -> dg.AutomationCondition[dg.AssetKey]:
    """New features since the last training, enough of them, and none on the way.

    A burst of uploads so becomes one training, not one for each month of it.
    """
    news = dg.AutomationCondition.any_deps_updated().since_last_handled()
    calm = ~dg.AutomationCondition.any_deps_in_progress() & ~dg.AutomationCondition.in_progress()
    enough = EnoughPartitions(features, min_partitions)
    return cast("dg.AutomationCondition[dg.AssetKey]", news & calm & enough)


def following_condition() -> dg.AutomationCondition[dg.AssetKey]:
    """What comes after a training set follows it, in the same run."""
    return dg.AutomationCondition.eager()
