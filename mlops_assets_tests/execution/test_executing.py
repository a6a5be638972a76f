"""A step over several nodes is as its first pod is; the others say only why they wait."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from kubernetes.client import V1ObjectMeta, V1Pod, V1PodStatus

from mlops_assets.execution.executing import by_node, executing, may_still_report

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)


def pod(name: str, index: int | None, phase: str = "Running", *, ends_in: float | None = None) -> V1Pod:
    labels = None if index is None else {"batch.kubernetes.io/job-completion-index": str(index)}
    ends = None if ends_in is None else NOW + timedelta(seconds=ends_in)
    return V1Pod(
        metadata=V1ObjectMeta(name=name, labels=labels, deletion_timestamp=ends),
        status=V1PodStatus(phase=phase),
    )


def names(pods: list[V1Pod]) -> list[str]:
    return [pod.metadata.name for pod in pods]


def test_the_first_pod_executes_the_step() -> None:
    pods = [pod("b", 1, "Succeeded"), pod("a", 0), pod("c", 10)]
    assert names(executing(pods)) == ["a"]
    assert [names(of_one) for of_one in by_node(pods)] == [["a"], ["b"], ["c"]]
    alone = [pod("old", None, "Failed"), pod("new", None)]
    assert executing(alone) == alone
    assert by_node(alone) == [alone]


def test_a_step_whose_job_has_failed_is_waited_for_while_its_own_pod_may_report() -> None:
    evicted = pod("b", 1, "Failed")
    assert may_still_report([pod("a", 0), evicted], NOW)
    assert may_still_report([pod("a", 0, ends_in=20), evicted], NOW)
    assert may_still_report([pod("alone", None, ends_in=20)], NOW)
    assert not may_still_report([pod("a", 0, ends_in=-60), evicted], NOW)  # its machine is lost, too
    assert not may_still_report([pod("a", 0, "Failed"), pod("b", 1)], NOW)
    assert not may_still_report([pod("a", 0, "Pending"), evicted], NOW)
    assert not may_still_report([evicted], NOW)
