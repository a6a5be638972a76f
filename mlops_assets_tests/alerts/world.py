"""A small Dagster world with things that fail on request, and its alerting."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING

import dagster as dg
import sqlalchemy as sa

from mlops_assets.alerts.alert import Alert
from mlops_assets.alerts.deliver import Patience
from mlops_assets.alerts.routing import Route, Routing
from mlops_assets.alerts.sensor import Alerting
from mlops_assets.alerts.sources import Context
from mlops_assets.alerts.tables import alerts, messages

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mlops_assets.alerts.channels.protocol import Channel

NOW = dt.datetime(2026, 1, 1, 12, tzinfo=dt.UTC)
CONTEXT = Context("http://dagster.test", {"shop": ("team:shop",)})
QUICK = Patience(tries=2, first_wait=0.3, longest_wait=0.6, probe=0.3, lease=1.5)


class Recorder:
    """A channel that keeps what it was given."""

    refresh_seconds: float | None = None

    def __init__(self) -> None:
        self.taken: list[Alert] = []

    def send(self, alert: Alert) -> None:
        self.taken.append(alert)

    @property
    def told(self) -> list[tuple[str, str]]:
        return [(one.notice, one.fingerprint) for one in self.taken]


def an_alert(fingerprint: str = "check/shop/raw:volume", **fields: object) -> Alert:
    values: dict[str, object] = {
        "fingerprint": fingerprint,
        "kind": "check",
        "severity": "error",
        "title": "check volume of shop/raw failed",
        "since": NOW,
        "project": "shop",
        "group": "shop",
        "asset": "shop/raw",
        "seen": "3 rows <b>",
        "allowed": "at least 100 rows",
        "remedy": "upload the whole file",
        "owners": ("team:shop",),
        "url": "http://dagster.test/assets/shop/raw?view=checks",
        "key": "1/firing/0/everything",
    }
    return Alert(**{**values, **fields})  # type: ignore[arg-type]


def routing(*channels: str, **fields: object) -> Routing:
    return Routing(routes=(Route(name="all", channels=channels),), **fields)


def alerting(
    engine: sa.Engine,
    instance: dg.DagsterInstance,
    channels: Mapping[str, Channel],
    rules: Routing | None = None,
) -> Alerting:
    return Alerting(engine, instance, CONTEXT, channels, rules or routing(*channels), QUICK)


def evaluate(
    instance: dg.DagsterInstance,
    name: str = "volume",
    asset: str = "shop/raw",
    *,
    passed: bool,
    severity: dg.AssetCheckSeverity = dg.AssetCheckSeverity.ERROR,
) -> None:
    """One evaluation of a check in the event log, as a run or a sensor reports it."""
    instance.report_runless_asset_event(
        dg.AssetCheckEvaluation(
            asset_key=dg.AssetKey(asset.split("/")),
            check_name=name,
            passed=passed,
            severity=severity,
            description="said by the check",
            metadata={"observed": "3 rows", "allowed": "at least 100 rows", "remedy": "upload it all"},
        )
    )


def open_alerts(engine: sa.Engine) -> list[str]:
    with engine.connect() as connection:
        query = sa.select(alerts.c.fingerprint).where(alerts.c.state == "firing").order_by(alerts.c.id)
        return list(connection.execute(query).scalars())


def states(engine: sa.Engine) -> list[tuple[str, str, str]]:
    """(notice, channel, state) of each message."""
    m = messages.c
    with engine.connect() as connection:
        query = sa.select(m.notice, m.channel, m.state).order_by(m.id)
        return [tuple(row) for row in connection.execute(query)]
