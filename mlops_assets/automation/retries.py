"""Runs that Dagster starts again by itself, because their process was lost."""

from __future__ import annotations

import time

import dagster as dg
from dagster._core.events import RunFailureReason
from dagster._core.execution.retries import auto_reexecution_should_retry_run
from dagster._core.storage.tags import ROOT_RUN_ID_TAG, RUN_FAILURE_REASON_TAG, WILL_RETRY_TAG

PATIENCE_SECONDS = 600


def will_retry(instance: dg.DagsterInstance, run: dg.DagsterRun) -> bool:
    """Whether Dagster starts the run, which failed, again. It tags the run just after the failure."""
    if WILL_RETRY_TAG in run.tags:
        return run.tags[WILL_RETRY_TAG].lower() == "true"
    if run.status != dg.DagsterRunStatus.FAILURE or not instance.run_retries_enabled:
        return False
    reason = run.tags.get(RUN_FAILURE_REASON_TAG)
    return bool(
        auto_reexecution_should_retry_run(instance, run, RunFailureReason(reason) if reason else None)
    )


def comes_again(instance: dg.DagsterInstance, run: dg.DagsterRun) -> bool:
    """``will_retry``, but not for ever: whoever starts runs again may be switched off."""
    record = instance.get_run_record_by_id(run.run_id)
    ended = record.end_time if record else None
    return will_retry(instance, run) and (ended is None or time.time() - ended < PATIENCE_SECONDS)


def newest_try(instance: dg.DagsterInstance, run_id: str) -> dg.DagsterRun | None:
    """The newest of the runs that did the work of ``run_id`` again; that run itself if none did."""
    again = instance.get_runs(dg.RunsFilter(tags={ROOT_RUN_ID_TAG: run_id}), limit=1)
    return again[0] if again else instance.get_run_by_id(run_id)
