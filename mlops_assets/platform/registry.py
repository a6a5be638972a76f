"""The registry: MLflow's tracking server and model registry, or an outside one."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from mlops_assets.platform import database, object_store
from mlops_assets.platform.environment import service_environment
from mlops_assets.platform.service import NotReadyError, Port, Service

if TYPE_CHECKING:
    from mlops_assets.settings import Settings

NAME = "registry"


def service(settings: Settings) -> Service:
    """The embedded registry, or the outside one that the settings name."""
    outside = settings.mlflow_uri is not None
    return Service(
        name=NAME,
        group=NAME,
        title="MLflow: tracking and models",
        address=settings.mlflow_url,
        probe=_Probe(settings.mlflow_url),
        argv=() if outside else (sys.executable, "-m", "mlops_assets.platform.mlflow_server"),
        env={} if outside else service_environment(settings, NAME, store=True, extra=environment(settings)),
        ports=() if outside else (Port(settings.mlflow_port, "MLOPS_MLFLOW_PORT"),),
        stop_rank=1,
        needs=()
        if outside
        else (object_store.NAME, database.holder(settings.mlflow_database_url is not None, "mlflow")),
    )


def environment(settings: Settings) -> dict[str, str]:
    """What MLflow's server reads of its own: where it keeps what."""
    return {
        # Read when mlflow.server is imported; mlflow_server holds these names to MLflow's own.
        "_MLFLOW_SERVER_FILE_STORE": settings.mlflow_database,
        "_MLFLOW_SERVER_REGISTRY_STORE": settings.mlflow_database,
        "_MLFLOW_SERVER_ARTIFACT_ROOT": "mlflow-artifacts:/",
        "_MLFLOW_SERVER_ARTIFACT_DESTINATION": f"s3://{settings.lake_bucket}/mlflow",
        "_MLFLOW_SERVER_SERVE_ARTIFACTS": "true",
        "_MLFLOW_SGI_NAME": "uvicorn",
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
    }


class _Probe:
    """The server is up, and its database answers a query."""

    def __init__(self, url: str) -> None:
        self._url = url

    def __call__(self) -> None:
        import httpx

        for path in ("/health", "/api/2.0/mlflow/experiments/get?experiment_id=0"):
            try:
                answer = httpx.get(f"{self._url}{path}", timeout=10)
            except httpx.HTTPError as error:
                raise NotReadyError(f"{self._url}{path}: {error}") from error
            if answer.status_code >= 500 or (path == "/health" and answer.is_error):
                raise NotReadyError(f"{self._url}{path} answers {answer.status_code}")
