"""Looks at Kubernetes and at Dagster's runs, and does what ``reaping.plan`` says: ``mlops reap``.

A process of its own, with an account of its own: sensors are evaluated where the projects' code is, and that
has no access to Kubernetes; and one that had to be started for each look would not start when no pod does.
"""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import dagster as dg
from dagster._core.errors import DagsterHomeNotSetError
from dagster._core.events import JobFailureData, RunFailureReason
from dagster._core.storage.dagster_run import FINISHED_STATUSES
from dagster._daemon.types import DaemonHeartbeat
from kubernetes.client import V1DeleteOptions, V1Preconditions
from kubernetes.client.rest import ApiException

from mlops_assets.execution.reaping import (
    HEARTBEAT,
    RUN_ID,
    SELECTOR,
    Failure,
    Patience,
    RunState,
    Seen,
    ended_at,
    plan,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Mapping

    from dagster._core.storage.dagster_run import RunRecord
    from dagster_k8s import K8sRunLauncher
    from kubernetes.client import BatchV1Api, CoreV1Api, V1Job, V1Pod

    from mlops_assets.execution.reaping import Deletion
    from mlops_assets.settings import Settings

LOGGER = logging.getLogger("mlops.reaper")
_PAGE = 500
_CALL_SECONDS, _LOOK_SECONDS = 10, 60
"""For one call to Kubernetes, and for the changes of one look: who looks for what hangs may not hang."""
_NOT_THERE, _ANOTHER = 404, 409


class NoKubernetesError(Exception):
    """Runs are not launched on Kubernetes."""


@dataclass
class Report:
    """What one look led to, in words, and what could not be done."""

    done: list[str] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)
    left: int = 0


class Reaper:
    """Fails runs whose pods do not come, and deletes what is left of runs that are over."""

    def __init__(self, instance: dg.DagsterInstance, patience: Patience) -> None:
        """Raise ``NoKubernetesError`` if ``instance`` launches runs elsewhere."""
        self._instance, self._patience = instance, patience
        launcher = _launcher(instance)
        self._namespace: str = launcher.job_namespace
        self._batch: BatchV1Api = launcher._api_client.batch_api  # noqa: SLF001 - it has found the cluster
        self._core: CoreV1Api = launcher._api_client.core_api  # noqa: SLF001 - the same

    def look(self, now: datetime | None = None) -> Report:
        """Look once, and act; raises what hinders it from seeing, and reports what one change met."""
        now = now or datetime.now(UTC)
        seen = self._seen()
        # After Kubernetes: the run of whatever was seen was in the database before.
        runs = self._runs({name for one in (*seen.jobs, *seen.pods) if (name := _run_of(one))})
        todo = plan(seen, runs, now, self._patience)
        report, end = Report(left=todo.left), time.monotonic() + _LOOK_SECONDS
        changes: list[Failure | Deletion] = [*todo.failures, *todo.deletions]
        for one in changes:
            if time.monotonic() > end:
                report.left += 1
            else:
                self._act(one, report)
        if not report.errors:
            beat = DaemonHeartbeat(time.time(), HEARTBEAT, self._namespace)
            self._instance.add_daemon_heartbeat(beat)
        return report

    def _act(self, one: Failure | Deletion, report: Report) -> None:
        try:
            if isinstance(one, Failure):
                self._fail(one)
            else:
                self._delete(one)
        except Exception as error:
            LOGGER.exception("could not do: %s", one.what)
            said = f"{type(error).__name__}: {error}"
            if isinstance(error, ApiException):
                said = f"Kubernetes answers {error.status} {error.reason}"
            report.errors.append(f"could not {one.what} ({one.why}): {said}")
        else:
            report.done.append(f"{one.what}: {one.why}")

    def _fail(self, failure: Failure) -> None:
        run = self._instance.get_run_by_id(failure.run_id)
        if run is not None and run.status == dg.DagsterRunStatus.STARTING:
            data = JobFailureData(error=None, failure_reason=RunFailureReason.START_TIMEOUT)
            self._instance.report_run_failed(run, failure.why, data)
            if failure.job is not None:
                self._delete(failure.job)

    def _delete(self, one: Deletion) -> None:
        body = V1DeleteOptions(
            propagation_policy="Background",  # a Job's pods go with it
            preconditions=V1Preconditions(uid=one.uid),
        )
        kinds = {"job": self._batch.delete_namespaced_job, "pod": self._core.delete_namespaced_pod}
        try:
            kinds[one.kind](one.name, self._namespace, body=body, _request_timeout=_CALL_SECONDS)
        except ApiException as error:
            if error.status not in (_NOT_THERE, _ANOTHER):
                raise

    def _seen(self) -> Seen:
        jobs: list[V1Job] = list(self._pages(self._batch.list_namespaced_job, label_selector=SELECTOR))
        pods: list[V1Pod] = list(self._pages(self._core.list_namespaced_pod, label_selector=SELECTOR))
        with_pods = {(pod.metadata.labels or {}).get("job-name") for pod in pods}
        if all(job.metadata.name in with_pods for job in jobs if ended_at(job) is None):
            return Seen(jobs, pods)
        warnings = "involvedObject.kind=Job,type=Warning"
        return Seen(jobs, pods, list(self._pages(self._core.list_namespaced_event, field_selector=warnings)))

    def _pages(self, call: Callable[..., Any], **selectors: str) -> Iterator[Any]:
        more: str | None = ""
        while more is not None:
            chosen = selectors | ({"_continue": more} if more else {})
            page = call(self._namespace, limit=_PAGE, _request_timeout=_CALL_SECONDS, **chosen)
            yield from page.items
            more = page.metadata._continue or None  # noqa: SLF001 - the client's name for "continue"

    def _runs(self, ids: Collection[str]) -> Mapping[str, RunState]:
        wanted = sorted(ids)
        starting = dg.RunsFilter(statuses=[dg.DagsterRunStatus.STARTING])
        records = list(self._instance.get_run_records(starting))
        for first in range(0, len(wanted), _PAGE):
            records += self._instance.get_run_records(dg.RunsFilter(run_ids=wanted[first : first + _PAGE]))
        return {record.dagster_run.run_id: _state(record) for record in records}


def cluster_instance() -> dg.DagsterInstance:
    """The instance of DAGSTER_HOME; raise ``NoKubernetesError`` if that is not set."""
    try:
        return dg.DagsterInstance.get()
    except DagsterHomeNotSetError as error:
        raise NoKubernetesError(
            "DAGSTER_HOME is not set: it is the folder whose dagster.yaml says where runs are launched"
        ) from error


def build_reaper(instance: dg.DagsterInstance, settings: Settings) -> Reaper:
    """The reaper, with the patience that ``settings`` say; see ``Reaper`` for what it raises."""
    start = timedelta(minutes=settings.kubernetes_start_minutes)
    return Reaper(instance, Patience(start, timedelta(minutes=settings.kubernetes_keep_minutes)))


def _state(record: RunRecord) -> RunState:
    """A run that starts has changed last when it was launched."""
    status = record.dagster_run.status
    changed = record.update_timestamp
    changed = changed if changed.tzinfo else changed.replace(tzinfo=UTC)
    if status in FINISHED_STATUSES:
        ended = datetime.fromtimestamp(record.end_time, UTC) if record.end_time else changed
        return RunState("ended", ended)
    return RunState("starting" if status == dg.DagsterRunStatus.STARTING else "under way", changed)


def _run_of(one: V1Job | V1Pod) -> str | None:
    name: str | None = (one.metadata.labels or {}).get(RUN_ID)
    return name


def _launcher(instance: dg.DagsterInstance) -> K8sRunLauncher:
    from dagster_k8s import K8sRunLauncher

    launcher = instance.run_launcher
    if not isinstance(launcher, K8sRunLauncher):
        raise NoKubernetesError(
            f"nothing to reap: the run_launcher here is {type(launcher).__name__}, which makes no Jobs; "
            "set DAGSTER_HOME to one whose dagster.yaml names dagster_k8s' K8sRunLauncher"
        )
    return launcher
