"""Alerts and their delivery in figures: for Prometheus, and for the asset ``alerts/delivery``."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import sqlalchemy as sa

from mlops_assets.alerts.tables import alerts, channels, messages

if TYPE_CHECKING:
    from collections.abc import Iterator


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


def metrics_text(engine: sa.Engine) -> str:
    """``figures`` in Prometheus's text format."""
    return "\n".join(_lines(figures(engine))) + "\n"


def _lines(now: Figures) -> Iterator[str]:
    yield "# HELP mlops_alerts_open Alerts that last, by kind and severity."
    yield "# TYPE mlops_alerts_open gauge"
    for (kind, severity), count in now.firing.items():
        yield f'mlops_alerts_open{{kind="{kind}",severity="{severity}"}} {count}'
    for name, what, value in (
        ("messages_pending", "Messages that no channel has taken yet.", now.pending),
        (
            "messages_undelivered",
            "Pending messages that every channel of their route failed.",
            now.undelivered,
        ),
        ("oldest_pending_seconds", "Age of the oldest pending message.", now.oldest_pending_seconds),
    ):
        yield f"# HELP mlops_alert_{name} {what}"
        yield f"# TYPE mlops_alert_{name} gauge"
        yield f"mlops_alert_{name} {value:g}"
    for name, kind, what in (
        ("up", "gauge", "Whether the channel took what was last sent."),
        ("sent_total", "counter", "Messages that the channel took."),
        ("failed_total", "counter", "Attempts that the channel did not take."),
    ):
        yield f"# HELP mlops_alert_channel_{name} {what}"
        yield f"# TYPE mlops_alert_channel_{name} {kind}"
        for channel in now.channels:
            value = int(getattr(channel, name.removesuffix("_total")))
            yield f'mlops_alert_channel_{name}{{channel="{channel.name}"}} {value}'
