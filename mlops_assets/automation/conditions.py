"""When what follows a training is asked for (when a training is: ``retraining.condition``)."""

from __future__ import annotations

from typing import cast

import dagster as dg

DATA_VERSION_TAG = "dagster/data_version"


def following_condition() -> dg.AutomationCondition[dg.AssetKey]:
    """What comes after a training set follows it, in the same run."""
    return cast("dg.AutomationCondition[dg.AssetKey]", dg.AutomationCondition.eager())
