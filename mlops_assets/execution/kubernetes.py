# ruff: noqa: SLF001 - dagster-k8s offers no other way to its step handler; the version is locked
"""The executor of ``MLOPS_EXECUTOR=kubernetes``: dagster-k8s's, each step a pod, that does not hang.

dagster-k8s waits for ever for a pod that never starts, and says of a failed one only that it failed.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, cast

import dagster as dg
from dagster._core.executor.step_delegating import CheckStepHealthResult, StepHandler
from dagster_k8s import k8s_job_executor

from mlops_assets.execution.retrying import RetryingExecutor
from mlops_assets.execution.steady import SteadySteps
from mlops_assets.execution.stuck import why_ended, why_waiting, why_without_pod

if TYPE_CHECKING:
    from collections.abc import Iterator

    from dagster._core.events import DagsterEvent
    from dagster._core.executor.step_delegating import StepDelegatingExecutor, StepHandlerContext
    from dagster_k8s.executor import K8sStepHandler

    from mlops_assets.settings import Settings

CHECK_SECONDS = 20
"""How often a step's Job and pod are looked at."""


class StepPods(StepHandler):
    """``handler``, and it ends pods that have not started after ``patience``, and says why others failed."""

    def __init__(self, handler: K8sStepHandler, patience: timedelta) -> None:
        super().__init__()
        self._handler = handler
        self._patience = patience
        self._ended_well: set[str] = set()

    @property
    def name(self) -> str:
        return "StepPods"

    def launch_step(self, step_handler_context: StepHandlerContext) -> Iterator[DagsterEvent]:
        """Create the step's Job."""
        return self._handler.launch_step(step_handler_context)

    def terminate_step(self, step_handler_context: StepHandlerContext) -> Iterator[DagsterEvent]:
        """Delete the step's Job and pods."""
        return self._handler.terminate_step(step_handler_context)

    def check_step_health(self, step_handler_context: StepHandlerContext) -> CheckStepHealthResult:
        """Whether the step's Job gets on."""
        health = self._handler.check_step_health(step_handler_context)
        job = self._handler._get_k8s_step_job_name(step_handler_context)
        namespace = self._handler._get_container_context(step_handler_context).namespace
        pods = self._handler._api_client.get_pods_in_job(job, namespace)
        if not health.is_healthy:
            why = why_ended(pods)
            return CheckStepHealthResult.unhealthy(why) if why else health
        now = datetime.now(UTC)
        why = why_waiting(pods, now, self._patience) if pods else self._why_without_pod(job, namespace, now)
        if why is not None:
            self._handler._api_client.delete_job(job, namespace)
            return CheckStepHealthResult.unhealthy(why)
        if any(pod.status.phase == "Succeeded" for pod in pods):
            # Its last events may still be on their way; at the next check they must be here.
            if job in self._ended_well:
                return CheckStepHealthResult.unhealthy(
                    f"job {job} has ended, but its step has reported no end"
                )
            self._ended_well.add(job)
        return health

    def _why_without_pod(self, name: str, namespace: str | None, now: datetime) -> str | None:
        """Of a Job whose pods Kubernetes refuses to make, nothing ever fails, and nothing waits."""
        client = self._handler._api_client
        job = client.batch_api.read_namespaced_job_status(name, namespace)
        if why_without_pod(job, (), now, self._patience) is None:
            return None
        return why_without_pod(job, client.retrieve_pod_events(name, namespace), now, self._patience)


def build_kubernetes_executor(settings: Settings) -> dg.ExecutorDefinition:
    """The executor, with what ``settings`` say of patience and retries. Contacts nothing."""

    @dg.executor(  # type: ignore[call-overload,untyped-decorator]  # the schema is resolved already
        name="kubernetes",
        config_schema=k8s_job_executor.config_schema,
        requirements=dg.multiple_process_executor_requirements(),
    )
    def kubernetes(context: dg.InitExecutorContext) -> RetryingExecutor:
        made = cast("StepDelegatingExecutor", k8s_job_executor.executor_creation_fn(context))  # type: ignore[misc]
        patience = timedelta(minutes=settings.kubernetes_start_minutes)
        handler = cast("K8sStepHandler", made._step_handler)
        steps = SteadySteps(StepPods(handler, patience), handler, patience)
        return RetryingExecutor(
            steps,
            retries=made.retries,
            max_concurrent=made._max_concurrent,
            tag_concurrency_limits=made._tag_concurrency_limits,
            step_dependency_config=made.step_dependency_config,
            step_retries=settings.step_retries,
            check_step_health_interval_seconds=CHECK_SECONDS,
            why_stopped=steps.why_stopped,
        )

    # A run's pod that is deleted takes the pods of its steps with it: none is left to run for nobody.
    config: dict[str, Any] = {"enable_owner_references": True}
    if settings.kubernetes_step_account is not None:
        config |= {
            "service_account_name": settings.kubernetes_step_account,
            # Runs create pods; steps, which execute the projects' code, need no access to Kubernetes.
            "step_k8s_config": {"pod_spec_config": {"automount_service_account_token": False}},
        }
    return cast("dg.ExecutorDefinition", kubernetes.configured(config, "kubernetes"))
