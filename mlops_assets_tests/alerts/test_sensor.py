"""The whole of it: Dagster's daemon ticks, a receiver hears, and the asset shows it."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import dagster as dg

from mlops_assets.alerts.metrics import metrics_text
from mlops_assets.alerts.sensor import DELIVERY, build_alert_assets, build_alert_sensor
from mlops_assets.alerts.tables import engine_for
from mlops_assets.catalog import PROJECTS
from mlops_assets.resources.tables import Tables
from mlops_assets.settings import Settings
from mlops_assets_tests.alerts.servers import receiver
from mlops_assets_tests.alerts.ticking import BROKEN, daemon
from mlops_assets_tests.alerts.world import evaluate

if TYPE_CHECKING:
    from collections.abc import Sequence

    from dagster._core.event_api import EventLogRecord


def shown(instance: dg.DagsterInstance) -> Sequence[EventLogRecord]:
    return instance.fetch_materializations(DELIVERY, limit=100, ascending=True).records


def test_the_daemon_tells_a_receiver_and_shows_what_it_did(
    stored_instance: dg.DagsterInstance, database_url: str
) -> None:
    with receiver() as server:
        settings = Settings(
            _env_file=None,
            alert_webhook_url=server.url,
            alert_webhook_secret="long-enough",
            alert_dagster_url="https://dagster.example.org/",
        )
        sensor = build_alert_sensor(settings, PROJECTS)
        asset = f"{PROJECTS[0].name}/raw/flights"
        with daemon(stored_instance, [sensor], tables=Tables(url=database_url)) as tick:
            evaluate(stored_instance, "contract", asset, passed=False)
            tick()
            tick()
            (got,) = [request.json for request in server.requests]
            assert got["fingerprint"] == f"check/{asset}:contract"
            assert got["owners"] == list(PROJECTS[0].owners)
            assert got["url"] == f"https://dagster.example.org/assets/{asset}?view=checks"
            assert len(shown(stored_instance)) == 1  # only when a count changes
            evaluate(stored_instance, "contract", asset, passed=True)
            BROKEN.append("shop_watch broke")
            tick()
            time.sleep(0.1)
            tick()
        told = [(request.json["notice"], request.json["kind"]) for request in server.requests]
    assert told[:1] == [("firing", "check")]
    assert sorted(told[1:]) == [("firing", "sensor"), ("resolved", "check")]
    metadata = [record.asset_materialization.metadata for record in shown(stored_instance)]  # type: ignore[union-attr]
    assert metadata[0]["open"].value == 1
    assert metadata[-1]["channels down"].value == "none"
    engine = engine_for(database_url)
    assert 'mlops_alerts_open{kind="sensor",severity="error"} 1' in metrics_text(engine)
    engine.dispose()


def test_its_asset_and_sensor_are_defined_without_contacting_anything() -> None:
    sensor = build_alert_sensor(Settings(_env_file=None), PROJECTS)
    defs = dg.Definitions(
        assets=build_alert_assets(),
        sensors=[sensor],
        resources={"tables": Tables(url="postgresql://nowhere")},
    )
    assert defs.resolve_asset_graph().get_all_asset_keys() == {DELIVERY}
    assert sensor.default_status == dg.DefaultSensorStatus.RUNNING
