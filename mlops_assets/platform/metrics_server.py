"""The platform's figures for Prometheus: ``python -m mlops_assets.platform.metrics_server``.

A process of its own, beside Dagster's: what it says of the daemon is worth most when that is dead.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import sqlalchemy as sa
from prometheus_client import CollectorRegistry, start_http_server
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from mlops_assets.alerts.metrics import AlertMetrics
from mlops_assets.platform import database
from mlops_assets.resources.tables import engine_for
from mlops_assets.settings import get_settings

if TYPE_CHECKING:
    from collections.abc import Iterator

    from prometheus_client.core import Metric

    from mlops_assets.settings import Settings


class DaemonMetrics(Collector):
    """When each part of Dagster's daemon was last heard of, from Dagster's own storage."""

    def __init__(self, engine: sa.Engine) -> None:
        self._engine = engine

    def collect(self) -> Iterator[Metric]:
        heard = GaugeMetricFamily(
            "mlops_daemon_heartbeat_timestamp_seconds",
            "When a part of Dagster's daemon was last heard of; no alert is sent while it is dead",
            labels=["daemon"],
        )
        query = "SELECT daemon_type, extract(epoch FROM timestamp AT TIME ZONE 'UTC') FROM daemon_heartbeats"
        with self._engine.connect() as connection:
            if sa.inspect(connection).has_table("daemon_heartbeats"):  # else Dagster was never started
                for daemon, at in connection.execute(sa.text(query)):
                    heard.add_metric([daemon.lower()], float(at))
        yield heard


def start(settings: Settings) -> None:
    """Serve ``/metrics`` from threads of this process.

    Raises ``sqlalchemy.exc.OperationalError`` when the database does not answer.
    """
    engine = engine_for(settings.dagster_database)
    registry = CollectorRegistry()
    for collector in (AlertMetrics(engine), DaemonMetrics(engine)):
        registry.register(collector)
    start_http_server(settings.metrics_port, settings.listen_host, registry)


def main() -> None:
    """Serve until ended."""
    settings = get_settings()
    database.wait_for(settings.dagster_database)
    start(settings)
    threading.Event().wait()


if __name__ == "__main__":
    main()
