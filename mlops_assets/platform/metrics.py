"""The service that shows the platform's figures to Prometheus."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from mlops_assets.platform import database
from mlops_assets.platform.environment import service_environment
from mlops_assets.platform.service import NotReadyError, Port, Service

if TYPE_CHECKING:
    from mlops_assets.settings import Settings

NAME = "metrics"


def service(settings: Settings) -> Service:
    """Alerts, their delivery and the daemon's heartbeats; the endpoints show their own."""
    url = f"http://127.0.0.1:{settings.metrics_port}"
    return Service(
        name=NAME,
        group=NAME,
        title="Metrics: alerts and daemon",
        address=f"{url}/metrics",
        probe=_Probe(f"{url}/metrics"),
        argv=(sys.executable, "-m", "mlops_assets.platform.metrics_server"),
        env=service_environment(settings, NAME),
        ports=(Port(settings.metrics_port, "MLOPS_METRICS_PORT"),),
        needs=(database.holder(settings.database_url is not None, "dagster"),),
        stop_rank=4,
    )


class _Probe:
    """The figures can be read, and so can the database they come from."""

    def __init__(self, url: str) -> None:
        self._url = url

    def __call__(self) -> None:
        import httpx

        try:
            answer = httpx.get(self._url, timeout=10)
        except httpx.HTTPError as error:
            raise NotReadyError(f"{self._url}: {error}") from error
        if answer.status_code != 200:
            raise NotReadyError(f"{self._url} answers {answer.status_code}")
