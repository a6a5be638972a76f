"""The Job controller: from a Job to its pods, and from how they end to how the Job ends."""

from __future__ import annotations

import copy
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from mlops_assets_tests.kube.faults import SAID
from mlops_assets_tests.kube.objects import now, suffix

if TYPE_CHECKING:
    from collections.abc import Iterable

    from mlops_assets_tests.kube.faults import PodFault
    from mlops_assets_tests.kube.objects import Object, Objects

INDEX = "batch.kubernetes.io/job-completion-index"
BACKOFF_SECONDS = 10.0
_FROM_LABEL = {"fieldRef": {"fieldPath": f"metadata.labels['{INDEX}']"}}


@dataclass(frozen=True)
class Verdict:
    """How a Job ends: ``condition`` is that which is set while its last pods are still ending."""

    condition: str
    reason: str
    message: str

    @property
    def final(self) -> str:
        return "Complete" if self.condition == "SuccessCriteriaMet" else "Failed"


@dataclass
class Seen:
    """What the controller knows of one Job; pods by uid, each with its completion index."""

    started: float = field(default_factory=time.monotonic)
    pods: dict[str, int] = field(default_factory=dict)
    failed: set[str] = field(default_factory=set)
    succeeded: set[str] = field(default_factory=set)
    not_before: float = 0.0
    forbidden: bool | None = None
    verdict: Verdict | None = None
    ended: bool = False

    def look(self, pods: list[Object]) -> None:
        """Count pods that have ended. One that was deleted, or is gone, counts as failed."""
        present = {pod["metadata"]["uid"] for pod in pods}
        self.pods |= {pod["metadata"]["uid"]: index_of(pod) for pod in pods}
        for pod in pods:
            phase, uid = pod["status"]["phase"], pod["metadata"]["uid"]
            if phase == "Succeeded" and uid not in self.failed:
                self.succeeded.add(uid)
            elif phase == "Failed" or "deletionTimestamp" in pod["metadata"]:
                self._fail(uid)
        for uid in self.pods.keys() - present:
            self._fail(uid)

    def done(self) -> set[int]:
        """The completion indexes that have succeeded."""
        return {self.pods[uid] for uid in self.succeeded}

    def _fail(self, uid: str) -> None:
        if uid not in self.failed | self.succeeded:
            self.failed.add(uid)
            self.not_before = time.monotonic() + BACKOFF_SECONDS * 2 ** (len(self.failed) - 1)


class JobController:
    """``tick`` brings all Jobs a step further."""

    def __init__(self, objects: Objects, faults: list[PodFault]) -> None:
        self._objects = objects
        self._faults = faults
        self._seen: dict[str, Seen] = {}

    def tick(self) -> None:
        """Look at all Jobs once."""
        for job in self._objects.find("jobs"):
            if "deletionTimestamp" not in job["metadata"]:
                self._sync(job)

    def _sync(self, job: Object) -> None:
        seen = self._seen.setdefault(job["metadata"]["uid"], Seen())
        if seen.ended:
            return
        pods = [pod for pod in self._objects.find("pods") if _is_controlled(pod, job)]
        seen.look(pods)
        active = [pod for pod in pods if _is_active(pod)]
        seen.verdict = seen.verdict or verdict(job, seen)
        if seen.verdict is None:
            if not self._is_forbidden(job, seen):
                active += [self._create(job, seen, index) for index in missing(job, seen, active)]
        else:
            for pod in active:
                self._objects.delete("pods", pod["metadata"]["namespace"], pod["metadata"]["name"])
            seen.look(pods)
            active = []
            seen.ended = all(pod["status"]["phase"] in ("Succeeded", "Failed") for pod in pods)
        self._tell(job, seen, active)

    def _is_forbidden(self, job: Object, seen: Seen) -> bool:
        """Whether the Job may not make pods: then nothing tells of it but an event."""
        if seen.forbidden is None:
            fault = next(
                (f for f in self._faults if f.what == "uncreated" and f.is_for(pod_of(job, 0))), None
            )
            seen.forbidden = fault is not None
            if fault is not None:
                fault.take(job)
                self._warn(job, "FailedCreate", f"Error creating: {SAID['uncreated']}")
        return seen.forbidden

    def _warn(self, job: Object, reason: str, message: str) -> None:
        meta = job["metadata"]
        told = {"type": "Warning", "reason": reason, "message": message, "lastTimestamp": now()}
        about = {"kind": "Job", "namespace": meta["namespace"], "name": meta["name"], "uid": meta["uid"]}
        event = {"metadata": {"generateName": f"{meta['name'][:50]}."}, "involvedObject": about, **told}
        self._objects.create("events", meta["namespace"], event)

    def _create(self, job: Object, seen: Seen, index: int) -> Object:
        pod = pod_of(job, index)
        made = self._objects.create("pods", job["metadata"]["namespace"], pod)
        seen.pods[made["metadata"]["uid"]] = index
        return made

    def _tell(self, job: Object, seen: Seen, active: list[Object]) -> None:
        old = job.get("status", {})
        counts = {"active": len(active), "succeeded": len(seen.succeeded), "failed": len(seen.failed)}
        status = {"startTime": old.get("startTime") or now()} | {k: n for k, n in counts.items() if n}
        conditions = list(old.get("conditions", []))
        if seen.verdict:
            _add(conditions, seen.verdict.condition, seen.verdict)
        if seen.verdict and seen.ended:
            _add(conditions, seen.verdict.final, seen.verdict)
            if seen.verdict.final == "Complete":
                status["completionTime"] = now()
        if conditions:
            status["conditions"] = conditions
        if job["spec"].get("completionMode") == "Indexed" and seen.done():
            status["completedIndexes"] = ",".join(map(str, sorted(seen.done())))
        if status != old:
            job["status"] = status
            self._objects.touch(job)


def verdict(job: Object, seen: Seen) -> Verdict | None:
    """How the Job ends, if that is decided."""
    spec = job["spec"]
    if len(seen.failed) > spec.get("backoffLimit", 6):
        return Verdict("FailureTarget", "BackoffLimitExceeded", "Job has reached the specified backoff limit")
    deadline = spec.get("activeDeadlineSeconds")
    if deadline is not None and time.monotonic() - seen.started >= deadline:
        return Verdict("FailureTarget", "DeadlineExceeded", "Job was active longer than specified deadline")
    if any(_meets(rule, seen.done()) for rule in spec.get("successPolicy", {}).get("rules", [])):
        return Verdict("SuccessCriteriaMet", "SuccessPolicy", "Matched rules at index 0")
    indexed = spec.get("completionMode") == "Indexed"
    wanted = spec.get("completions") or 1
    if (len(seen.done()) if indexed else len(seen.succeeded)) >= wanted:
        return Verdict(
            "SuccessCriteriaMet", "CompletionsReached", "Reached expected number of succeeded pods"
        )
    return None


def missing(job: Object, seen: Seen, active: list[Object]) -> Iterable[int]:
    """The completion indexes that a pod must be made for now (0 where a Job is not Indexed)."""
    if time.monotonic() < seen.not_before:
        return []
    spec = job["spec"]
    parallelism, completions = spec.get("parallelism", 1), spec.get("completions") or 1
    if spec.get("completionMode") != "Indexed":
        wanted = min(parallelism, completions - len(seen.succeeded))
        return [0] * (wanted - len(active))
    taken = seen.done() | {index_of(pod) for pod in active}
    return [i for i in range(completions) if i not in taken][: parallelism - len(active)]


def pod_of(job: Object, index: int) -> Object:
    """A new pod of the Job, as its template says."""
    meta, template = job["metadata"], copy.deepcopy(job["spec"]["template"])
    labels = {
        "job-name": meta["name"],
        "batch.kubernetes.io/job-name": meta["name"],
        "controller-uid": meta["uid"],
        "batch.kubernetes.io/controller-uid": meta["uid"],
    }
    spec, name = template["spec"], meta["name"]
    annotations = dict(template.get("metadata", {}).get("annotations") or {})
    if job["spec"].get("completionMode") == "Indexed":
        labels[INDEX] = annotations[INDEX] = str(index)
        name = spec["hostname"] = f"{meta['name']}-{index}"
        for container in spec["containers"]:
            container["env"] = [
                *(container.get("env") or []),
                {"name": "JOB_COMPLETION_INDEX", "valueFrom": _FROM_LABEL},
            ]
    owner = {"apiVersion": "batch/v1", "kind": "Job", "name": meta["name"], "uid": meta["uid"]}
    return {
        "metadata": {
            "name": f"{name[:57]}-{suffix()}",
            "labels": {**(template.get("metadata", {}).get("labels") or {}), **labels},
            "annotations": annotations,
            "ownerReferences": [{**owner, "controller": True, "blockOwnerDeletion": True}],
        },
        "spec": spec,
        "status": {"phase": "Pending"},
    }


def index_of(pod: Object) -> int:
    """The pod's completion index; 0 where its Job is not Indexed."""
    return int(pod["metadata"]["labels"].get(INDEX, 0))


def _meets(rule: Object, done: set[int]) -> bool:
    """Whether a rule of a success policy holds."""
    if "succeededIndexes" not in rule:
        return len(done) >= rule["succeededCount"]
    named: set[int] = set()
    for part in rule["succeededIndexes"].split(","):
        first, _, last = part.partition("-")
        named |= set(range(int(first), int(last or first) + 1))
    return len(named & done) >= rule.get("succeededCount", len(named))


def _add(conditions: list[Object], kind: str, why: Verdict) -> None:
    if all(condition["type"] != kind for condition in conditions):
        at = now()
        conditions.append(
            {
                "type": kind,
                "status": "True",
                "reason": why.reason,
                "message": why.message,
                "lastProbeTime": at,
                "lastTransitionTime": at,
            }
        )


def _is_controlled(pod: Object, job: Object) -> bool:
    owners = pod["metadata"].get("ownerReferences") or []
    return any(owner["uid"] == job["metadata"]["uid"] and owner.get("controller") for owner in owners)


def _is_active(pod: Object) -> bool:
    return pod["status"]["phase"] in ("Pending", "Running") and "deletionTimestamp" not in pod["metadata"]
