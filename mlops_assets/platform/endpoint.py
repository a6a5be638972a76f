"""The endpoints: one LitServe server for each project of the catalog."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from mlops_assets.platform import registry
from mlops_assets.platform.environment import service_environment
from mlops_assets.platform.service import NotReadyError, PlatformError, Port, Service

if TYPE_CHECKING:
    from mlops_assets.project import Project
    from mlops_assets.settings import Settings

GROUP = "endpoint"


def services(settings: Settings) -> list[Service]:
    """An endpoint for each project."""
    from mlops_assets.catalog import PROJECTS

    return [_service(settings, project) for project in PROJECTS]


def _service(settings: Settings, project: Project) -> Service:
    name = f"{GROUP}-{project.name}"
    port = settings.endpoint_base_port + project.endpoint.port_offset
    if port > 65_535:
        raise PlatformError(f"{name} would listen on port {port}: lower MLOPS_ENDPOINT_BASE_PORT")
    url = settings.endpoint_url(project.endpoint.port_offset)
    return Service(
        name=name,
        group=GROUP,
        title=f"LitServe: {project.title}",
        address=url,
        probe=_Probe(url),
        argv=(sys.executable, "-m", "serving", "--project", project.name),
        env=service_environment(
            settings,
            name,
            store=True,
            secrets=False,
            extra={"MLFLOW_TRACKING_URI": settings.mlflow_url} | _object_store(settings),
        ),
        ports=(Port(port, "MLOPS_ENDPOINT_BASE_PORT"),),
        needs=(registry.NAME,),
        stop_seconds=30,  # it drains what is in flight
        stop_rank=4,
    )


def _object_store(settings: Settings) -> dict[str, str]:
    """The settings of the object store, to which the prediction log goes; none of the databases'."""
    return {key: value for key, value in settings.environment().items() if "S3_" in key}


class _Probe:
    """``/health`` answers: 200 with a model, 503 as long as there is no champion."""

    def __init__(self, url: str) -> None:
        self._url = url

    def __call__(self) -> None:
        import httpx

        try:
            answer = httpx.get(f"{self._url}/health", timeout=5)
        except httpx.HTTPError as error:
            raise NotReadyError(f"{self._url}/health: {error}") from error
        if answer.status_code not in {200, 503}:
            raise NotReadyError(f"{self._url}/health answers {answer.status_code}")
