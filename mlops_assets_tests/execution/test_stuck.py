"""A pod that does not get on is told of with its cause and the remedy."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from kubernetes.client import (
    V1ContainerState,
    V1ContainerStateTerminated,
    V1ContainerStateWaiting,
    V1ContainerStatus,
    V1ObjectMeta,
    V1Pod,
    V1PodCondition,
    V1PodStatus,
)

from mlops_assets.execution.refusals import Refusal
from mlops_assets.execution.stuck import never_started, remedy_in, why_ended, why_waiting

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)
PATIENCE = timedelta(minutes=15)


def pod(minutes_old: float, phase: str = "Pending", *, name: str = "step-1", **status: object) -> V1Pod:
    made = NOW - timedelta(minutes=minutes_old)
    return V1Pod(
        metadata=V1ObjectMeta(name=name, creation_timestamp=made),
        status=V1PodStatus(phase=phase, **status),
    )


def container(state: V1ContainerState) -> list[V1ContainerStatus]:
    return [
        V1ContainerStatus(name="c", image="i", image_id="", ready=False, restart_count=0, state=state),
    ]


def test_no_node_has_what_it_needs() -> None:
    condition = V1PodCondition(
        type="PodScheduled", status="False", reason="Unschedulable", message="0/3 nodes: Insufficient gpu"
    )
    assert why_waiting([pod(14, conditions=[condition])], NOW, PATIENCE) is None
    why = why_waiting([pod(16, conditions=[condition])], NOW, PATIENCE)
    assert why is not None
    assert "960 s (Unschedulable: 0/3 nodes: Insufficient gpu)" in why
    assert "add nodes" in why


def test_an_image_that_never_comes() -> None:
    waiting = V1ContainerState(
        waiting=V1ContainerStateWaiting(reason="ImagePullBackOff", message="not found")
    )
    why = why_waiting([pod(20, container_statuses=container(waiting))], NOW, PATIENCE)
    assert why is not None
    assert "ImagePullBackOff: not found" in why
    assert "pull secret" in why


def test_a_pod_that_runs_or_that_replaces_an_old_one_is_let_be() -> None:
    assert why_waiting([pod(60, "Running")], NOW, PATIENCE) is None
    assert why_waiting([pod(60, name="old"), pod(1, name="new")], NOW, PATIENCE) is None
    assert why_waiting([], NOW, PATIENCE) is None


def test_out_of_memory_and_eviction_say_so() -> None:
    killed = V1ContainerState(terminated=V1ContainerStateTerminated(exit_code=137, reason="OOMKilled"))
    oom = why_ended([pod(5, "Failed", container_statuses=container(killed))])
    assert oom is not None
    assert "status 137 (OOMKilled)" in oom
    assert "Needs.memory" in oom
    evicted = why_ended([pod(5, "Failed", reason="Evicted", message="low on disk")])
    assert evicted is not None
    assert "Evicted: low on disk" in evicted
    assert why_ended([pod(5, "Running")]) is None


def test_what_to_do_is_found_again_in_what_dagster_makes_of_it() -> None:
    waiting = V1ContainerState(waiting=V1ContainerStateWaiting(reason="InvalidImageName", message="no\nsuch"))
    why = why_waiting([pod(20, container_statuses=container(waiting))], NOW, PATIENCE)
    assert why is not None
    assert "(InvalidImageName: no such)" in why
    text = f"Execution of run failed. Steps failed: ['a'].\nStep a failed health check: {why}\nand more"
    seen, remedy = remedy_in(text)
    assert remedy == "correct the image's name"
    assert seen == text.replace(" What to do: correct the image's name", "")
    assert remedy_in("plain\ntext") == ("plain\ntext", "")
    assert never_started(text)
    assert never_started(f"Kubernetes has not taken job x for 900 s {Refusal(429, 'TooManyRequests', '')}")
    assert not never_started(why_ended([pod(5, "Failed", reason="Evicted")]) or "")
