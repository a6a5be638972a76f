"""Delivery: with patience, past dead channels, at least once, in order."""

from __future__ import annotations

import datetime as dt
import time
from typing import TYPE_CHECKING

import pytest
import sqlalchemy as sa

from mlops_assets.alerts.channels.log import LogChannel
from mlops_assets.alerts.channels.protocol import DeliveryError
from mlops_assets.alerts.channels.webhook import WebhookChannel
from mlops_assets.alerts.deliver import Delivery
from mlops_assets.alerts.metrics import figures, metrics_text
from mlops_assets.alerts.store import Over, Seen, Store
from mlops_assets.alerts.tables import alerts, messages
from mlops_assets_tests.alerts.servers import Answer, receiver
from mlops_assets_tests.alerts.world import (
    NOW,
    QUICK,
    Recorder,
    an_alert,
    open_alerts,
    routing,
    states,
)
from mlops_assets_tests.services import free_port

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mlops_assets.alerts.alert import Alert
    from mlops_assets.alerts.channels.protocol import Channel
    from mlops_assets.alerts.routing import Routing
    from mlops_assets.alerts.store import Observation


class World:
    """A store and a delivery of ``channels``, tried in their order."""

    def __init__(
        self, engine: sa.Engine, channels: Mapping[str, Channel], rules: Routing | None = None
    ) -> None:
        self.engine, self.channels, self.rules = engine, channels, rules or routing(*channels)

    def record(self, *observations: Observation) -> None:
        with self.engine.begin() as connection:
            Store(connection, self.rules, self.channels).record(observations)

    def remind(self, after: dt.timedelta) -> None:
        with self.engine.begin() as connection:
            Store(connection, self.rules, self.channels).remind(dt.datetime.now(dt.UTC) + after)

    def deliver(self) -> int:
        return Delivery(self.engine, self.rules, self.channels, QUICK).run(5)

    def deliver_until(self, pending: int = 0, seconds: float = 15) -> None:
        deadline = time.monotonic() + seconds
        while True:
            self.deliver()
            if figures(self.engine).pending == pending:
                return
            assert time.monotonic() < deadline, states(self.engine)
            time.sleep(0.02)


def hook(url: str) -> WebhookChannel:
    return WebhookChannel(url, "s3cr3t", 0.5)


class Broken(Recorder):
    """Fails as told."""

    def __init__(self, error: BaseException) -> None:
        super().__init__()
        self.error: BaseException | None = error

    def send(self, alert: Alert) -> None:
        if self.error is not None:
            raise self.error
        super().send(alert)


def test_an_outage_is_waited_for(engine: sa.Engine) -> None:
    with receiver(Answer(500)) as server:
        world = World(engine, {"webhook": hook(server.url)})
        world.record(Seen(an_alert()))
        assert world.deliver() == 0
        assert figures(engine).pending == 1
        world.deliver_until()
        first, second = server.keys()
    assert first == second
    assert states(engine) == [("firing", "webhook", "sent")]
    assert figures(engine).down == []


def test_silence_that_was_asked_for_is_kept_for_all_messages(engine: sa.Engine) -> None:
    with receiver(Answer(429, {"Retry-After": "2"})) as server:
        world = World(engine, {"webhook": hook(server.url)})
        world.record(Seen(an_alert("check/a")), Seen(an_alert("check/b")))
        began = time.monotonic()
        world.deliver()
        assert len(server.requests) == 1
        world.deliver_until()
        assert time.monotonic() - began >= 1.9
        assert len(server.requests) == 3


@pytest.mark.parametrize("dead", ["refused", "silent", "broken", "forbidden"])
def test_a_dead_channel_is_passed_over_and_told_of(engine: sa.Engine, dead: str) -> None:
    answers = {"silent": Answer(seconds=1), "broken": Answer(500), "forbidden": Answer(403)}
    other = Recorder()
    with receiver() as server:
        server.always = answers.get(dead, server.always)
        url = f"http://127.0.0.1:{free_port()}" if dead == "refused" else server.url
        world = World(engine, {"webhook": hook(url), "slack": other})
        world.record(Seen(an_alert("check/a")), Seen(an_alert("check/b")))
        world.deliver_until()
        assert sorted(other.told) == [
            ("firing", "check/a"),
            ("firing", "check/b"),
            ("firing", "delivery/webhook"),
        ]
        assert figures(engine).down == ["webhook"]
        server.always = Answer()
        if dead == "refused":
            world.channels = {"webhook": hook(server.url), "slack": other}
        time.sleep(QUICK.probe + 0.05)
        world.record(Seen(an_alert("check/c")))
        world.deliver_until()
    assert server.requests[-1].json["fingerprint"] == "check/c"
    assert other.told[-1] == ("resolved", "delivery/webhook")
    assert figures(engine).down == []


def test_what_every_channel_refuses_is_kept_and_sent_when_one_is_back(
    engine: sa.Engine, caplog: pytest.LogCaptureFixture
) -> None:
    one, two = Broken(DeliveryError("no")), Broken(DeliveryError("no"))
    world = World(engine, {"webhook": one, "slack": two})
    world.record(Seen(an_alert()))
    deadline = time.monotonic() + 10
    while figures(engine).undelivered == 0:
        world.deliver()
        assert time.monotonic() < deadline
    assert "no channel takes an alert" in caplog.text
    assert "check volume of shop/raw failed" in caplog.text
    assert "mlops_alert_messages_undelivered 0" not in metrics_text(engine)
    one.error = two.error = None
    with engine.begin() as connection:  # its turn would be long after
        later = dt.datetime.now(dt.UTC) + dt.timedelta(hours=1)
        connection.execute(messages.update().where(messages.c.alert_id == 1).values(next_try=later))
    time.sleep(QUICK.probe + 0.05)
    world.record(Seen(an_alert("check/later")))
    world.deliver_until()
    assert ("firing", "check/shop/raw:volume") in one.told + two.told
    assert "mlops_alert_messages_undelivered 0" in metrics_text(engine)
    assert set(open_alerts(engine)) - {"delivery/slack"} == {"check/shop/raw:volume", "check/later"}


def test_what_is_over_is_told_where_it_was_told_of(engine: sa.Engine) -> None:
    slack = Recorder()
    first = Broken(DeliveryError("no", final=True))
    world = World(engine, {"webhook": first, "slack": slack})
    world.record(Seen(an_alert("check/a")))
    world.deliver_until()
    first.error = None
    time.sleep(QUICK.probe + 0.05)
    world.record(Over("check/a", NOW + dt.timedelta(minutes=3)))
    world.deliver_until()
    assert ("resolved", "check/a") in slack.told


def test_the_end_is_never_told_before_the_beginning(engine: sa.Engine) -> None:
    first = Broken(DeliveryError("not now"))
    world = World(engine, {"webhook": first})
    world.record(Seen(an_alert("check/a")))
    world.deliver()
    world.record(Over("check/a", NOW))
    first.error = None
    world.deliver_until()
    assert first.told == [("firing", "check/a"), ("resolved", "check/a")]


def test_a_death_between_sending_and_writing_it_down_sends_it_again(engine: sa.Engine) -> None:
    class Killed(BaseException):
        pass

    class Deadly(Recorder):
        deadly = True

        def send(self, alert: Alert) -> None:
            super().send(alert)
            if self.deadly:
                raise Killed

    channel = Deadly()
    world = World(engine, {"webhook": channel})
    world.record(Seen(an_alert()))
    with pytest.raises(Killed):
        world.deliver()
    channel.deadly = False
    assert world.deliver() == 0  # nobody else sends it meanwhile
    time.sleep(QUICK.lease + 0.05)
    assert world.deliver() == 1
    assert channel.taken[0].key == channel.taken[1].key
    assert states(engine) == [("firing", "webhook", "sent")]


def test_a_channel_that_breaks_does_not_stop_the_others(engine: sa.Engine) -> None:
    other = Recorder()
    world = World(engine, {"webhook": Broken(ZeroDivisionError()), "slack": other})
    world.record(Seen(an_alert("check/a")))
    world.deliver_until()
    assert sorted(other.told) == [("firing", "check/a"), ("firing", "delivery/webhook")]


def test_a_channel_without_an_address_is_left_out_later_too(engine: sa.Engine) -> None:
    other = Recorder()
    world = World(engine, {"webhook": Recorder(), "slack": other})
    world.record(Seen(an_alert("check/a")))
    world.channels = {"slack": other, "log": LogChannel()}
    world.deliver_until()
    assert other.told == [("firing", "check/a")]


def test_an_alert_that_lasts_is_told_again_at_an_interval(engine: sa.Engine) -> None:
    channel = Recorder()
    world = World(engine, {"webhook": channel}, routing("webhook", reminder_hours=6))
    world.record(Seen(an_alert()))
    world.remind(dt.timedelta(hours=7))  # not before it was told at all
    world.deliver_until()
    assert [one.notice for one in channel.taken] == ["firing"]
    for hours in (5, 7, 8, 14):
        world.remind(dt.timedelta(hours=hours))
        world.deliver_until()
    assert [one.notice for one in channel.taken] == ["firing", "reminder", "reminder"]
    assert len({one.key for one in channel.taken}) == 3
    assert channel.taken[1].headline.startswith("STILL ERROR")
    world.record(Over(an_alert().fingerprint, NOW))
    world.remind(dt.timedelta(hours=99))
    world.deliver_until()
    assert channel.taken[-1].notice == "resolved"


def test_a_channel_that_forgets_is_reminded_while_the_alert_lasts(engine: sa.Engine) -> None:
    channel = Recorder()
    channel.refresh_seconds = 0.5
    world = World(engine, {"alertmanager": channel})
    world.record(Seen(an_alert()))
    for _ in range(3):
        world.deliver()
        time.sleep(0.55)
    assert [one.notice for one in channel.taken] == ["firing"] * 3
    world.record(Over(an_alert().fingerprint, NOW))
    for _ in range(3):
        world.deliver()
        time.sleep(0.55)
    assert [one.notice for one in channel.taken] == [*["firing"] * 3, "resolved"]


def test_a_repetition_that_fails_takes_the_next_channel(engine: sa.Engine) -> None:
    first, other = Broken(DeliveryError("x")), Recorder()
    first.refresh_seconds, first.error = 0.05, None
    world = World(engine, {"alertmanager": first, "slack": other})
    world.record(Seen(an_alert("check/a")))
    world.deliver()
    assert other.told == []
    first.error = DeliveryError("gone")
    time.sleep(0.1)
    world.deliver()
    world.deliver_until()
    assert ("firing", "check/a") in other.told


def test_counts_are_kept(engine: sa.Engine) -> None:
    with receiver(Answer(500)) as server:
        world = World(engine, {"webhook": hook(server.url)})
        world.record(Seen(an_alert()))
        world.deliver_until()
    text = metrics_text(engine)
    assert 'mlops_alerts_open{kind="check",severity="error"} 1' in text
    assert 'mlops_alert_channel_sent_total{channel="webhook"} 1' in text
    assert 'mlops_alert_channel_failed_total{channel="webhook"} 1' in text
    assert 'mlops_alert_channel_up{channel="webhook"} 1' in text
    for line in text.splitlines():
        assert line.startswith("# ") or len(line.rsplit(" ", 1)) == 2


def test_what_is_long_over_is_forgotten_once_it_was_told(engine: sa.Engine) -> None:
    from mlops_assets.alerts.sensor import forget

    channel = Broken(DeliveryError("no"))
    world = World(engine, {"webhook": channel})
    world.record(Seen(an_alert("check/a")), Over("check/a", NOW), Seen(an_alert("check/b")))

    def left() -> set[str]:
        with engine.begin() as connection:
            forget(connection, NOW + dt.timedelta(days=91))
            return set(connection.execute(sa.select(alerts.c.fingerprint)).scalars())

    assert left() == {"check/a", "check/b"}  # not told yet
    channel.error = None
    world.deliver_until()
    assert left() == {"check/b"}
    with engine.connect() as connection:
        assert connection.execute(sa.select(sa.func.count()).select_from(messages)).scalar() == 1
