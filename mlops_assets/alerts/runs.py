"""What the event log says of runs: that they failed, wait for a pod that does not come, or succeeded."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

import dagster as dg
from dagster._core.execution.plan.objects import ErrorSource

from mlops_assets.alerts.alert import Alert
from mlops_assets.alerts.store import Seen, Succeeded
from mlops_assets.automation.retries import will_retry
from mlops_assets.execution.stuck import REMEDY, never_started, remedy_in

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Iterator

    from dagster._core.event_api import EventLogRecord
    from dagster_shared.error import SerializableErrorInfo

    from mlops_assets.alerts.alert import Severity
    from mlops_assets.alerts.sources import Context
    from mlops_assets.alerts.store import Observation

_REMEDY = "open the run in Dagster; when the cause is gone, run it again from the failure"
_MEANWHILE = "meanwhile it is tried again by itself"


def of_run(
    instance: dg.DagsterInstance,
    run: dg.DagsterRun | None,
    record: EventLogRecord,
    at: dt.datetime,
    context: Context,
) -> Iterator[Observation]:
    """What an end of ``run``, or a step of it that is tried again, says of problems.

    A failure that Dagster tries again by itself is none; but a pod that does not start needs a person, and
    the later tries would only take as long.
    """
    event = record.event_log_entry.get_dagster_event()
    told = _Run(run, event.job_name)
    if event.event_type == dg.DagsterEventType.RUN_SUCCESS:
        yield Succeeded(told.parts, at, record.storage_id)
        return
    why = _why(event)
    again = event.is_step_up_for_retry or (run is not None and will_retry(instance, run))
    if again and not never_started(why):
        return
    seen, remedy = remedy_in(why)
    if not remedy and _was_told_to_stop(event):
        said, remedy = remedy_in(_of_last_try(instance, record.run_id))
        seen = "\n".join(part for part in (seen, said and f"The try before: {said}") if part)
    ending = "waits for a pod" if again else "failed"
    alert = Alert(
        fingerprint=told.fingerprint,
        kind="run",
        severity=_severity(again=again),
        title=f"run of {told.what} {ending}" + (f" ({told.partition})" if told.partition else ""),
        since=at,
        seen=seen,
        allowed="the run succeeds, or one that tries it again does",
        remedy=f"{remedy}; {_MEANWHILE if again else _REMEDY}" if remedy else _REMEDY,
        url=f"{context.url}/runs/{record.run_id}",
        **(context.about(told.assets[0]) if told.assets else {"group": "default"}),
    )
    yield Seen(alert, record.storage_id, told.parts)


class _Run:
    """A run by what it was to make: whichever run makes that later puts things right."""

    def __init__(self, run: dg.DagsterRun | None, job: str) -> None:
        self.assets = sorted(run.asset_selection or ()) if run else []
        self.partition = run.tags.get("dagster/partition") if run else None
        names = {key.to_user_string() for key in self.assets}
        self.names = sorted(names) or [f"job:{run.job_name if run else job}"]

    @property
    def parts(self) -> frozenset[str]:
        return frozenset(f"{name}@{self.partition}" if self.partition else name for name in self.names)

    @property
    def fingerprint(self) -> str:
        return f"run/{hashlib.sha256(chr(10).join(self.names).encode()).hexdigest()[:16]}"

    @property
    def what(self) -> str:
        more = f" and {len(self.names) - 3} more" if len(self.names) > 3 else ""
        return ", ".join(self.names[:3]).removeprefix("job:") + more


def _severity(*, again: bool) -> Severity:
    return "warning" if again else "error"


def _why(event: Any) -> str:
    """The event's own words, the deepest cause that it names, and what says on the way there what to do."""
    said = [error.message.strip() for error in _errors(event)]
    told = [event.message or "", *(words for words in said[:-1] if REMEDY in words), *said[-1:]]
    return "\n".join(part for part in told if part)


def _errors(event: Any) -> Iterator[SerializableErrorInfo]:
    """What went wrong, and below it its causes."""
    error = getattr(event.event_specific_data, "error", None)
    step = getattr(event.event_specific_data, "first_step_failure_event", None)
    if step is not None and step.event_specific_data is not None:
        error = step.event_specific_data.error or error
    while error is not None:
        yield error
        error = error.cause


def _was_told_to_stop(event: Any) -> bool:
    """Whether the failure is a step's that was told to stop: by whom, its process cannot know."""
    step = getattr(event.event_specific_data, "first_step_failure_event", None)
    return step is not None and step.step_failure_data.error_source == ErrorSource.INTERRUPT


def _of_last_try(instance: dg.DagsterInstance, run_id: str) -> str:
    """Why a step of the run was last tried again: what stopped that try has mostly stopped the last."""
    tried = instance.get_records_for_run(
        run_id, of_type=dg.DagsterEventType.STEP_UP_FOR_RETRY, limit=1, ascending=False
    ).records
    return _why(tried[0].event_log_entry.get_dagster_event()) if tried else ""
