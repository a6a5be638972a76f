"""dagster-mlflow's resource, imported when a run needs it: it takes seconds that other runs don't owe."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import dagster as dg


def mlflow_resource(uri: str, experiment: str) -> dg.ResourceDefinition:
    """``dagster_mlflow.mlflow_tracking`` for tracking server ``uri``: one MLflow run a Dagster run.

    Nothing in the process can end that run in every case (a killed one ends nothing), so the
    ``end_mlflow_runs`` sensor ends it, in the state that the Dagster run came to.
    """

    @dg.resource(description="MLflow tracking through dagster-mlflow; one MLflow run for each Dagster run.")
    def mlflow(context: dg.InitResourceContext) -> Iterator[Any]:
        from dagster_mlflow.resources import mlflow_tracking

        config = {"experiment_name": experiment, "mlflow_tracking_uri": uri, "env": {}, "extra_tags": {}}
        resource_fn: Any = mlflow_tracking.resource_fn
        yield from resource_fn(context.replace_config(config))

    return mlflow
