"""What of Dagster's Jobs and pods is to be deleted, and which runs are to be failed: pure, from states alone.

Nothing is remembered from one look to the next, so that a look can be repeated, or missed, at no cost. What
has only just changed is left alone: whoever is at it may be about to finish.
"""

from __future__ import annotations

import re
from collections import defaultdict
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING, Literal

from mlops_assets.execution.stuck import REMEDY, why_job_ended, why_waiting, why_without_pod

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from datetime import datetime

    from kubernetes.client import CoreV1Event, V1Job, V1Pod

HEARTBEAT = "REAPER"
"""The name under which the reaper's heart beats, beside those of Dagster's daemon."""

RUN_ID = "dagster/run-id"
SELECTOR = f"app.kubernetes.io/part-of=dagster,mlops/role=run,{RUN_ID}"
"""Labels of what the run launcher and the executor make. ``mlops/role`` tells it from another Dagster's."""

OVER = ("Complete", "Failed")
DECIDED = (*OVER, "FailureTarget")
"""A Job that has failed is over when its last pod has ended: never, if that was on a node that is gone."""

_NAME = re.compile(r"(?P<work>dagster-step-[0-9a-f]{32}|dagster-run-[0-9a-f-]{36})(-(?P<attempt>\d+))?")


@dataclass(frozen=True)
class Patience:
    """``start``: until a run's pod has started. ``settle``: until what is over has ended by itself.

    ``keep``: how long a Job that is over stays to be looked at. ``at_most``: changes in one look.
    """

    start: timedelta
    keep: timedelta
    settle: timedelta = timedelta(minutes=1)
    at_most: int = 50


@dataclass(frozen=True)
class RunState:
    """Where a run is, and since when (with a time zone)."""

    status: Literal["starting", "under way", "ended"]
    since: datetime


@dataclass(frozen=True)
class Seen:
    """What was found in the namespace under ``SELECTOR``; ``events``: warnings about Jobs."""

    jobs: Sequence[V1Job]
    pods: Sequence[V1Pod]
    events: Sequence[CoreV1Event] = ()


@dataclass(frozen=True)
class Deletion:
    """One Job, with its pods, or one pod that has no Job. ``uid``: that one, and no later one of its name."""

    kind: Literal["job", "pod"]
    name: str
    uid: str
    why: str

    @property
    def what(self) -> str:
        return f"delete {self.kind} {self.name}"


@dataclass(frozen=True)
class Failure:
    """A run that will not start by itself, why, and the Job that is then of no use."""

    run_id: str
    why: str
    job: Deletion | None = None

    @property
    def what(self) -> str:
        return f"fail run {self.run_id}"


@dataclass(frozen=True)
class Plan:
    """What is to be done now; ``left``: how much more there is, for the next look."""

    failures: Sequence[Failure] = ()
    deletions: Sequence[Deletion] = ()
    left: int = 0


@dataclass(frozen=True)
class _Look:
    """One look at everything."""

    seen: Seen
    runs: Mapping[str, RunState]
    now: datetime
    patience: Patience
    pods_of: dict[str, list[V1Pod]] = field(default_factory=lambda: defaultdict(list))
    newest: dict[str, tuple[int, V1Job]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for pod in self.seen.pods:
            self.pods_of[_job_of(pod)].append(pod)
        for job in self.seen.jobs:
            work, attempt = _work(job.metadata.name)
            if work and (work not in self.newest or self.newest[work][0] < attempt):
                self.newest[work] = (attempt, job)

    def long_ago(self, at: datetime, patience: timedelta) -> bool:
        return self.now - at >= patience

    def is_over(self, run_id: str, at_least_since: datetime) -> str | None:
        """Why nothing needs to run for the run any more, as far as that has settled; else None."""
        run = self.runs.get(run_id)
        since = at_least_since if run is None else run.since
        if (run is not None and run.status != "ended") or not self.long_ago(since, self.patience.settle):
            return None
        return f"run {run_id} {'has been deleted' if run is None else 'has ended'}"


def plan(seen: Seen, runs: Mapping[str, RunState], now: datetime, patience: Patience) -> Plan:
    """What to do about what is ``seen``.

    ``runs``: those that the Jobs and pods belong to, and all that are starting, read after ``seen`` was; a
    run that is not among them has been deleted. ``now``: with a time zone.
    """
    look = _Look(seen, runs, now, patience)
    failures = sorted(_failures(look), key=lambda one: runs[one.run_id].since)
    deletions = [*_jobs(look), *_pods(look)]
    todo = len(failures) + len(deletions)
    failures = failures[: patience.at_most]
    deletions = deletions[: patience.at_most - len(failures)]
    return Plan(tuple(failures), tuple(deletions), todo - len(failures) - len(deletions))


def _failures(look: _Look) -> Iterator[Failure]:
    """Runs that were launched and whose pod has not begun: of these nobody else knows why."""
    for run_id, run in look.runs.items():
        if run.status != "starting":
            continue
        found = look.newest.get(f"dagster-run-{run_id}")
        if found is None:
            if look.long_ago(run.since, look.patience.start):
                yield Failure(run_id, f"the Job of run {run_id} is gone. {REMEDY}run it again")
        elif (why := _why_not_begun(look, found[1])) is not None:
            yield Failure(run_id, why, _deletion(found[1], "its run has not begun"))


def _why_not_begun(look: _Look, job: V1Job) -> str | None:
    pods = look.pods_of[job.metadata.name]
    ended = ended_at(job, *DECIDED)
    if ended is not None:
        return why_job_ended(job, pods) if look.long_ago(ended, look.patience.settle) else None
    if not pods:
        return why_without_pod(job, look.seen.events, look.now, look.patience.start)
    return why_waiting(pods, look.now, look.patience.start)


def _jobs(look: _Look) -> Iterator[Deletion]:
    for job in sorted(look.seen.jobs, key=lambda job: job.metadata.creation_timestamp):
        why = _why_delete(look, job)
        if why is not None:
            yield _deletion(job, why)


def _why_delete(look: _Look, job: V1Job) -> str | None:
    run_id, (work, attempt) = job.metadata.labels.get(RUN_ID), _work(job.metadata.name)
    if run_id is None or work is None or job.metadata.deletion_timestamp is not None:
        return None
    over, ended = look.is_over(run_id, job.metadata.creation_timestamp), ended_at(job)
    if ended is not None:
        return over if over and look.long_ago(ended, look.patience.keep) else None
    if over is not None:
        return over
    newest, successor = look.newest[work]
    made = successor.metadata.creation_timestamp
    if attempt < newest and look.long_ago(made, look.patience.settle):
        return f"job {successor.metadata.name} tries the same again"
    return None


def _pods(look: _Look) -> Iterator[Deletion]:
    """Pods whose Job is gone: dagster-k8s deletes a Job first, and its pods in calls of their own."""
    jobs = {job.metadata.name for job in look.seen.jobs}
    for pod in sorted(look.seen.pods, key=lambda pod: pod.metadata.creation_timestamp):
        run_id, name = pod.metadata.labels.get(RUN_ID), _job_of(pod)
        if (
            run_id is None
            or name in jobs
            or not _work(name)[0]
            or pod.metadata.deletion_timestamp is not None
        ):
            continue
        made = pod.metadata.creation_timestamp
        over = look.is_over(run_id, made)
        keep = pod.status.phase in ("Succeeded", "Failed") and not look.long_ago(made, look.patience.keep)
        if over and not keep:
            yield Deletion("pod", pod.metadata.name, pod.metadata.uid, over)


def _deletion(job: V1Job, why: str) -> Deletion:
    return Deletion("job", job.metadata.name, job.metadata.uid, why)


def _work(name: str) -> tuple[str, int] | tuple[None, int]:
    """The step or run that a Job of this name is for, and which attempt it is; None: not dagster-k8s's."""
    found = _NAME.fullmatch(name)
    return (found["work"], int(found["attempt"] or 0)) if found else (None, 0)


def _job_of(pod: V1Pod) -> str:
    return str((pod.metadata.labels or {}).get("job-name", ""))


def ended_at(job: V1Job, *conditions: str) -> datetime | None:
    """When the Job was over, as ``conditions`` (``OVER``, if none are named) have it; None: it is not."""
    for condition in (job.status and job.status.conditions) or []:
        if condition.type in (conditions or OVER) and condition.status == "True":
            return job.status.completion_time or condition.last_transition_time or _made(job)
    return None


def _made(job: V1Job) -> datetime:
    made: datetime = job.metadata.creation_timestamp
    return made
