"""Stage ``drift_report``: Evidently draws for a person what the drift verdict found."""

import os
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import TYPE_CHECKING, Any, TypeVar

import dagster as dg

from mlops_assets.lifecycle.describe import asset_key, common, step
from mlops_assets.lifecycle.drift import CHAMPION, LAST_FAILURE, SAMPLE, VERDICT
from mlops_assets.lifecycle.lineage import MLFLOW_RUN, latest
from mlops_assets.lifecycle.reference_profile import reference_key, sample_key
from mlops_assets.lifecycle.tracking import log_bytes, run_url
from mlops_assets.project import Project
from mlops_assets.resources.lake import Lake

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

KEPT = 20
"""Reports whose HTML (4 MB each) is kept; the JSON of all is."""

HTML = "drift_report.html"
_T = TypeVar("_T")


def build_drift_report(project: Project) -> dg.AssetsDefinition:
    """The ``drift_report`` asset of ``project``: an asset of its own, for no verdict waits for a picture."""

    @dg.asset(
        **common(project, "drift_report"),
        **step(project, "drift_report"),
        deps=[asset_key(project, "drift")],
        kinds={"evidently", "mlflow"},
        required_resource_keys={"mlflow", "lake"},
        description=(
            "What moved, as Evidently draws it from samples of the training set and of the window that the "
            "failing verdict was made of. Made once for each verdict that fails."
        ),
    )
    def drift_report(context: dg.AssetExecutionContext) -> dg.MaterializeResult:
        from mlops_assets.monitoring.evidently import draw_report

        lake: Lake = context.resources.lake
        mlflow = context.resources.mlflow
        failure = latest(context.instance, asset_key(project, "drift")).metadata.get(LAST_FAILURE)
        if failure is None:
            raise dg.Failure("no drift verdict has failed: there is nothing to draw. Remedy: none is needed.")
        verdict, champion = str(failure[VERDICT]), str(failure[CHAMPION])
        reference = lake.get_frame(sample_key(reference_key(project.name, champion)))
        window = lake.get_frame(str(failure[SAMPLE]))
        html, figures = _aside(lambda: draw_report(reference, window))
        with mlflow.start_run(run_name=f"{project.name}/drift_report", nested=True) as run:
            mlflow.set_tags({"project": project.name, CHAMPION: champion, VERDICT: verdict})
            log_bytes(mlflow, run.info.run_id, {HTML: html})
        folder = f"{project.name}/drift_report"
        address = lake.put_json(f"{folder}/{verdict.replace('/', '-')}.json", figures)
        dropped = list(_drop_old(context.instance, project, mlflow))
        return dg.MaterializeResult(
            data_version=dg.DataVersion(state_of(verdict)),
            metadata={
                VERDICT: verdict,
                CHAMPION: champion,
                MLFLOW_RUN: run.info.run_id,
                "report": dg.MetadataValue.url(f"{run_url(mlflow, run)}/artifacts/{HTML}"),
                "JSON": address,
                "bytes of HTML": len(html),
                "rows drawn": {"training set": len(reference), "window": len(window)},
                "old reports dropped": len(dropped),
            },
        )

    return drift_report


def _aside(work: "Callable[[], _T]") -> _T:
    """What ``work`` returns, done in a thread that others' work goes before: a training may be under way."""
    with ThreadPoolExecutor(1, initializer=_step_back) as pool:
        return pool.submit(work).result()


def _step_back() -> None:
    with suppress(OSError):  # where only whole processes have a priority
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), 10)


def state_of(verdict: str) -> str:
    """The data version of the report on ``verdict``."""
    return verdict.replace("/", ".")


def _drop_old(instance: dg.DagsterInstance, project: Project, mlflow: Any) -> "Iterator[str]":
    """Drop the HTML of all but the newest reports; the MLflow runs whose HTML went."""
    from mlflow.exceptions import MlflowException
    from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository

    key = asset_key(project, "drift_report")
    for record in instance.fetch_materializations(key, limit=KEPT + 20).records[KEPT - 1 :]:
        made = record.asset_materialization
        run = made.metadata.get(MLFLOW_RUN) if made else None
        if run is None:
            continue
        try:
            where = mlflow.MlflowClient().get_run(str(run.value)).info.artifact_uri
            repository: Any = get_artifact_repository(where)
            repository.delete_artifacts(HTML)
        except MlflowException:
            continue  # it was dropped before, or its run was
        yield str(run.value)
