"""Dagster's daemon, but a lost run comes again however long its code location is away.

``python -m mlops_assets.platform.daemon run``, with the arguments of ``dagster-daemon run``.

Dagster's own follows events: it looks at a failed run once, as its failure is read. If the code location
cannot be loaded at that moment (it is being restarted, and with it went the run), or if the run's status is
not written yet, the run is never started again. This one looks at states, until each is settled.
"""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import dagster as dg
from dagster._core.storage.tags import AUTO_RETRY_RUN_ID_TAG, WILL_RETRY_TAG
from dagster._daemon import controller
from dagster._daemon.auto_run_reexecution.auto_run_reexecution import retry_run, should_retry
from dagster._daemon.auto_run_reexecution.event_log_consumer import EventLogConsumerDaemon

from mlops_assets.automation.retries import PATIENCE_SECONDS

if TYPE_CHECKING:
    import logging
    from collections.abc import Callable, Iterator, Sequence

    from dagster._core.storage.dagster_run import RunRecord
    from dagster._core.workspace.context import IWorkspaceProcessContext
    from dagster._daemon.daemon import DaemonIterator

    Context = IWorkspaceProcessContext[Any]
    Handler = Callable[[Context, Sequence[RunRecord], logging.Logger], Iterator[None]]


class RetryDaemon(EventLogConsumerDaemon):
    """Starts runs that failed for no fault of their own again, as ``run_retries`` says."""

    def __init__(self) -> None:
        super().__init__()
        self._told_of: set[str] = set()
        self._settled: set[str] = set()
        self._waiting_since: dict[str, float] = {}

    @property
    def handle_updated_runs_fns(self) -> Sequence[Handler]:
        """What Dagster calls with the runs of new events."""
        return [self._hear]

    def _hear(
        self, _context: Context, records: Sequence[RunRecord], _logger: logging.Logger
    ) -> Iterator[None]:
        self._told_of |= {record.dagster_run.run_id for record in records}
        yield

    def run_iteration(self, workspace_process_context: Context) -> DaemonIterator:
        """Look at the runs that events tell of, however old, and at all that failed lately."""
        yield from super().run_iteration(workspace_process_context)
        instance = workspace_process_context.instance
        since = datetime.now(UTC) - timedelta(seconds=2 * PATIENCE_SECONDS)
        failed = [dg.DagsterRunStatus.FAILURE]
        lately = instance.get_runs(dg.RunsFilter(statuses=failed, updated_after=since))
        told_of = (
            instance.get_runs(dg.RunsFilter(list(self._told_of), statuses=failed)) if self._told_of else []
        )
        runs = {run.run_id: run for run in (*lately, *told_of)}
        self._settled &= runs.keys()
        for run in runs.values():
            yield None
            if run.run_id not in self._settled and self._settle(workspace_process_context, run):
                self._settled.add(run.run_id)
                self._waiting_since.pop(run.run_id, None)
        self._told_of &= self._waiting_since.keys()

    def _settle(self, context: Context, run: dg.DagsterRun) -> bool:
        """Start the run again if that is due; False if it has to be looked at once more."""
        if _has_come_again(context.instance, run) or not should_retry(run, context.instance):
            return True
        try:
            retry_run(run, context)
        except Exception as error:  # noqa: BLE001 - whatever keeps the code location from being loaded
            return self._waited_long_enough(context.instance, run, error)
        return True

    def _waited_long_enough(self, instance: dg.DagsterInstance, run: dg.DagsterRun, error: Exception) -> bool:
        """Whether the run is given up; its log says so, and when the waiting began."""
        why = str(error).partition("\n")[0]
        self._logger.debug("Run %s cannot be started again: %s", run.run_id, why)
        now = time.monotonic()
        since = self._waiting_since.setdefault(run.run_id, now)
        if now - since > PATIENCE_SECONDS:
            said = f"The run is not started again: {PATIENCE_SECONDS} s long that was not possible"
            instance.add_run_tags(run.run_id, {WILL_RETRY_TAG: "false"})
        elif now == since:
            said = f"The run cannot be started again yet; that is tried for {PATIENCE_SECONDS} s"
        else:
            return False
        self._logger.warning("%s: %s (run %s)", said, why, run.run_id)
        instance.report_engine_event(f"{said}: {why}", run)
        return now != since


def _has_come_again(instance: dg.DagsterInstance, run: dg.DagsterRun) -> bool:
    """Whether its next try was handed over: one that was only made was cut off there, and is not."""
    made = run.tags.get(AUTO_RETRY_RUN_ID_TAG)
    again = instance.get_run_by_id(made) if made else None
    return again is not None and again.status != dg.DagsterRunStatus.NOT_STARTED


def install() -> None:
    """Let Dagster's daemon use ``RetryDaemon``; ``RuntimeError`` if this Dagster has no place for it."""
    if not hasattr(controller, EventLogConsumerDaemon.__name__):
        raise RuntimeError(
            "This Dagster's daemon starts runs again in another way: install the locked version."
        )
    setattr(controller, EventLogConsumerDaemon.__name__, RetryDaemon)


def main() -> None:
    """Become the daemon; never returns."""
    from dagster._daemon.cli import cli

    install()
    cli()


if __name__ == "__main__":
    main()
