"""Reads Dagster's event log: check evaluations, freshness, and how runs ended.

By storage id, in batches, from where the last reading ended. Ids are given before they are visible
(two writers may commit in the other order), so that the durable cursor stays behind events that are
younger than ``SETTLED``; those are read again, and the store knows what it has seen.
"""

from __future__ import annotations

import datetime as dt
import time
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import dagster as dg

from mlops_assets.alerts.alert import Alert
from mlops_assets.alerts.runs import of_run
from mlops_assets.alerts.store import Over, Seen, Store

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    import sqlalchemy as sa
    from dagster._core.event_api import EventLogRecord

    from mlops_assets.alerts.store import Observation

BATCH = 500
SETTLED = 15.0
"""Seconds after which an event's neighbours are surely visible too."""

SOURCE = "events"
TYPES = (
    dg.DagsterEventType.ASSET_CHECK_EVALUATION,
    dg.DagsterEventType.FRESHNESS_STATE_CHANGE,
    dg.DagsterEventType.RUN_FAILURE,
    dg.DagsterEventType.RUN_SUCCESS,
    dg.DagsterEventType.STEP_UP_FOR_RETRY,
)


@dataclass(frozen=True)
class Position:
    """``after``: the last settled storage id that was read; ``caught_up``: the end was reached once."""

    after: int = 0
    caught_up: bool = False


@dataclass(frozen=True)
class Context:
    """Whose things are: ``owners`` by project (the first part of an asset key), ``url`` of Dagster."""

    url: str
    owners: Mapping[str, tuple[str, ...]]

    def about(self, asset: dg.AssetKey) -> dict[str, Any]:
        """The fields of an alert that tell of its asset. A project's assets are one group."""
        project = asset.path[0] if asset.path[0] in self.owners else ""
        return {
            "project": project,
            "group": project or "default",
            "asset": asset.to_user_string(),
            "owners": self.owners.get(project, ()),
        }

    def page(self, asset: dg.AssetKey, view: str) -> str:
        return f"{self.url}/assets/{asset.to_user_string()}?view={view}"


def collect_events(
    instance: dg.DagsterInstance,
    begin: Callable[[], Any],
    store_of: Callable[[sa.Connection], Store],
    context: Context,
    seconds: float = 10.0,
) -> int:
    """Read and record until the log's end or until ``seconds`` are over; how many events were read.

    ``begin`` starts a transaction (``engine.begin``). What is left is read at the next call. Of what went
    before the first call ever, only what still lasts is told.
    """
    end, total = time.monotonic() + seconds, 0
    with begin() as connection:
        position = Position(**store_of(connection).position(SOURCE))
    after, steady = position.after, True
    while time.monotonic() < end:
        with begin() as connection:
            store = store_of(connection)
            records = read(instance, after)
            store.record(list(observe(instance, records, context)))
            if not position.caught_up:
                store.hush()
            at_end = len(records) < BATCH
            settled = _settled(records) if steady else None
            steady = bool(records) and settled == records[-1].storage_id
            moved = Position(settled or position.after, caught_up=position.caught_up or at_end)
            if moved != position:
                store.move(SOURCE, asdict(moved))
        position, total = moved, total + len(records)
        if at_end:
            break
        after = records[-1].storage_id
    return total


def read(instance: dg.DagsterInstance, after: int, limit: int = BATCH) -> Sequence[EventLogRecord]:
    """The next events of ``TYPES`` after storage id ``after``, ascending; at most ``limit``."""
    found: list[EventLogRecord] = []
    for kind in TYPES:
        wanted = dg.EventRecordsFilter(event_type=kind, after_cursor=after)
        # Not instance.get_event_records: it warns that it is going, without a successor for all types.
        found += instance.event_log_storage.get_event_records(wanted, limit=limit, ascending=True)
    # Of each type the first ``limit``: so the first ``limit`` of all are among them.
    return sorted(found, key=lambda record: record.storage_id)[:limit]


def _settled(records: Sequence[EventLogRecord]) -> int | None:
    """The last of the leading records that are old enough."""
    settled, before = None, time.time() - SETTLED
    for record in records:
        if record.timestamp > before:
            break
        settled = record.storage_id
    return settled


def observe(
    instance: dg.DagsterInstance, records: Sequence[EventLogRecord], context: Context
) -> Iterator[Observation]:
    """What ``records`` say of problems."""
    ids = sorted({record.run_id for record in records if record.run_id})
    found = instance.get_runs(dg.RunsFilter(run_ids=ids)) if ids else []
    runs = {run.run_id: run for run in found}
    for record in records:
        event = record.event_log_entry.get_dagster_event()
        at = dt.datetime.fromtimestamp(record.timestamp, dt.UTC)
        if event.event_type == dg.DagsterEventType.ASSET_CHECK_EVALUATION:
            yield _check(event.asset_check_evaluation_data, record.storage_id, at, context)
        elif event.event_type == dg.DagsterEventType.FRESHNESS_STATE_CHANGE:
            yield from _freshness(event.asset_freshness_state_change_data, record.storage_id, at, context)
        else:
            yield from of_run(instance, runs.get(record.run_id), record, at, context)


def _check(found: dg.AssetCheckEvaluation, event: int, at: dt.datetime, context: Context) -> Observation:
    """One check is one problem; it is over when each partition that failed has passed."""
    fingerprint = f"check/{found.asset_key.to_user_string()}:{found.check_name}"
    partition = found.partition or ""
    if found.passed:
        return Over(fingerprint, at, event, partition)
    told = found.metadata
    seen = _first(told, "observed", "seen") or found.description or ""
    alert = Alert(
        fingerprint=fingerprint,
        kind="check",
        severity="error" if found.severity == dg.AssetCheckSeverity.ERROR else "warning",
        title=f"check {found.check_name} of {found.asset_key.to_user_string()} failed"
        + (f" ({partition})" if partition else ""),
        since=at,
        seen=seen,
        allowed=_first(told, "allowed") or "the check passes",
        remedy=_first(told, "remedy", "what to do") or "open the check in Dagster: its metadata says more",
        url=context.page(found.asset_key, "checks"),
        **context.about(found.asset_key),
    )
    return Seen(alert, event, frozenset({partition} if partition else ()))


def _first(metadata: Mapping[str, Any], *names: str) -> str:
    for name in names:
        if name in metadata:
            return str(getattr(metadata[name], "value", metadata[name]))
    return ""


def _freshness(change: Any, event: int, at: dt.datetime, context: Context) -> Iterator[Observation]:
    fingerprint = f"freshness/{change.key.to_user_string()}"
    state = change.new_state.value
    if state == "PASS":
        yield Over(fingerprint, at, event)
    elif state in {"FAIL", "WARN"}:
        alert = Alert(
            fingerprint=fingerprint,
            kind="freshness",
            severity="error" if state == "FAIL" else "warning",
            title=f"{change.key.to_user_string()} is not fresh",
            since=at,
            seen=f"its freshness went from {change.previous_state.value} to {state}",
            allowed="as its freshness policy says, on its page in Dagster",
            remedy="see why it was not materialized: failed runs, missing objects, a stopped sensor",
            url=context.page(change.key, "overview"),
            **context.about(change.key),
        )
        yield Seen(alert, event)
