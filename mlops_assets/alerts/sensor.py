"""The sensor that finds and delivers alerts, and the asset that shows how it fares."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import dagster as dg
import sqlalchemy as sa

from mlops_assets.alerts import tables as alert_tables
from mlops_assets.alerts.channels import from_settings
from mlops_assets.alerts.deliver import Delivery, Patience
from mlops_assets.alerts.metrics import Figures, figures
from mlops_assets.alerts.routes import ROUTING
from mlops_assets.alerts.sources import Context, collect_events
from mlops_assets.alerts.store import Store
from mlops_assets.alerts.ticks import Silence, collect_ticks
from mlops_assets.resources.tables import Tables, only_one

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from mlops_assets.alerts.channels.protocol import Channel
    from mlops_assets.alerts.routing import Routing
    from mlops_assets.project import Project
    from mlops_assets.settings import Settings

DELIVERY = dg.AssetKey(["alerts", "delivery"])
NAME = "alerts"
_COLLECT_SECONDS, _DELIVER_SECONDS = 10.0, 20.0  # Dagster cuts a tick at 60
_KEEP_DAYS = 90


@dataclass(frozen=True)
class Alerting:
    """All that a tick needs."""

    engine: sa.Engine
    instance: dg.DagsterInstance
    context: Context
    channels: Mapping[str, Channel]
    routing: Routing = ROUTING
    patience: Patience = field(default_factory=Patience)
    silence: Silence = field(default_factory=Silence)

    def run(self, known: Collection[str] | None = None) -> Figures:
        """Look, write down, remind, send; how things are afterwards."""
        now = dt.datetime.now(dt.UTC)
        collect_events(self.instance, self.engine.begin, self._store, self.context, _COLLECT_SECONDS)
        with self.engine.begin() as connection:
            store = self._store(connection)
            collect_ticks(self.instance, store, self.context, now, known, self.silence)
            store.remind(now)
            forget(connection, now)
        page = self.context.page(DELIVERY, "events")
        Delivery(self.engine, self.routing, self.channels, self.patience, page).run(_DELIVER_SECONDS)
        return figures(self.engine)

    def _store(self, connection: sa.Connection) -> Store:
        return Store(connection, self.routing, self.channels.keys())


def forget(connection: sa.Connection, now: dt.datetime, days: float = _KEEP_DAYS) -> None:
    """Remove alerts that were over ``days`` ago and all of whose messages were sent."""
    a, m = alert_tables.alerts.c, alert_tables.messages.c
    untold = sa.exists().where(m.alert_id == a.id, m.state == "pending")
    old = sa.select(a.id).where(a.resolved_at < now - dt.timedelta(days=days), ~untold).limit(1000)
    ids = list(connection.execute(old).scalars())
    if ids:
        connection.execute(alert_tables.messages.delete().where(m.alert_id.in_(ids)))
        connection.execute(alert_tables.alerts.delete().where(a.id.in_(ids)))


def build_alert_sensor(settings: Settings, projects: Sequence[Project]) -> dg.SensorDefinition:
    """The sensor ``alerts``; its resource: ``tables``. Contacts nothing until it ticks."""
    url = (settings.alert_dagster_url or settings.dagster_url).rstrip("/")
    context_of_alerts = Context(url, {project.name: project.owners for project in projects})

    @dg.sensor(
        name=NAME,
        description=(
            "Tells people of checks, runs, sensors and freshness that fail, once, and again when it is over. "
            "Who hears of what is said in mlops_assets/alerts/routes.py."
        ),
        minimum_interval_seconds=settings.alert_interval_seconds,
        default_status=dg.DefaultSensorStatus.RUNNING,
    )
    def alert_sensor(context: dg.SensorEvaluationContext, tables: Tables) -> dg.SensorResult | dg.SkipReason:
        with only_one(tables.engine, "alerts") as alone:
            if not alone:
                return dg.SkipReason("an earlier tick is still at work")
            repository = context.repository_def
            names = _names(repository) if repository else None
            channels = from_settings(settings)
            now = Alerting(tables.engine, context.instance, context_of_alerts, channels).run(names)
        return _result(now, context.cursor)

    return alert_sensor


def _names(repository: dg.RepositoryDefinition) -> set[str]:
    return {one.name for one in repository.sensor_defs} | {one.name for one in repository.schedule_defs}


def build_alert_assets() -> list[dg.AssetsDefinition]:
    """The asset that shows what is open and what was not delivered; the sensor reports it on changes."""
    spec = dg.AssetSpec(
        DELIVERY,
        group_name=NAME,
        description="Open alerts and their delivery, each time one of the counts changes.",
    )
    return [dg.AssetsDefinition(specs=[spec])]


def _result(now: Figures, told: str | None) -> dg.SensorResult:
    metadata: dict[str, int | str] = {
        "open": now.open,
        "pending": now.pending,
        "undelivered": now.undelivered,
        "channels down": ", ".join(now.down) or "none",
    }
    digest = str(metadata)
    if digest == told:
        return dg.SensorResult(skip_reason=dg.SkipReason(f"{now.open} open, nothing new"), cursor=digest)
    event = dg.AssetMaterialization(DELIVERY, metadata={**metadata})
    return dg.SensorResult(
        asset_events=[event],
        cursor=digest,
        skip_reason=dg.SkipReason(f"{now.open} open, {now.pending} to be sent"),
    )
