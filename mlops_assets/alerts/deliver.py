"""Sends what is to be told: in order, with patience, past channels that are dead.

At least once: that a message is being sent is written down first, as a time before which nobody
sends it again; what came of it afterwards. A process killed in between sends it again, under the
same key.
"""

from __future__ import annotations

import datetime as dt
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import msgspec
import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert

from mlops_assets.alerts.alert import Alert, decode
from mlops_assets.alerts.channels.log import LOGGER, LogChannel
from mlops_assets.alerts.channels.protocol import DeliveryError
from mlops_assets.alerts.store import Over, Seen, Store
from mlops_assets.alerts.tables import alerts, channels, messages

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mlops_assets.alerts.channels.protocol import Channel
    from mlops_assets.alerts.routing import Routing

_M, _C = messages.c, channels.c


@dataclass(frozen=True)
class Patience:
    """How long to go on with a channel that fails. Seconds, except ``tries``."""

    tries: int = 4
    first_wait: float = 1.0
    longest_wait: float = 900.0
    probe: float = 60.0
    lease: float = 60.0


class Delivery:
    """Sends the messages that are due."""

    def __init__(
        self,
        engine: sa.Engine,
        routing: Routing,
        known: Mapping[str, Channel],
        patience: Patience | None = None,
        page: str = "",
    ) -> None:
        """``page``: what an alert about a dead channel links to."""
        self._engine, self._routing, self._known = engine, routing, known
        self._patience, self._page = patience or Patience(), page

    def run(self, seconds: float) -> int:
        """Send until nothing is due or ``seconds`` are over; how many messages were taken."""
        end, sent = time.monotonic() + seconds, 0
        while time.monotonic() < end:
            claimed = self._claim()
            if claimed is None:
                break
            sent += self._send(claimed)
        return sent

    def _claim(self) -> Any:
        """The next message whose time has come, marked so that nobody else takes it meanwhile."""
        now = sa.func.clock_timestamp()
        earlier = messages.alias("earlier")
        first = ~sa.exists().where(
            earlier.c.alert_id == _M.alert_id,
            earlier.c.route == _M.route,
            earlier.c.id < _M.id,
            earlier.c.state == "pending",
        )
        lasts = sa.exists().where(alerts.c.id == _M.alert_id, alerts.c.state == "firing")
        due = (
            sa.select(messages)
            .outerjoin(channels, _C.name == _M.channel)
            .where(
                _M.next_try <= now,
                first,
                sa.or_(_M.state == "pending", lasts),
                # A channel that is silent for a while is waited for; one that is down is passed over.
                sa.or_(_C.wait_until.is_(None), _C.wait_until <= now, _C.down_since.is_not(None)),
            )
            .order_by(_M.next_try, _M.id)
            .limit(1)
            .with_for_update(skip_locked=True, of=messages)
        )
        with self._engine.begin() as connection:
            row = connection.execute(due).first()
            if row is not None:
                lease = now + dt.timedelta(seconds=self._patience.lease)
                change = messages.update().where(_M.id == row.id)
                connection.execute(change.values(next_try=lease, attempts=_M.attempts + 1))
        return row

    def _send(self, row: Any) -> bool:
        channel = self._known.get(row.channel)
        if channel is None:
            self._pass_on(row, f"{row.channel} has no address in the settings any more")
            return False
        health = self._health(row.channel)
        if health is not None and health.down_since is not None and health.silent:
            self._pass_on(row, f"{row.channel} is down: {health.error}")
            return False
        try:
            channel.send(self._message(row))
        except DeliveryError as error:
            self._failed(row, error)
            return False
        except Exception as error:  # noqa: BLE001 - a broken channel must not stop the others
            LOGGER.exception("alert channel %s broke", row.channel)
            self._failed(row, DeliveryError(f"it broke: {type(error).__name__}", final=True))
            return False
        self._sent(row, channel)
        if health is not None and health.down_since is not None:
            self._wake(row.channel)
        return True

    def _wake(self, name: str) -> None:
        """A channel is back: what every channel had refused need not wait for its turn."""
        change = messages.update().where(_M.channels.contains([name]), _M.state == "pending", _M.rounds > 0)
        with self._engine.begin() as connection:
            connection.execute(change.values(next_try=sa.func.clock_timestamp()))

    def _message(self, row: Any) -> Alert:
        if row.state == "pending":
            return decode(row.payload)
        # Sent before: what is shown is brought up to date.
        with self._engine.connect() as connection:
            query = sa.select(alerts.c.payload).where(alerts.c.id == row.alert_id)
            now = decode(connection.execute(query).scalar_one())
        return msgspec.structs.replace(now, notice=row.notice, key=row.key)

    def _health(self, name: str) -> Any:
        silent = sa.func.coalesce(_C.wait_until > sa.func.clock_timestamp(), sa.false()).label("silent")
        with self._engine.connect() as connection:
            return connection.execute(
                sa.select(_C.failures, _C.down_since, _C.error, silent).where(_C.name == name)
            ).first()

    def _sent(self, row: Any, channel: Channel) -> None:
        now = sa.func.clock_timestamp()
        again = None
        if channel.refresh_seconds is not None and row.notice == "firing":
            again = now + dt.timedelta(seconds=channel.refresh_seconds)
        change = messages.update().where(_M.id == row.id)
        with self._engine.begin() as connection:
            connection.execute(change.values(state="sent", error=None, sent_at=now, next_try=again))
            self._note(connection, row.channel, {"failures": 0, "down_since": None, "wait_until": None}, 1, 0)
            self._store(connection).record([Over(f"delivery/{row.channel}", _now())])

    def _failed(self, row: Any, error: DeliveryError) -> None:
        """Try again later, or, when the channel is found to be dead, elsewhere."""
        health = self._health(row.channel)
        failures = (health.failures if health else 0) + 1
        dead = error.final or failures >= self._patience.tries
        wait = self._patience.first_wait * 2 ** min(failures - 1, 10)
        wait = self._patience.probe if dead else min(wait, self._patience.longest_wait)
        wait = max(wait, error.retry_after or 0.0)
        now = sa.func.clock_timestamp()
        until = now + dt.timedelta(seconds=wait)
        values = {"failures": failures, "wait_until": until, "error": str(error)}
        if dead:
            values["down_since"] = sa.func.coalesce(_C.down_since, now)
        with self._engine.begin() as connection:
            self._note(connection, row.channel, values, 0, 1)
            if dead:
                self._store(connection).record([Seen(_dead(row.channel, str(error), self._page))])
            change = messages.update().where(_M.id == row.id)
            connection.execute(change.values(state="pending", error=str(error), next_try=until))
        if dead:
            self._pass_on(row, str(error))

    def _pass_on(self, row: Any, error: str) -> None:
        """To the next channel; after the last one, the log is told, and all are tried again later."""
        place, rounds = row.place + 1, row.rounds
        next_try: sa.ColumnElement[Any] = sa.func.clock_timestamp()
        if place >= len(row.channels):
            if rounds == 0 and row.channel != "log":
                LOGGER.error("no channel takes an alert (%s); this is it:", error)
                LogChannel().send(decode(row.payload))
            place, rounds = 0, rounds + 1
            wait = min(self._patience.probe * 2 ** min(rounds - 1, 10), self._patience.longest_wait)
            next_try = next_try + dt.timedelta(seconds=wait)
        change = messages.update().where(_M.id == row.id)
        values = {"place": place, "rounds": rounds, "channel": row.channels[place], "state": "pending"}
        with self._engine.begin() as connection:
            connection.execute(change.values(next_try=next_try, error=error, **values))

    def _note(
        self, connection: sa.Connection, name: str, values: Mapping[str, Any], sent: int, failed: int
    ) -> None:
        first = {key: None if key == "down_since" else value for key, value in values.items()}
        if values.get("down_since") is not None:
            first["down_since"] = sa.func.clock_timestamp()
        change = insert(channels).values(name=name, sent_total=sent, failed_total=failed, **first)
        totals = {"sent_total": _C.sent_total + sent, "failed_total": _C.failed_total + failed}
        connection.execute(change.on_conflict_do_update(index_elements=["name"], set_={**values, **totals}))

    def _store(self, connection: sa.Connection) -> Store:
        return Store(connection, self._routing, self._known.keys())


def _dead(channel: str, error: str, page: str) -> Alert:
    return Alert(
        fingerprint=f"delivery/{channel}",
        kind="delivery",
        severity="error",
        title=f"the alert channel {channel} takes nothing",
        since=_now(),
        seen=error,
        allowed="it takes what is sent to it",
        remedy=f"see that its receiver is up and that the MLOPS_ALERT_* settings of {channel} are right; "
        "meanwhile alerts take the next channel of their route",
        url=page,
    )


def _now() -> dt.datetime:
    return dt.datetime.now(dt.UTC)
