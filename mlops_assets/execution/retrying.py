"""Try a step again when what it ran on has failed, and never when its code has.

Dagster's ``RetryPolicy`` cannot tell the two apart: an op that has one is tried again after any error. Here
steps have none, so that an error of the code fails the step at once; and the executor, which sees how the
step's process ended, tries again what the code did not cause:

- the process is gone without a word (node lost, OOM-killed, pod deleted): the health check finds it;
- the process was told to stop (eviction, preemption, a drained node) and says so as it ends.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

from dagster._core.errors import DagsterExecutionInterruptedError
from dagster._core.events import DagsterEvent, DagsterEventType
from dagster._core.execution.plan.objects import ErrorSource, StepRetryData
from dagster._core.executor.step_delegating import StepDelegatingExecutor
from dagster_shared.error import SerializableErrorInfo

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from dagster import DagsterInstance
    from dagster._core.execution.context.system import IStepContext, PlanOrchestrationContext
    from dagster._core.execution.plan.plan import ExecutionPlan
    from dagster._core.execution.plan.state import KnownExecutionState

FIRST_WAIT_SECONDS = 10
_ENDS = (
    DagsterEventType.STEP_SUCCESS,
    DagsterEventType.STEP_FAILURE,
    DagsterEventType.STEP_UP_FOR_RETRY,
)
"""One of each attempt of a step."""
_STOPPED = {DagsterExecutionInterruptedError.__name__, KeyboardInterrupt.__name__}


class RetryingExecutor(StepDelegatingExecutor):
    """Dagster's executor of steps in processes elsewhere; tries each ``step_retries`` times again.

    ``why_stopped``: what is known of why a step, by its key, was told to stop.
    """

    def __init__(
        self,
        *arguments: Any,
        step_retries: int,
        why_stopped: Callable[[str], str | None] = lambda _: None,
        **options: Any,
    ) -> None:
        # Dagster's verification counts attempts in a way of its own, and a process that it takes for one too
        # many ends without a word and with status 0: the step is then in progress for ever.
        super().__init__(*arguments, **(options | {"should_verify_step": False}))
        self._step_retries = step_retries
        self._why_stopped = why_stopped
        self._tried_again: Counter[str] = Counter()
        self._already_handed_over: Counter[str] = Counter()
        self._ends_read: Counter[str] = Counter()

    def execute(
        self, plan_context: PlanOrchestrationContext, execution_plan: ExecutionPlan
    ) -> Iterator[DagsterEvent]:
        """See ``Executor.execute``."""
        self._plan_context = plan_context
        self._plan = execution_plan
        yield from super().execute(plan_context, execution_plan)

    def log_failure_or_retry_event_after_error(
        self, step_context: IStepContext, err_info: SerializableErrorInfo, known_state: KnownExecutionState
    ) -> DagsterEvent:
        """Called by Dagster when a step's process is gone: what becomes of the step."""
        if (told := self._unread_end(step_context.step.key)) is not None:
            return told
        if self._may_try_again(step_context.step.key):
            return self._try_again(step_context, err_info)
        return super().log_failure_or_retry_event_after_error(step_context, err_info, known_state)

    def _pop_events(
        self, instance: DagsterInstance, run_id: str, seen_storage_ids: set[int]
    ) -> Sequence[DagsterEvent]:
        """What the steps have reported; that one was told to stop becomes that it is tried again."""
        found: list[DagsterEvent] = []
        for event in super()._pop_events(instance, run_id, seen_storage_ids):
            step = str(event.step_key)
            self._ends_read[step] += event.event_type in _ENDS
            if event.is_step_up_for_retry and self._already_handed_over[step]:
                self._already_handed_over[step] -= 1
            elif _was_told_to_stop(event) and self._may_try_again(step):
                context = self._plan_context.for_step(self._plan.get_executable_step_by_key(step))
                # Both in one: between the two, a health check would find the process gone, and count twice.
                found.append(self._try_again(context, event.step_failure_data.error))  # type: ignore[arg-type]
                self._already_handed_over[step] += 1
            else:
                found.append(event)
        return found

    def _unread_end(self, step: str) -> DagsterEvent | None:
        """The end that the step has reported in its last moments, if it is in the log and not read yet."""
        records = self._plan_context.instance.get_records_for_run(
            self._plan_context.run_id, of_type=set(_ENDS), limit=10_000
        ).records
        logged = (record.event_log_entry.dagster_event for record in records)
        ends = [event for event in logged if event is not None and event.step_key == step]
        return ends[-1] if len(ends) > self._ends_read[step] else None

    def _may_try_again(self, step: str) -> bool:
        return not self.retries.disabled and self._tried_again[step] < self._step_retries

    def _try_again(self, context: IStepContext, error: SerializableErrorInfo) -> DagsterEvent:
        step = context.step.key
        self._tried_again[step] += 1
        wait = FIRST_WAIT_SECONDS * 2 ** (self._tried_again[step] - 1)
        data = StepRetryData(error=self._with_reason(step, error), seconds_to_wait=wait)  # type: ignore[no-untyped-call]
        return DagsterEvent.step_retry_event(context, data)

    def _with_reason(self, step: str, error: SerializableErrorInfo) -> SerializableErrorInfo:
        """``error`` below why the step was told to stop, which it cannot know itself."""
        if error.cls_name is None or (why := self._why_stopped(step)) is None:
            return error  # none: a health check's, which has the reason
        return SerializableErrorInfo(message=f"{why}\n", stack=[], cls_name=None, cause=error)


def _was_told_to_stop(event: DagsterEvent) -> bool:
    """Whether the step ended because of a signal: to the step itself, or to a library's loop below it."""
    if not event.is_step_failure:
        return False
    data = event.step_failure_data
    return data.error_source == ErrorSource.INTERRUPT or (
        data.error is not None and data.error.cls_name in _STOPPED
    )
