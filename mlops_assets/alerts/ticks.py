"""Watches sensors and schedules: ticks that fail, sensors that were stopped or have gone silent.

Dagster alerts nobody when a sensor breaks (dagster#29625): what it would have started is missing,
and nothing else shows it.
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from dagster._core.definitions.run_request import InstigatorType
from dagster._core.scheduler.instigation import InstigatorStatus, TickStatus

from mlops_assets.alerts.alert import Alert
from mlops_assets.alerts.reaper import of_reaper
from mlops_assets.alerts.store import Over, Seen

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    import dagster as dg
    from dagster._core.scheduler.instigation import InstigatorState, InstigatorTick

    from mlops_assets.alerts.sources import Context
    from mlops_assets.alerts.store import Observation, Store

SOURCE = "ticks"
_FAILURES = 20
"""Failed ticks of one sensor that are looked at; more of them are the same problem."""


@dataclass(frozen=True)
class Silence:
    """``seconds`` without a tick are too many; ``asleep``: so long without us, and nothing ticked."""

    seconds: float = 900.0
    asleep: float = 120.0


def collect_ticks(  # noqa: PLR0913 - the last three have defaults or are the clock
    instance: dg.DagsterInstance,
    store: Store,
    context: Context,
    now: dt.datetime,
    known: Collection[str] | None = None,
    silence: Silence | None = None,
) -> None:
    """Record what sensors and schedules did since the last call.

    ``known``: names that the code location has; the state of others is left over from older code.
    """
    if instance.schedule_storage is None:
        return  # an instance in memory has no sensors
    silence = silence or Silence()
    position = store.position(SOURCE)
    last, awake = float(position.get("at", 0)), float(position.get("awake_since", 0))
    if now.timestamp() - last > silence.asleep:
        awake = now.timestamp()  # the daemon was down: that nothing ticked says nothing
    seen: dict[str, float] = dict(position.get("seen", {}))
    for state in instance.all_instigator_state():
        watched = Watched(state, context)
        if known is not None and state.instigator_name not in known:
            store.record([Over(watched.fingerprint(what), now) for what in ("failed", "stopped", "silent")])
            seen.pop(state.selector_id, None)
            continue
        after = seen.get(state.selector_id, 0.0)
        ticks = _finished(instance, state, after)
        store.record(watched.failures(ticks))
        seen[state.selector_id] = max([after, *(tick.timestamp for tick in ticks)])
        quiet_since = max(_latest(instance, state), awake)
        silent = now.timestamp() - quiet_since > silence.seconds
        store.record([watched.stopped(now), watched.silent(now, silent=silent, since=quiet_since)])
    store.record(of_reaper(instance, context, now, awake, silence.seconds))
    store.move(SOURCE, {"at": now.timestamp(), "awake_since": awake, "seen": seen})


def _finished(instance: dg.DagsterInstance, state: InstigatorState, after: float) -> list[InstigatorTick]:
    """Ticks that began after ``after`` and are over, ascending: the failed ones and the newest other."""
    where: dict[str, Any] = {"after": after or None}
    origin, selector = state.instigator_origin_id, state.selector_id
    failed = instance.get_ticks(origin, selector, limit=_FAILURES, statuses=[TickStatus.FAILURE], **where)
    fine = instance.get_ticks(
        origin, selector, limit=1, statuses=[TickStatus.SUCCESS, TickStatus.SKIPPED], **where
    )
    return sorted([*failed, *fine], key=lambda tick: tick.timestamp)


def _latest(instance: dg.DagsterInstance, state: InstigatorState) -> float:
    ticks = instance.get_ticks(state.instigator_origin_id, state.selector_id, limit=1)
    return ticks[0].timestamp if ticks else 0.0


@dataclass(frozen=True)
class Watched:
    """A sensor or schedule, and what may be wrong with it."""

    state: InstigatorState
    context: Context

    @property
    def name(self) -> str:
        return str(self.state.instigator_name)

    @property
    def is_sensor(self) -> bool:
        return bool(self.state.instigator_type == InstigatorType.SENSOR)

    def fingerprint(self, what: str) -> str:
        return f"sensor/{self.name}:{what}"

    def failures(self, ticks: list[InstigatorTick]) -> Iterator[Observation]:
        """Failed ticks, and the good one after them."""
        for tick in ticks:
            at = dt.datetime.fromtimestamp(tick.timestamp, dt.UTC)
            if tick.status == TickStatus.FAILURE:
                said = tick.error.message.strip() if tick.error else "it gave no reason"
                cause = tick.error.cause if tick.error else None
                seen = f"{said}\n{cause.message.strip()}" if cause else said
                yield Seen(self._alert("failed", at, "tick failed", "error", seen))
            else:
                yield Over(self.fingerprint("failed"), at)

    def stopped(self, now: dt.datetime) -> Observation:
        """Whether a person stopped it."""
        if self.state.status == InstigatorStatus.STOPPED:
            return Seen(self._alert("stopped", now, "is stopped", "warning", "it was stopped by hand"))
        return Over(self.fingerprint("stopped"), now)

    def silent(self, now: dt.datetime, *, silent: bool, since: float) -> Observation:
        """Whether a running sensor no longer ticks. Schedules may rest as long as they like."""
        if not (silent and self.is_sensor and self.state.status != InstigatorStatus.STOPPED):
            return Over(self.fingerprint("silent"), now)
        last = dt.datetime.fromtimestamp(since, dt.UTC).isoformat(timespec="seconds")
        return Seen(self._alert("silent", now, "no longer ticks", "error", f"no tick since {last}"))

    def _alert(self, what: str, at: dt.datetime, title: str, severity: Any, seen: str) -> Alert:
        kind = "sensor" if self.is_sensor else "schedule"
        origin = self.state.origin.repository_origin
        location = origin.code_location_origin.location_name
        page = f"{self.context.url}/locations/{origin.repository_name}@{location}/{kind}s/{self.name}"
        project = max(
            (name for name in self.context.owners if self.name.startswith(f"{name}_")), default="", key=len
        )
        return Alert(
            fingerprint=self.fingerprint(what),
            kind="sensor",
            severity=severity,
            title=f"{kind} {self.name} {title}",
            since=at,
            project=project,
            group=project or "default",
            owners=self.context.owners.get(project, ()),
            seen=seen,
            allowed=f"the {kind} runs and its ticks succeed",
            remedy=f"open the {kind} in Dagster; mend what the tick says, or start it",
            url=page,
        )
