"""What to do wrong on purpose: to pods, by their labels, and to requests, by what they ask for."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from mlops_assets_tests.kube.objects import Object

What = Literal["uncreated", "unschedulable", "image", "oom", "evict", "preempt", "lost"]
SAID = {
    "uncreated": "pods is forbidden: exceeded quota: compute, requested: pods=1",
    "unschedulable": "0/1 nodes are available: 1 Insufficient memory.",
    "image": 'Back-off pulling image "{image}"',
    "evict": "The node was low on resource: memory. Threshold quantity: 100Mi, available: 20Mi.",
    "preempt": "Preempted by a more important pod",
}


@dataclass
class PodFault:
    """Happens to the next ``times`` pods that have ``labels``; to one that runs, ``after`` so many seconds.

    ``uncreated``: its Job is not allowed to make it. ``unschedulable``, ``image``: it never starts. ``oom``:
    it is killed. ``evict``: its node is short of something; it is told to stop, and stays as failed.
    ``preempt``: it is told to stop, and is gone. ``lost``: process and pod are gone at once, with their node.
    ``when`` can hold back what happens to a pod that runs. ``happened``: names of pods, or of the Job.
    """

    what: What
    labels: Mapping[str, str] = field(default_factory=dict)
    times: int = 1
    after: float = 0.0
    when: Callable[[Object], bool] = lambda _: True
    grace: float | None = None
    happened: list[str] = field(default_factory=list)

    def is_for(self, pod: Object) -> bool:
        """Whether it happens to this pod, too."""
        labels = pod["metadata"].get("labels") or {}
        return self.times > 0 and self.labels.items() <= labels.items()

    def take(self, victim: Object) -> None:
        """It happens to this one."""
        self.times -= 1
        self.happened.append(victim["metadata"]["name"])


@dataclass
class RequestFault:
    """Answers ``times`` matching requests wrongly, after ``skip`` that it lets pass.

    ``verb`` and ``path`` (a part of it) say which; ``about`` is a part of the path or of the body.
    ``status``, ``reason`` and ``message``: those of the answer; no status resets the connection. ``done``: do
    what was asked for, all the same. ``happened``: what was asked for.
    """

    verb: str
    path: str = ""
    about: str = ""
    status: int | None = None
    reason: str = ""
    message: str = "on purpose"
    times: int = 1
    skip: int = 0
    retry_after: int | None = None
    done: bool = False
    happened: list[str] = field(default_factory=list)

    def is_for(self, verb: str, path: str, body: bytes) -> bool:
        """Whether it happens to this request, which is counted."""
        if self.times <= 0 or verb != self.verb or self.path not in path:
            return False
        if self.about not in path and self.about.encode() not in body:
            return False
        if self.skip > 0:
            self.skip -= 1
            return False
        self.times -= 1
        self.happened.append(f"{verb} {path}")
        return True
