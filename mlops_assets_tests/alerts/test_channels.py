"""Each channel against a real receiver: what arrives, and what each kind of refusal means."""

from __future__ import annotations

import datetime as dt
import logging
import time
from typing import TYPE_CHECKING

import pytest

from mlops_assets.alerts.channels import NAMES, from_settings
from mlops_assets.alerts.channels.alertmanager import AlertmanagerChannel
from mlops_assets.alerts.channels.http import retry_after
from mlops_assets.alerts.channels.log import LogChannel
from mlops_assets.alerts.channels.protocol import DeliveryError
from mlops_assets.alerts.channels.slack import SlackChannel
from mlops_assets.alerts.channels.webhook import SIGNATURE, TIMESTAMP, WebhookChannel, sign
from mlops_assets.settings import Settings
from mlops_assets_tests.alerts.servers import Answer, receiver
from mlops_assets_tests.alerts.world import NOW, an_alert
from mlops_assets_tests.services import free_port

if TYPE_CHECKING:
    from collections.abc import Callable

    from mlops_assets.alerts.channels.protocol import Channel

OVER = an_alert(notice="resolved", resolved_at=NOW + dt.timedelta(hours=1, minutes=5))


def webhook(url: str) -> Channel:
    return WebhookChannel(f"{url}/hook?token=hidden", "s3cr3t-of-both", 0.5)


def slack(url: str) -> Channel:
    return SlackChannel("xoxb-hidden", "#alerts", f"{url}/api", 1.0)


def alertmanager(url: str) -> Channel:
    return AlertmanagerChannel(url, 0.5)


HTTP = pytest.mark.parametrize("make", [webhook, slack, alertmanager])


@HTTP
@pytest.mark.parametrize(
    ("answer", "final", "wait"),
    [
        (Answer(429, {"Retry-After": "7"}, b'{"ok": false, "error": "ratelimited"}'), False, 7.0),
        (Answer(500, body=b"it broke"), False, None),
        (Answer(503, {"Retry-After": "3"}, b'{"ok": false}'), False, 3.0),
        (Answer(403, body=b'{"ok": false, "error": "invalid_auth"}'), True, None),
        (Answer(seconds=1.6), False, None),
    ],
    ids=["429", "500", "503", "403", "silence"],
)
def test_a_refusal_says_whether_and_when_to_try_again(
    make: Callable[[str], Channel], answer: Answer, *, final: bool, wait: float | None
) -> None:
    with receiver(answer) as server:
        began = time.monotonic()
        with pytest.raises(DeliveryError) as caught:
            make(server.url).send(an_alert())
        assert time.monotonic() - began < 5
    assert (caught.value.final, caught.value.retry_after) == (final, wait)
    assert "hidden" not in str(caught.value)


@HTTP
def test_nobody_at_home_is_an_outage(make: Callable[[str], Channel]) -> None:
    with pytest.raises(DeliveryError) as caught:
        make(f"http://127.0.0.1:{free_port()}").send(an_alert())
    assert not caught.value.final
    assert "hidden" not in str(caught.value)


def test_an_endless_body_does_not_hold_a_message_back() -> None:
    with receiver(Answer(500, {"Content-Length": "1000000"}, b"x" * 1000)) as server:
        began = time.monotonic()
        with pytest.raises(DeliveryError, match="500"):
            webhook(server.url).send(an_alert())
        assert time.monotonic() - began < 3


def test_a_webhook_is_signed_over_its_time_and_body() -> None:
    with receiver() as server:
        webhook(server.url).send(OVER)
        (got,) = server.requests
    timestamp = got.headers[TIMESTAMP.lower()]
    assert abs(time.time() - int(timestamp)) < 60
    assert got.headers[SIGNATURE.lower()] == sign("s3cr3t-of-both", timestamp, got.body)
    assert got.headers[SIGNATURE.lower()] != sign("s3cr3t-of-both", str(int(timestamp) + 1), got.body)
    assert got.headers["idempotency-key"] == OVER.key
    assert got.json["state"] == "resolved"
    assert got.json["seconds"] == 3900
    assert got.json["owners"] == ["team:shop"]


def test_slack_is_spoken_to_as_its_web_api_wants() -> None:
    with receiver(Answer(body=b'{"ok": true, "ts": "1.2", "channel": "C1"}')) as server:
        slack(server.url).send(an_alert())
        (got,) = server.requests
    assert got.path == "/api/chat.postMessage"
    assert got.headers["authorization"] == "Bearer xoxb-hidden"
    assert got.json["channel"] == "#alerts"
    shown = got.json["blocks"][1]["text"]["text"]
    assert "3 rows &lt;b&gt;" in shown
    assert "at least 100 rows" in shown
    assert "team:shop" in shown
    assert "<http://dagster.test/assets/shop/raw?view=checks|Open in Dagster>" in shown
    assert got.json["metadata"]["event_payload"] == {"key": an_alert().key}


def test_slack_that_says_no_with_200_is_heard() -> None:
    answer = Answer(body=b'{"ok": false, "error": "channel_not_found"}')
    with receiver(answer) as server, pytest.raises(DeliveryError, match="channel_not_found") as caught:
        slack(server.url).send(an_alert())
    assert caught.value.final


def test_alertmanager_gets_a_beginning_and_an_end() -> None:
    with receiver() as server:
        alertmanager(server.url).send(an_alert())
        alertmanager(server.url).send(OVER)
        first, last = (request.json[0] for request in server.requests)
    assert first["labels"] == last["labels"]
    assert first["startsAt"] == NOW.isoformat()
    assert dt.datetime.fromisoformat(first["endsAt"]) > dt.datetime.now(dt.UTC) + dt.timedelta(minutes=4)
    assert last["endsAt"] == (NOW + dt.timedelta(hours=1, minutes=5)).isoformat()


def test_the_log_tells_how_bad_it_is(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "mlops.alerts"):
        for one in (an_alert(), an_alert(severity="warning"), OVER):
            LogChannel().send(one)
    assert [record.levelname for record in caplog.records] == ["ERROR", "WARNING", "INFO"]
    assert "What to do: upload the whole file" in caplog.messages[0]
    assert caplog.messages[2].startswith("RESOLVED after 1 h 5 min: check volume")


def test_a_retry_after_may_be_a_date() -> None:
    soon = dt.datetime.now(dt.UTC) + dt.timedelta(seconds=30)
    assert retry_after(soon.strftime("%a, %d %b %Y %H:%M:%S GMT")) == pytest.approx(30, abs=2)
    assert retry_after("tomorrow") is None
    assert retry_after(None) is None


def test_a_channel_is_there_when_it_has_an_address() -> None:
    assert set(from_settings(Settings(_env_file=None))) == {"log"}
    everything = Settings(
        _env_file=None,
        alert_alertmanager_url="http://a:9093",
        alert_slack_token="xoxb-long-enough",
        alert_slack_channel="#alerts",
        alert_webhook_url="https://h/x",
        alert_webhook_secret="long-enough",
        alert_smtp_host="mail",
        alert_email_from="mlops@example.org",
        alert_email_to="a@example.org, b@example.org",
    )
    assert set(from_settings(everything)) == NAMES


@pytest.mark.parametrize("name", ["alert_slack_token", "alert_webhook_secret", "alert_smtp_password"])
def test_a_placeholder_is_no_secret(name: str) -> None:
    with pytest.raises(ValueError, match="placeholder"):
        Settings(_env_file=None, **{name: "changeme"})  # type: ignore[arg-type]
