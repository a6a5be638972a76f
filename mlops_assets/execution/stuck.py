"""Why a step's pod does not get on, and since when: what Kubernetes says of it, in words that help."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime, timedelta

    from kubernetes.client import V1ContainerStatus, V1Pod

_REMEDIES = {
    "ErrImagePull": "check the image's name and the pull secret",
    "ImagePullBackOff": "check the image's name and the pull secret",
    "InvalidImageName": "correct the image's name",
    "CreateContainerConfigError": "a ConfigMap or Secret that the pod names is missing",
    "OOMKilled": "give the stage more memory (Needs.memory in the project)",
    "Evicted": "the node ran short of something; if often: raise Needs.memory or Needs.scratch",
    "DeadlineExceeded": "it took longer than its time limit (Needs.time_limit in the project)",
    "Unschedulable": "no node has what it needs: add nodes, or ask for less (Needs in the project)",
}


def why_waiting(pods: Sequence[V1Pod], now: datetime, patience: timedelta) -> str | None:
    """Why the newest pod has not started after ``patience``; None if it has, or still may.

    ``now``: with a time zone.
    """
    if not pods:
        return None
    pod = max(pods, key=lambda pod: pod.metadata.creation_timestamp)
    waited = now - pod.metadata.creation_timestamp
    if pod.status.phase != "Pending" or waited < patience:
        return None
    reason, said = _waiting_reason(pod)
    return _sentence(pod, f"has not started within {int(waited.total_seconds())} s", reason, said)


def why_ended(pods: Sequence[V1Pod]) -> str | None:
    """How the newest pod that failed has ended; None if Kubernetes does not say."""
    failed = [pod for pod in pods if pod.status.phase == "Failed"]
    if not failed:
        return None
    pod = max(failed, key=lambda pod: pod.metadata.creation_timestamp)
    if pod.status.reason:
        return _sentence(pod, "has failed", pod.status.reason, pod.status.message or "")
    for container in _containers(pod):
        ended = container.state.terminated if container.state else None
        if ended is not None and ended.exit_code:
            return _sentence(pod, f"has ended with status {ended.exit_code}", ended.reason or "", "")
    return None


def _waiting_reason(pod: V1Pod) -> tuple[str, str]:
    for container in _containers(pod):
        waiting = container.state.waiting if container.state else None
        if waiting is not None and waiting.reason not in (None, "ContainerCreating", "PodInitializing"):
            return waiting.reason, waiting.message or ""
    for condition in pod.status.conditions or []:
        if condition.type == "PodScheduled" and condition.status == "False":
            return condition.reason or "Unschedulable", condition.message or ""
    return "", ""


def _containers(pod: V1Pod) -> list[V1ContainerStatus]:
    return [*(pod.status.init_container_statuses or []), *(pod.status.container_statuses or [])]


def _sentence(pod: V1Pod, what: str, reason: str, said: str) -> str:
    remedy = _REMEDIES.get(reason, f"kubectl describe pod {pod.metadata.name}")
    details = ": ".join(part for part in (reason, said) if part)
    return f"pod {pod.metadata.name} {what}{f' ({details})' if details else ''}: {remedy}"
