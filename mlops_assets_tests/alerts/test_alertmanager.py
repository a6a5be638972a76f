"""Prometheus Alertmanager itself, where Debian's package is installed."""

from __future__ import annotations

import shutil
import time
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from mlops_assets.alerts.channels.alertmanager import AlertmanagerChannel
from mlops_assets.alerts.channels.protocol import DeliveryError
from mlops_assets_tests.alerts.world import alerting, an_alert, evaluate
from mlops_assets_tests.services import Service, free_port, wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import dagster as dg
    import sqlalchemy as sa

BINARY = shutil.which("prometheus-alertmanager") or shutil.which("alertmanager")
pytestmark = pytest.mark.skipif(
    BINARY is None, reason="no Alertmanager: apt-get install prometheus-alertmanager"
)


@pytest.fixture
def url(tmp_path: Path) -> Iterator[str]:
    config = tmp_path / "config.yml"
    config.write_text("route: {receiver: nobody}\nreceivers: [{name: nobody}]\n")
    address = f"127.0.0.1:{free_port()}"
    # fmt: off
    service = Service(
        [str(BINARY), f"--config.file={config}", f"--storage.path={tmp_path}", "--cluster.listen-address=",
         f"--web.listen-address={address}"],
        tmp_path / "alertmanager.log",
    )
    # fmt: on
    url = f"http://{address}"
    try:
        wait_until("Alertmanager", lambda: httpx.get(f"{url}/-/ready").is_success, service, 30)
        yield url
    finally:
        service.stop()


def active(url: str) -> list[Any]:
    return list(httpx.get(f"{url}/api/v2/alerts", params={"active": "true"}).json())


def test_an_alert_shows_in_alertmanager_while_it_lasts(
    engine: sa.Engine, instance: dg.DagsterInstance, url: str
) -> None:
    world = alerting(engine, instance, {"alertmanager": AlertmanagerChannel(url)})
    evaluate(instance, passed=False)
    assert world.run().pending == 0
    (shown,) = active(url)
    assert shown["labels"]["fingerprint"] == "check/shop/raw:volume"
    assert (shown["labels"]["severity"], shown["labels"]["project"]) == ("error", "shop")
    assert shown["annotations"]["allowed"] == "at least 100 rows"
    assert shown["annotations"]["owners"] == "team:shop"
    assert shown["generatorURL"] == "http://dagster.test/assets/shop/raw?view=checks"
    evaluate(instance, passed=True)
    assert world.run().pending == 0
    assert active(url) == []


def test_it_goes_on_while_it_is_sent_again_and_ends_by_itself_when_not(url: str) -> None:
    channel = AlertmanagerChannel(url, refresh_seconds=0.4)  # lives for 2 s
    for _ in range(3):
        channel.send(an_alert())
        time.sleep(0.8)
        assert len(active(url)) == 1
    wait_until("the end", lambda: active(url) == [], seconds=10)


def test_what_alertmanager_refuses_is_final(url: str) -> None:
    with pytest.raises(DeliveryError, match="422") as caught:
        AlertmanagerChannel(url).send(an_alert(url="no url at all\x00"))
    assert caught.value.final


def test_an_alert_without_a_page_is_taken(url: str) -> None:
    AlertmanagerChannel(url).send(an_alert("delivery/slack", kind="delivery", url="", asset="", project=""))
    (shown,) = active(url)
    assert shown["labels"]["alertname"] == "mlops_delivery"
