"""Why a pod does not get on, and since when: what Kubernetes says of it, in words that help.

Each sentence ends with ``REMEDY`` and what to do, which ``remedy_in`` finds again: it goes through Dagster's
event log as text, and an alert shows the two apart.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime, timedelta

    from kubernetes.client import CoreV1Event, V1ContainerStatus, V1Job, V1Pod

REMEDY = "What to do: "
_NEVER_STARTED = "has not started within"
_NO_POD = "has no pod after"
NO_JOB = "Kubernetes has not taken job"
_FAILED = ("Failed", "FailureTarget")

_REMEDIES = {
    "ErrImagePull": "check the image's name and the pull secret",
    "ImagePullBackOff": "check the image's name and the pull secret",
    "InvalidImageName": "correct the image's name",
    "CreateContainerConfigError": "a ConfigMap or Secret that the pod names is missing",
    "OOMKilled": "give the stage more memory (Needs.memory in the project)",
    "Evicted": "the node ran short of something; if often: raise Needs.memory or Needs.scratch",
    "DeadlineExceeded": "it took longer than its time limit (Needs.time_limit in the project)",
    "Unschedulable": "no node has what it needs: add nodes, or ask for less (Needs in the project)",
    "BackoffLimitExceeded": "its pod is gone, with its node perhaps: kubectl get nodes",
    "FailedCreate": "a quota or an admission rule refuses the pod: change what the reason names",
}


def why_waiting(pods: Sequence[V1Pod], now: datetime, patience: timedelta) -> str | None:
    """Why the newest pod has not started after ``patience``; None if it has, still may, or there is none.

    ``now``: with a time zone.
    """
    if not pods:
        return None
    pod = max(pods, key=lambda pod: pod.metadata.creation_timestamp)
    waited = now - pod.metadata.creation_timestamp
    if pod.status.phase != "Pending" or waited < patience:
        return None
    reason, said = _waiting_reason(pod)
    return _of_pod(pod, f"{_NEVER_STARTED} {int(waited.total_seconds())} s", reason, said)


def why_without_pod(
    job: V1Job, events: Sequence[CoreV1Event], now: datetime, patience: timedelta
) -> str | None:
    """Why ``job``, of which no pod is found, has made none after ``patience``; None if it has, or still may.

    ``events``: Kubernetes', of this Job and maybe others; the reason is in none of the Job's own fields.
    """
    name, waited = job.metadata.name, now - job.metadata.creation_timestamp
    if waited < patience or _had_pods(job):
        return None
    warned = [one for one in events if one.involved_object.name == name and one.type == "Warning"]
    newest = max(warned, key=_when, default=None)
    reason, said = (newest.reason or "", newest.message or "") if newest else ("", "")
    return _sentence("job", name, f"{_NO_POD} {int(waited.total_seconds())} s", reason, said)


def why_ended(pods: Sequence[V1Pod]) -> str | None:
    """How the newest pod that failed has ended; None if Kubernetes does not say."""
    failed = [pod for pod in pods if pod.status.phase == "Failed"]
    if not failed:
        return None
    pod = max(failed, key=lambda pod: pod.metadata.creation_timestamp)
    if pod.status.reason:
        return _of_pod(pod, "has failed", pod.status.reason, pod.status.message or "")
    for container in _containers(pod):
        ended = container.state.terminated if container.state else None
        if ended is not None and ended.exit_code:
            return _of_pod(pod, f"has ended with status {ended.exit_code}", ended.reason or "", "")
    return None


def why_job_ended(job: V1Job, pods: Sequence[V1Pod]) -> str:
    """How ``job``, which is over, came to its end, when whoever it ran for has heard nothing."""
    found = why_ended(pods)
    if found is not None:
        return found
    failed = [one for one in (job.status and job.status.conditions) or [] if one.type in _FAILED]
    reason, said = (failed[0].reason or "", failed[0].message or "") if failed else ("", "")
    return _sentence("job", job.metadata.name, "has ended without a word", reason, said)


def remedy_in(text: str) -> tuple[str, str]:
    """``text`` without its remedies, and these; the latter empty where it names none."""
    lines = [line.partition(REMEDY) for line in text.splitlines()]
    remedies = dict.fromkeys(after.strip() for _, mark, after in lines if mark)
    return "\n".join(before.rstrip() for before, _, _ in lines), "; ".join(remedies)


def never_started(text: str) -> bool:
    """Whether ``text`` tells of a pod that did not come: trying again alone will hardly bring it."""
    return REMEDY in text and any(words in text for words in (_NEVER_STARTED, _NO_POD, NO_JOB))


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


def _had_pods(job: V1Job) -> bool:
    return bool(job.status and (job.status.active or job.status.succeeded or job.status.failed))


def _when(event: CoreV1Event) -> float:
    at = event.last_timestamp or event.event_time or event.metadata.creation_timestamp
    return float(at.timestamp()) if at else 0.0


def _of_pod(pod: V1Pod, what: str, reason: str, said: str) -> str:
    return _sentence("pod", pod.metadata.name, what, reason, said)


def _sentence(kind: str, name: str, what: str, reason: str, said: str) -> str:
    """One line, whatever Kubernetes said."""
    remedy = _REMEDIES.get(reason, f"kubectl describe {kind} {name}")
    details = " ".join(": ".join(part for part in (reason, said) if part).split())
    return f"{kind} {name} {what}{f' ({details})' if details else ''}. {REMEDY}{remedy}"
