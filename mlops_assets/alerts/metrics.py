"""Alerts and their delivery in figures: for Prometheus, and for the asset ``alerts/delivery``."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import sqlalchemy as sa
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.registry import Collector

from mlops_assets.alerts.tables import alerts, channels, messages

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from prometheus_client.core import Metric


@dataclass(frozen=True)
class Channelled:
    """How a channel fares."""

    name: str
    up: bool
    sent: int
    failed: int


@dataclass(frozen=True)
class Figures:
    """``firing`` by (kind, severity); ``pending`` messages, ``undelivered`` of which all channels refused."""

    firing: dict[tuple[str, str], int]
    pending: int
    undelivered: int
    oldest_pending_seconds: float
    channels: tuple[Channelled, ...]

    @property
    def open(self) -> int:
        return sum(self.firing.values())

    @property
    def down(self) -> list[str]:
        return [channel.name for channel in self.channels if not channel.up]


def figures(engine: sa.Engine) -> Figures:
    """As they are now."""
    a, m, c = alerts.c, messages.c, channels.c
    age = sa.func.extract("epoch", sa.func.clock_timestamp() - sa.func.min(m.created_at))
    with engine.connect() as connection:
        firing = connection.execute(
            sa.select(a.kind, a.severity, sa.func.count())
            .where(a.state == "firing")
            .group_by(a.kind, a.severity)
            .order_by(a.kind, a.severity)
        ).all()
        pending, undelivered, oldest = connection.execute(
            sa.select(sa.func.count(), sa.func.count().filter(m.rounds > 0), age).where(m.state == "pending")
        ).one()
        known = connection.execute(
            sa.select(c.name, c.down_since.is_(None), c.sent_total, c.failed_total).order_by(c.name)
        ).all()
    return Figures(
        {(row[0], row[1]): row[2] for row in firing},
        pending,
        undelivered,
        float(oldest or 0.0),
        tuple(Channelled(*row) for row in known),
    )


class AlertMetrics(Collector):
    """``figures`` as Prometheus takes them, read anew at each scrape."""

    def __init__(self, engine: sa.Engine) -> None:
        self._engine = engine

    def collect(self) -> Iterator[Metric]:
        now = figures(self._engine)
        firing = GaugeMetricFamily(
            "mlops_alerts_open", "Alerts that last, by kind and severity", labels=["kind", "severity"]
        )
        for labels, count in now.firing.items():
            firing.add_metric(labels, count)
        yield firing
        yield GaugeMetricFamily(
            "mlops_alert_messages_pending", "Messages that no channel has taken yet", now.pending
        )
        yield GaugeMetricFamily(
            "mlops_alert_messages_undelivered",
            "Pending messages that every channel of their route failed",
            now.undelivered,
        )
        yield GaugeMetricFamily(
            "mlops_alert_oldest_pending_seconds",
            "Age of the oldest pending message",
            now.oldest_pending_seconds,
        )
        yield from _of_channels(now.channels)


def _of_channels(channels: Iterable[Channelled]) -> Iterator[Metric]:
    up = GaugeMetricFamily(
        "mlops_alert_channel_up", "Whether the channel took what was last sent", labels=["channel"]
    )
    sent = CounterMetricFamily(
        "mlops_alert_channel_sent", "Messages that the channel took", labels=["channel"]
    )
    failed = CounterMetricFamily(
        "mlops_alert_channel_failed", "Attempts that the channel did not take", labels=["channel"]
    )
    for channel in channels:
        up.add_metric([channel.name], channel.up)
        sent.add_metric([channel.name], channel.sent)
        failed.add_metric([channel.name], channel.failed)
    yield from (up, sent, failed)


def metrics_text(engine: sa.Engine) -> str:
    """``AlertMetrics`` in Prometheus's text format."""
    registry = CollectorRegistry()
    registry.register(AlertMetrics(engine))
    return generate_latest(registry).decode()
