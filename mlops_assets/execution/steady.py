# ruff: noqa: SLF001 - dagster-k8s offers no other way to its step handler; the version is locked
"""Steps through an API that does not always answer: the run goes on, and no pod is left behind.

dagster-k8s asks again after some errors and some only: a Job that the API refuses for once (429: too many
requests), or that is there already, ends the run, and with it steps that have nothing to do with it. It
deletes a Job in three requests, and leaves it running if one of them fails.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from dagster._core.events import DagsterEvent, EngineEventData
from dagster._core.executor.step_delegating import CheckStepHealthResult, StepHandler

from mlops_assets.execution.refusals import API_ERRORS, refusal
from mlops_assets.execution.stopped import why_gone, why_job_is_over, why_stopped
from mlops_assets.execution.stuck import NO_JOB

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from datetime import timedelta

    from dagster._core.executor.step_delegating import StepHandlerContext
    from dagster_k8s.executor import K8sStepHandler
    from kubernetes.client import V1Pod

TRIES, WAIT_SECONDS = 3, 2.0
"""How often a Job's deletion is asked for, and how long after a refusal."""


class SteadySteps(StepHandler):
    """``steps``, which run as Jobs of ``handler``; one that the API refuses may wait for ``patience``."""

    def __init__(self, steps: StepHandler, handler: K8sStepHandler, patience: timedelta) -> None:
        super().__init__()
        self._steps = steps
        self._handler = handler
        self._client = handler._api_client
        self._patience = patience.total_seconds()
        self._jobs: dict[str, tuple[str, str]] = {}
        self._refused: dict[str, float] = {}

    @property
    def name(self) -> str:
        return "SteadySteps"

    def launch_step(self, step_handler_context: StepHandlerContext) -> Iterator[DagsterEvent]:
        """Create the step's Job; if the API refuses, the next health checks ask again, or say why not."""
        step, job, _ = self._names(step_handler_context)
        self._refused.pop(step, None)
        try:
            yield from self._steps.launch_step(step_handler_context)
        except API_ERRORS as error:
            why = refusal(error)
            if not why.exists:  # if it does, an earlier request has made it: a Job is one attempt of one step
                self._refused[step] = time.monotonic()
                _tell(step_handler_context, step, f"{NO_JOB} {job} {why}")

    def check_step_health(self, step_handler_context: StepHandlerContext) -> CheckStepHealthResult:
        """Whether the step's Job gets on; it is created now if it was refused before."""
        step, job, namespace = self._names(step_handler_context)
        if step in self._refused:
            return self._launch_again(step_handler_context, step, job)
        health = self._steps.check_step_health(step_handler_context)
        if health.is_healthy:
            return health
        why = self._why(job, namespace, self._client.get_pods_in_job(job, namespace))
        return CheckStepHealthResult.unhealthy(why) if why else health

    def terminate_step(self, step_handler_context: StepHandlerContext) -> Iterator[DagsterEvent]:
        """Delete the step's Job, and its pods with it, also one that is only being made; never raises for it.

        Other steps are to be ended, too. What is left here goes with the run's pod, which owns it.
        """
        step, job, namespace = self._names(step_handler_context)
        yield _tell(step_handler_context, step, f"Deleting Kubernetes job {job} for step")
        for remaining in reversed(range(TRIES)):
            try:
                self._client.batch_api.delete_namespaced_job(job, namespace, propagation_policy="Background")
            except API_ERRORS as error:
                why = refusal(error)
                if why.status == 404:
                    return
                if not remaining:
                    yield _tell(step_handler_context, step, f"job {job} could not be deleted {why}")
                    return
                time.sleep(WAIT_SECONDS)
            else:
                return

    def why_stopped(self, step: str) -> str | None:
        """Why Kubernetes has told the step's pod to stop, as far as it says; None if it does not."""
        if step not in self._jobs:
            return None
        job, namespace = self._jobs[step]
        try:
            pods = self._client.get_pods_in_job(job, namespace)
            return self._why(job, namespace, pods) or why_stopped(pods)
        except API_ERRORS:
            return None  # the step is tried again all the same

    def _why(self, job: str, namespace: str, pods: Sequence[V1Pod]) -> str | None:
        status = self._client.get_job_status(job, namespace)
        return why_job_is_over(job, status) or (why_gone(job) if status and not pods else None)

    def _launch_again(self, context: StepHandlerContext, step: str, job: str) -> CheckStepHealthResult:
        try:
            list(self._steps.launch_step(context))
        except API_ERRORS as error:
            why = refusal(error)
            waited = time.monotonic() - self._refused[step]
            if not why.exists and (waited >= self._patience or not why.may_pass):
                del self._refused[step]
                return CheckStepHealthResult.unhealthy(f"{NO_JOB} {job} for {int(waited)} s {why}")
            if not why.exists:
                return CheckStepHealthResult.healthy()
        del self._refused[step]
        return CheckStepHealthResult.healthy()

    def _names(self, context: StepHandlerContext) -> tuple[str, str, str]:
        """The step, its attempt's Job, and the namespace."""
        step = self._handler._get_step_key(context)
        job = self._handler._get_k8s_step_job_name(context)
        namespace = str(self._handler._get_container_context(context).namespace)
        self._jobs[step] = job, namespace
        return step, job, namespace


def _tell(context: StepHandlerContext, step: str, message: str) -> DagsterEvent:
    return DagsterEvent.engine_event(context.get_step_context(step), message, EngineEventData())
