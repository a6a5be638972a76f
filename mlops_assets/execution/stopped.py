"""Why Kubernetes has told a step to stop: what its Job and its pod say of it, in words that help."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mlops_assets.execution.stuck import REMEDY

if TYPE_CHECKING:
    from collections.abc import Sequence

    from kubernetes.client import V1JobStatus, V1Pod

_SHORT = "if often: raise Needs.memory or Needs.scratch in the project; the node ran short of something"
_REMEDIES = {
    "TerminationByKubelet": _SHORT,
    "Evicted": _SHORT,
    "PreemptionByScheduler": "nothing, if seldom; else add nodes, or give steps a higher priority",
    "EvictionByEvictionAPI": "nothing: its node is being drained",
    "DeletionByTaintManager": "look at its node, which is out of order or set apart",
    "DeletionByPodGC": "look at its node, which is gone",
}


def why_job_is_over(name: str, status: V1JobStatus | None) -> str | None:
    """That the Job's time limit is over; None if that is not it.

    Kubernetes deletes the pods of such a Job, so that only the Job itself still tells.
    """
    for condition in (status and status.conditions) or []:
        if condition.reason == "DeadlineExceeded":
            return (
                f"job {name} was ended (DeadlineExceeded: {condition.message}). "
                f"{REMEDY}give the stage more time (Needs.time_limit in the project)"
            )
    return None


def why_gone(name: str) -> str:
    """For a Job that is there, and whose pod is not: what Kubernetes keeps of it is but an event."""
    return (
        f"the pod of job {name} is gone: it was deleted or preempted, or its node was drained or lost. "
        f"{REMEDY}nothing, if seldom; else see kubectl get events, and whether nodes are out of order"
    )


def why_stopped(pods: Sequence[V1Pod]) -> str | None:
    """Why the newest pod was taken from its node; None if no pod says."""
    for pod in sorted(pods, key=lambda pod: pod.metadata.creation_timestamp, reverse=True):
        for condition in pod.status.conditions or []:
            if condition.type == "DisruptionTarget" and condition.status == "True":
                remedy = _REMEDIES.get(condition.reason, f"kubectl describe pod {pod.metadata.name}")
                said = ": ".join(part for part in (condition.reason, condition.message) if part)
                return f"pod {pod.metadata.name} was told to stop ({said}). {REMEDY}{remedy}"
    return None
