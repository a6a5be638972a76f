"""What is remembered of alerts: which last, which are over, and the messages that this calls for.

Observations, the cursor behind them and the messages are written in one transaction, before
anything is sent: a process killed at any moment loses no alert, and repeats none.
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import msgspec
import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert

from mlops_assets.alerts.alert import Alert, Notice, decode
from mlops_assets.alerts.tables import alerts, cursors, messages

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping

    from mlops_assets.alerts.routing import Routing

_A, _M = alerts.c, messages.c
_RANK = {"warning": 0, "error": 1}


@dataclass(frozen=True)
class Seen:
    """A source saw the problem. ``event``: the event's place in Dagster's log (0: not from there).

    ``waits_for``: the parts that are bad (a run's assets, a check's partition); it is over when each is good.
    """

    alert: Alert
    event: int = 0
    waits_for: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Over:
    """A source saw that the problem ``fingerprint``, or ``part`` of it, is over. None: no effect."""

    fingerprint: str
    at: dt.datetime
    event: int = 0
    part: str = ""


@dataclass(frozen=True)
class Succeeded:
    """A run made ``parts``: alerts about runs that wait for them wait no longer."""

    parts: frozenset[str]
    at: dt.datetime
    event: int


Observation = Seen | Over | Succeeded


class Store:
    """The memory of alerts, inside one transaction of the caller's."""

    def __init__(self, connection: sa.Connection, routing: Routing, configured: Collection[str]) -> None:
        self._connection, self._routing, self._configured = connection, routing, configured

    def record(self, observations: Iterable[Observation]) -> None:
        """Write down what was seen, in order, with the messages that it calls for."""
        for one in observations:
            if isinstance(one, Seen):
                self._seen(one)
            elif isinstance(one, Over):
                row = self._firing(one.fingerprint)
                if row is not None and (not one.event or one.event > row.last_event):
                    parts = {one.part} if one.part else set(row.waits_for)
                    self._cross_off(row, parts, one.at, one.event)
            else:
                self._succeeded(one)

    def remind(self, now: dt.datetime) -> None:
        """Messages about alerts that have lasted for another ``reminder_hours`` and were told of."""
        before = now - dt.timedelta(hours=self._routing.reminder_hours)
        untold = sa.exists().where(_M.alert_id == _A.id, _M.state == "pending")
        query = sa.select(alerts).where(_A.state == "firing", _A.reminded_at < before, ~untold)
        for row in self._connection.execute(query.limit(200)).all():
            self._remind(row, decode(row.payload), now)

    def hush(self) -> None:
        """Drop messages about what is over that nobody has begun to send."""
        over = sa.select(_A.id).where(_A.state == "resolved")
        self._connection.execute(
            messages.delete().where(_M.state == "pending", _M.attempts == 0, _M.alert_id.in_(over))
        )

    def position(self, source: str) -> dict[str, Any]:
        """The source's cursor; empty at first."""
        query = sa.select(cursors.c.position).where(cursors.c.source == source)
        return dict(self._connection.execute(query).scalar() or {})

    def move(self, source: str, position: Mapping[str, Any]) -> None:
        """Set the source's cursor."""
        values = {"source": source, "position": dict(position)}
        change = insert(cursors).values(values)
        self._connection.execute(
            change.on_conflict_do_update(index_elements=["source"], set_={"position": values["position"]})
        )

    def firing(self, prefix: str) -> list[str]:
        """Fingerprints with ``prefix`` of the alerts that last."""
        query = sa.select(_A.fingerprint).where(_A.state == "firing", _A.fingerprint.startswith(prefix))
        return list(self._connection.execute(query).scalars())

    def _firing(self, fingerprint: str) -> Any:
        query = sa.select(alerts).where(_A.fingerprint == fingerprint, _A.state == "firing")
        return self._connection.execute(query.with_for_update()).first()

    def _seen(self, one: Seen) -> None:
        row = self._firing(one.alert.fingerprint)
        if row is None:
            if not (one.event and self._told(one)):
                self._open(one)
            return
        if one.event and one.event <= row.last_event:
            return
        old = decode(row.payload)
        alert = msgspec.structs.replace(one.alert, since=old.since)
        self._connection.execute(
            alerts.update()
            .where(_A.id == row.id)
            .values(
                last_seen=one.alert.since,
                last_event=max(one.event, row.last_event),
                times_seen=_A.times_seen + 1,
                severity=alert.severity,
                payload=msgspec.to_builtins(alert),
                waits_for=sorted({*row.waits_for, *one.waits_for}),
            )
        )
        if _RANK[alert.severity] > _RANK[old.severity]:  # worse is news
            self._remind(row, alert, one.alert.since)

    def _told(self, one: Seen) -> bool:
        """Whether the event was recorded before: the end of the log is read more than once."""
        query = sa.select(sa.func.max(_A.last_event)).where(_A.fingerprint == one.alert.fingerprint)
        return one.event <= (self._connection.execute(query).scalar() or 0)

    def _open(self, one: Seen) -> None:
        alert = one.alert
        made = self._connection.execute(
            alerts.insert()
            .values(
                fingerprint=alert.fingerprint,
                kind=alert.kind,
                severity=alert.severity,
                state="firing",
                first_seen=alert.since,
                last_seen=alert.since,
                reminded_at=sa.func.clock_timestamp(),
                last_event=one.event,
                waits_for=sorted(one.waits_for),
                payload=msgspec.to_builtins(alert),
            )
            .returning(_A.id)
        ).scalar_one()
        self._tell(made, alert, "firing", 0)

    def _remind(self, row: Any, alert: Alert, now: dt.datetime) -> None:
        change = alerts.update().where(_A.id == row.id)
        self._connection.execute(change.values(reminded_at=now, reminders=_A.reminders + 1))
        self._tell(row.id, alert, "reminder", row.reminders + 1)

    def _resolve(self, row: Any, at: dt.datetime, event: int) -> None:
        alert = msgspec.structs.replace(decode(row.payload), resolved_at=at)
        self._connection.execute(
            alerts.update()
            .where(_A.id == row.id)
            .values(
                state="resolved",
                resolved_at=at,
                last_event=max(event, row.last_event),
                waits_for=[],
                payload=msgspec.to_builtins(alert),
            )
        )
        self._tell(row.id, alert, "resolved", 0)

    def _succeeded(self, one: Succeeded) -> None:
        """A run of several assets may be made good by several runs: what is made is crossed off."""
        query = sa.select(alerts).where(_A.state == "firing", _A.kind == "run", _A.last_event < one.event)
        for row in self._connection.execute(query.with_for_update()).all():
            self._cross_off(row, one.parts, one.at, one.event)

    def _cross_off(self, row: Any, good: Collection[str], at: dt.datetime, event: int) -> None:
        left = set(row.waits_for) - set(good)
        if not left:
            self._resolve(row, at, event)
        elif len(left) < len(row.waits_for):
            change = alerts.update().where(_A.id == row.id)
            self._connection.execute(
                change.values(waits_for=sorted(left), last_event=max(event, row.last_event))
            )

    def _tell(self, alert_id: int, alert: Alert, notice: Notice, number: int) -> None:
        """Messages about ``alert``, one for each route. What is over is told where it was told of."""
        for route, chain in self._routing.of(alert, self._configured).items():
            key = f"{alert_id}/{notice}/{number}/{route}"
            told = self._told_through(alert_id, route) if notice == "resolved" else None
            order = [told, *(name for name in chain if name != told)] if told in self._configured else chain
            message = msgspec.structs.replace(alert, notice=notice, key=key)
            self._connection.execute(
                insert(messages)
                .values(
                    key=key,
                    alert_id=alert_id,
                    route=route,
                    notice=notice,
                    payload=msgspec.to_builtins(message),
                    channels=list(order),
                    channel=order[0],
                    created_at=sa.func.clock_timestamp(),
                    next_try=sa.func.clock_timestamp(),
                )
                .on_conflict_do_nothing(index_elements=["key"])
            )

    def _told_through(self, alert_id: int, route: str) -> str | None:
        query = sa.select(_M.channel).where(_M.alert_id == alert_id, _M.route == route, _M.state == "sent")
        found: str | None = self._connection.execute(query.order_by(_M.id.desc()).limit(1)).scalar()
        return found
