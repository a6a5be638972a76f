"""A run that its machines have failed is told of with what Kubernetes said of them, and what to do."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from dagster._core.events import DagsterEvent, JobFailureData
from dagster._core.execution.plan.objects import ErrorSource, StepFailureData, StepRetryData
from dagster._core.storage.dagster_run import DagsterRunStatus
from dagster._core.test_utils import create_run_for_test
from dagster_shared.error import SerializableErrorInfo

from mlops_assets_tests.alerts.world import Recorder, alerting

if TYPE_CHECKING:
    import dagster as dg
    import sqlalchemy as sa

EVICTED = "pod p has failed (Evicted: low on memory). What to do: raise Needs.memory"


def event(kind: str, data: Any) -> DagsterEvent:
    return DagsterEvent(kind, job_name="training", step_key="train", event_specific_data=data)


def stopped() -> SerializableErrorInfo:
    return SerializableErrorInfo("DagsterExecutionInterruptedError\n", [], "DagsterExecutionInterruptedError")


def test_a_step_that_was_told_to_stop_once_too_often_is_told_of_with_who_stopped_it(
    engine: sa.Engine, instance: dg.DagsterInstance
) -> None:
    hook = Recorder()
    world = alerting(engine, instance, {"webhook": hook})
    run = create_run_for_test(instance, "training", status=DagsterRunStatus.STARTED)
    again: Any = StepRetryData(SerializableErrorInfo(EVICTED, [], None, cause=stopped()), 10)  # type: ignore[no-untyped-call]
    instance.report_dagster_event(event("STEP_UP_FOR_RETRY", again), run.run_id)
    world.run()
    assert hook.taken == []  # it is tried again, and needs nobody
    ended: Any = StepFailureData(stopped(), None, ErrorSource.INTERRUPT)  # type: ignore[no-untyped-call]
    failed = event("STEP_FAILURE", ended)
    instance.report_run_failed(run, "Steps failed.", JobFailureData(None, first_step_failure_event=failed))
    world.run()
    (told,) = hook.taken
    assert told.seen.startswith("Steps failed.\nDagsterExecutionInterruptedError\nThe try before: ")
    assert "pod p has failed (Evicted: low on memory)." in told.seen
    assert told.remedy.startswith("raise Needs.memory; open the run in Dagster")
