"""MLflow runs: where they are shown, files in them, and that each ends in a final state."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import dagster as dg

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from mlops_assets.resources.registry import Registry

RUN_TAG = "mlops.dagster_run_id"
"""On nested MLflow runs; dagster-mlflow's own tag, below, marks the run that they are nested in."""
DAGSTER_MLFLOW_TAG = "dagster_run_id"

_FINAL = {
    dg.DagsterRunStatus.SUCCESS: "FINISHED",
    dg.DagsterRunStatus.FAILURE: "FAILED",
    dg.DagsterRunStatus.CANCELED: "KILLED",
}


def run_url(mlflow: Any, run: Any) -> str:
    """The run's page in MLflow's UI."""
    return f"{mlflow.get_tracking_uri()}/#/experiments/{run.info.experiment_id}/runs/{run.info.run_id}"


def log_bytes(mlflow: Any, run_id: str, files: Mapping[str, bytes]) -> None:
    """Log ``files`` (name -> content) as artifacts of the run."""
    with tempfile.TemporaryDirectory() as folder:
        for name, data in files.items():
            (Path(folder) / name).write_bytes(data)
        mlflow.MlflowClient().log_artifacts(run_id, folder)


def open_runs(registry: Registry) -> Iterator[tuple[str, str]]:
    """(MLflow run, Dagster run) of each MLflow run that a Dagster run began and nobody has ended."""
    client = registry.client
    experiments = [e.experiment_id for e in client.search_experiments()]
    token = None
    while True:
        page = client.search_runs(
            experiments, "attributes.status = 'RUNNING'", max_results=200, page_token=token
        )
        for run in page:
            dagster_run = run.data.tags.get(RUN_TAG) or run.data.tags.get(DAGSTER_MLFLOW_TAG)
            if dagster_run:
                yield run.info.run_id, dagster_run
        token = page.token
        if not token:
            return


def end_open_runs(instance: dg.DagsterInstance, registry: Registry) -> list[str]:
    """End each open MLflow run whose Dagster run has ended, also one that was killed; their ids."""
    ended = []
    for mlflow_run, dagster_run in list(open_runs(registry)):
        found = instance.get_run_by_id(dagster_run)
        status = _FINAL.get(found.status) if found else "KILLED"
        if status:
            registry.client.set_terminated(mlflow_run, status)
            ended.append(mlflow_run)
    return ended


def build_run_closer(registry: Registry, interval_seconds: int = 15) -> dg.SensorDefinition:
    """A sensor that ends MLflow runs whose Dagster run is over.

    dagster-mlflow takes MLflow's exit hook away, and a killed process has none: only an onlooker can
    tell. It looks at states, not at events, so that nothing is missed while the daemon was down.
    """

    @dg.sensor(
        name="end_mlflow_runs",
        minimum_interval_seconds=interval_seconds,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Ends MLflow runs whose Dagster run has succeeded, failed or was killed.",
    )
    def end_mlflow_runs(context: dg.SensorEvaluationContext) -> dg.SkipReason:
        ended = end_open_runs(context.instance, registry)
        return dg.SkipReason(f"ended {len(ended)} MLflow run(s)" if ended else "no MLflow run to end")

    return end_mlflow_runs
