"""What is deleted, what is failed, and above all what is left alone; all of it from states."""

from __future__ import annotations

import uuid
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Literal

import pytest
from kubernetes.client import (
    CoreV1Event,
    V1Job,
    V1JobCondition,
    V1JobStatus,
    V1ObjectMeta,
    V1ObjectReference,
    V1Pod,
    V1PodCondition,
    V1PodStatus,
)

from mlops_assets.execution.reaping import RUN_ID, Patience, Plan, RunState, Seen, plan

if TYPE_CHECKING:
    from mlops_assets.execution.reaping import Deletion

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)
PATIENCE = Patience(start=timedelta(minutes=15), keep=timedelta(minutes=120))
RUN = str(uuid.UUID(int=1))
STEP = "dagster-step-" + "a" * 32
Status = Literal["starting", "under way", "ended"]
UNSCHEDULABLE = V1PodCondition(
    type="PodScheduled", status="False", reason="Unschedulable", message="0/3 nodes: Insufficient memory"
)


def ago(minutes: float) -> datetime:
    return NOW - timedelta(minutes=minutes)


@dataclass
class World:
    """A namespace and Dagster's runs; times are minutes before now."""

    jobs: list[V1Job] = field(default_factory=list)
    pods: list[V1Pod] = field(default_factory=list)
    events: list[CoreV1Event] = field(default_factory=list)
    runs: dict[str, RunState] = field(default_factory=dict)

    def run(self, status: Status, since: float, run_id: str = RUN) -> World:
        self.runs[run_id] = RunState(status, ago(since))
        return self

    def job(
        self, name: str, made: float, *, ended: float | None = None, condition: str = "Complete", **meta: Any
    ) -> World:
        end = (
            [V1JobCondition(type=condition, status="True", last_transition_time=ago(ended))]
            if ended
            else None
        )
        labels = {RUN_ID: RUN} | meta.pop("labels", {})
        metadata = V1ObjectMeta(
            name=name, uid=f"uid-{name}", creation_timestamp=ago(made), labels=labels, **meta
        )
        self.jobs.append(V1Job(metadata=metadata, status=V1JobStatus(conditions=end)))
        return self

    def pod(self, job: str, made: float, phase: str = "Running", **status: Any) -> World:
        name = f"{job}-xyz"
        labels = {RUN_ID: RUN, "job-name": job}
        metadata = V1ObjectMeta(name=name, uid=f"uid-{name}", creation_timestamp=ago(made), labels=labels)
        self.pods.append(V1Pod(metadata=metadata, status=V1PodStatus(phase=phase, **status)))
        return self

    def plan(self, patience: Patience = PATIENCE) -> Plan:
        return plan(Seen(self.jobs, self.pods, self.events), self.runs, NOW, patience)

    @property
    def deleted(self) -> list[str]:
        found = self.plan()
        assert not found.failures
        return [one.name for one in found.deletions]


RUN_JOB = f"dagster-run-{RUN}"


@pytest.mark.parametrize("name", [RUN_JOB, STEP, f"{STEP}-2"])
def test_what_still_runs_of_a_run_that_is_over_is_deleted(name: str) -> None:
    found = World().run("ended", 2).job(name, 30).pod(name, 30).plan()
    (one,) = found.deletions
    assert (one.kind, one.name, one.uid, one.why) == ("job", name, f"uid-{name}", f"run {RUN} has ended")
    assert World().run("ended", 2).job(name, 30).pod(name, 30, "Pending").deleted == [name]
    # It may be about to end by itself.
    assert World().run("ended", 0.5).job(name, 30).pod(name, 30).deleted == []


def test_what_runs_of_a_run_that_was_deleted_is_deleted() -> None:
    (one,) = World().job(STEP, 30).pod(STEP, 30).plan().deletions
    assert one.why == f"run {RUN} has been deleted"
    assert World().job(STEP, 0.5).deleted == []


@pytest.mark.parametrize("status", ["starting", "under way"])
def test_a_run_that_is_under_way_loses_nothing(status: Status) -> None:
    world = World().run(status, 600).job(RUN_JOB, 600).pod(RUN_JOB, 600)
    world.job(STEP, 590).pod(STEP, 590).job("dagster-step-" + "b" * 32, 590, ended=580)
    world.job("dagster-step-" + "c" * 32, 590).pod("dagster-step-" + "c" * 32, 590, "Pending")
    world.pod("dagster-step-" + "d" * 32, 590)  # its Job is gone
    assert world.deleted == []


def test_only_what_dagster_k8s_has_named_and_labelled_is_looked_at() -> None:
    world = World().run("ended", 60)
    for name in ("migrate", "dagster-step-1", "dagster-run-nightly", f"{STEP}-x", f"my-{STEP}"):
        world.job(name, 600).pod(name, 600).pod(f"{name}-gone", 600)
    world.job(STEP, 600)
    world.jobs[-1].metadata.labels = {}
    world.job(f"{STEP}-1", 600, deletion_timestamp=ago(1))  # on its way already
    assert world.deleted == []


def test_an_attempt_that_was_given_up_is_deleted_the_next_is_not() -> None:
    world = World().run("under way", 60).job(STEP, 60).pod(STEP, 60).job(f"{STEP}-1", 5).pod(f"{STEP}-1", 5)
    (one,) = world.plan().deletions
    assert (one.name, one.why) == (STEP, f"job {STEP}-1 tries the same again")
    assert World().run("under way", 60).job(STEP, 60).job(f"{STEP}-1", 0.5).deleted == []
    numbers = World().run("under way", 60).job(f"{STEP}-2", 9).job(f"{STEP}-10", 5)
    assert numbers.deleted == [f"{STEP}-2"]
    ended = World().run("under way", 60).job(STEP, 60, ended=6, condition="Failed").job(f"{STEP}-1", 5)
    assert ended.deleted == []


def test_a_job_that_is_over_stays_to_be_looked_at_for_a_while() -> None:
    assert World().run("ended", 130).job(STEP, 150, ended=119).deleted == []
    assert World().run("ended", 130).job(STEP, 150, ended=121).deleted == [STEP]
    assert World().run("under way", 200).job(STEP, 150, ended=121).deleted == []


def test_a_pod_without_its_job_is_deleted_when_its_run_is_over() -> None:
    (one,) = World().run("ended", 2).pod(STEP, 30).plan().deletions
    assert (one.kind, one.name) == ("pod", f"{STEP}-xyz")
    assert World().run("ended", 2).job(STEP, 30, ended=5).pod(STEP, 30).deleted == []
    assert World().run("ended", 2).pod(STEP, 30, "Succeeded").deleted == []
    assert World().run("ended", 2).pod(STEP, 130, "Succeeded").deleted == [f"{STEP}-xyz"]


def failure(world: World) -> tuple[str, Deletion | None]:
    found = world.plan()
    assert not found.deletions
    (one,) = found.failures
    assert one.run_id == RUN
    return one.why, one.job


def test_a_runs_pod_that_is_never_scheduled_fails_the_run() -> None:
    def waiting(minutes: float) -> World:
        world = World().run("starting", minutes).job(RUN_JOB, minutes)
        return world.pod(RUN_JOB, minutes, "Pending", conditions=[UNSCHEDULABLE])

    assert waiting(14).plan() == Plan()
    why, job = failure(waiting(16))
    assert "has not started within 960 s (Unschedulable: 0/3 nodes: Insufficient memory)" in why
    assert "What to do: no node has what it needs" in why
    assert job is not None
    assert (job.kind, job.name, job.uid) == ("job", RUN_JOB, f"uid-{RUN_JOB}")


def warning(reason: str, minutes: float, said: str = "") -> CoreV1Event:
    return CoreV1Event(
        metadata=V1ObjectMeta(),
        involved_object=V1ObjectReference(kind="Job", name=RUN_JOB),
        type="Warning",
        reason=reason,
        message=said,
        last_timestamp=ago(minutes),
    )


def test_a_runs_job_that_makes_no_pod_fails_the_run() -> None:
    refused = 'Error creating: pods "x" is forbidden: exceeded quota: pods'
    world = World().run("starting", 16).job(RUN_JOB, 16)
    world.events = [warning("Old", 9), warning("FailedCreate", 1, refused), warning("Older", 12)]
    why, _ = failure(world)
    assert f"has no pod after 960 s (FailedCreate: {refused})" in why
    assert "What to do: a quota or an admission rule" in why
    assert "kubectl describe job" in failure(World().run("starting", 16).job(RUN_JOB, 16))[0]
    assert World().run("starting", 14).job(RUN_JOB, 14).plan() == Plan()
    # Its pod was not in the list, or is being replaced: the Job knows of one.
    world.jobs[0].status.active = 1
    assert world.plan() == Plan()


def test_a_runs_pod_that_ended_before_the_run_began_fails_it_soon() -> None:
    world = World().run("starting", 5).job(RUN_JOB, 5, ended=2, condition="Failed")
    why, _ = failure(world.pod(RUN_JOB, 5, "Failed", reason="Evicted", message="low on memory"))
    assert "has failed (Evicted: low on memory)" in why
    silent = World().run("starting", 5).job(RUN_JOB, 5, ended=2, condition="Failed")
    assert "has ended without a word" in failure(silent)[0]
    # Its node is gone: the pod neither runs nor ends.
    lost = World().run("starting", 5).job(RUN_JOB, 5, ended=2, condition="FailureTarget").pod(RUN_JOB, 5)
    assert "has ended without a word" in failure(lost)[0]
    assert World().run("ended", 5).job(RUN_JOB, 5, ended=2, condition="FailureTarget").deleted == [RUN_JOB]
    fresh = World().run("starting", 5).job(RUN_JOB, 5, ended=0.5, condition="Failed")
    assert fresh.plan() == Plan()


def test_a_run_whose_job_is_gone_fails() -> None:
    assert failure(World().run("starting", 16))[0].startswith(f"the Job of run {RUN} is gone")
    assert World().run("starting", 14).plan() == Plan()
    assert World().run("under way", 600).plan() == Plan()  # run monitoring sees to that


def test_the_resumed_runs_pod_counts_and_not_the_first() -> None:
    world = World().run("starting", 20).job(RUN_JOB, 60, ended=20, condition="Failed")
    assert world.job(f"{RUN_JOB}-1", 5).pod(f"{RUN_JOB}-1", 5, "Pending").plan() == Plan()


def test_one_look_changes_only_so_much_and_says_what_is_left() -> None:
    world = World().run("ended", 5)
    for number in range(7):
        world.job(f"dagster-step-{number:032x}", 60 - number)
    other = str(uuid.UUID(int=2))
    world.run("starting", 20, other)
    few = Patience(PATIENCE.start, PATIENCE.keep, at_most=3)
    found = world.plan(few)
    assert [one.run_id for one in found.failures] == [other]
    assert [one.name for one in found.deletions] == [f"dagster-step-{number:032x}" for number in (0, 1)]
    assert found.left == 5
    for number in range(3, 7):
        world.run("starting", 20 + number, str(uuid.UUID(int=number)))
    found = world.plan(few)
    assert [uuid.UUID(one.run_id).int for one in found.failures] == [6, 5, 4]  # who waits longest, first
    assert (found.deletions, found.left) == ((), 9)
