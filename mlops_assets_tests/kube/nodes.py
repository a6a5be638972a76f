"""Scheduler and kubelet: pods find a node, and run on it as processes of this machine."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from mlops_assets_tests.kube.containers import Container
from mlops_assets_tests.kube.environment import ConfigError, command, environment
from mlops_assets_tests.kube.faults import SAID
from mlops_assets_tests.kube.objects import now

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from mlops_assets_tests.kube.faults import PodFault
    from mlops_assets_tests.kube.objects import Object, Objects


@dataclass(frozen=True)
class Node:
    """A machine of the cluster, as the scheduler sees it."""

    name: str = "node-1"
    gpus: int = 0
    labels: Mapping[str, str] = field(default_factory=dict)


@dataclass
class Life:
    """One pod from its making to its end, which is kept when the pod is gone. Times: ``time.monotonic``."""

    pod: Object
    log: Path
    fault: PodFault | None = None
    container: Container | None = None
    made: float = field(default_factory=time.monotonic)
    started: float | None = None
    ended: float | None = None
    exit_code: int | None = None
    end: dict[str, str] = field(default_factory=dict)


class Nodes:
    """``tick`` brings all pods a step further."""

    def __init__(
        self, objects: Objects, nodes: Sequence[Node], folder: Path, image: Mapping[str, str], *, warm: bool
    ) -> None:
        self._objects = objects
        self._nodes = nodes
        self._folder = folder
        self._image = image
        self._warm = warm
        self.lives: dict[str, Life] = {}
        self.faults: list[PodFault] = []

    def tick(self) -> bool:
        """Look at all pods once; whether any has a process."""
        present = self._objects.find("pods")
        for pod in present:
            self._sync(self._life(pod), pod)
        uids = {pod["metadata"]["uid"] for pod in present}
        for uid, life in self.lives.items():
            if uid not in uids and life.container and life.ended is None:
                life.container.stop(0)
                self._ended(life)
        return any(life.container and life.ended is None for life in self.lives.values())

    def kill_all(self) -> None:
        """End every process, and wait until none is left."""
        while self.tick():
            for life in self.lives.values():
                if life.container:
                    life.container.stop(0)
            time.sleep(0.02)

    def _life(self, pod: Object) -> Life:
        uid = pod["metadata"]["uid"]
        if uid not in self.lives:
            life = Life(pod, self._folder / f"{pod['metadata']['name']}.log")
            life.log.touch()
            faults = (fault for fault in self.faults if fault.what != "uncreated" and fault.is_for(pod))
            if life_fault := next(faults, None):
                life_fault.take(pod)
                life.fault = life_fault
            self.lives[uid] = life
        return self.lives[uid]

    def _sync(self, life: Life, pod: Object) -> None:
        leaving = "deletionTimestamp" in pod["metadata"]
        if life.container is None:
            if leaving:
                self._objects.remove(pod)
            elif pod["status"]["phase"] == "Pending" and self._schedule(life, pod):
                self._start(life, pod)
            return
        if leaving and life.ended is None:
            life.container.stop(pod["metadata"]["deletionGracePeriodSeconds"])
        if life.ended is None and not self._ended(life):
            self._disturb(life, pod)
        if life.ended is not None and pod["status"]["phase"] == "Running":
            self._report_end(life, pod)
        if leaving and life.ended is not None:
            self._objects.remove(pod)

    def _schedule(self, life: Life, pod: Object) -> bool:
        if pod["spec"].get("nodeName"):
            return True
        why_not = []
        if life.fault and life.fault.what == "unschedulable":
            why_not = [SAID["unschedulable"]]
        else:
            for node in self._nodes:
                if (why := self._why_not(pod, node)) is None:
                    pod["spec"]["nodeName"] = node.name
                    self._condition(pod, "PodScheduled", "True")
                    return True
                why_not.append(why)
        said = (
            why_not[0] if life.fault else f"0/{len(self._nodes)} nodes are available: {', '.join(why_not)}."
        )
        self._condition(pod, "PodScheduled", "False", "Unschedulable", said)
        return False

    def _why_not(self, pod: Object, node: Node) -> str | None:
        if not (pod["spec"].get("nodeSelector") or {}).items() <= dict(node.labels).items():
            return "1 node(s) didn't match Pod's node affinity/selector"
        for resource, wanted in gpus(pod).items():
            taken = sum(
                gpus(other).get(resource, 0)
                for other in self._objects.find("pods")
                if other["spec"].get("nodeName") == node.name
                and other["status"]["phase"] in ("Pending", "Running")
            )
            if wanted > node.gpus - taken:
                return f"1 Insufficient {resource}"
        return None

    def _start(self, life: Life, pod: Object) -> None:
        (container, *_) = pod["spec"]["containers"]
        if life.fault and life.fault.what == "image":
            said = SAID["image"].format(image=container.get("image"))
            self._wait(pod, "ImagePullBackOff", said)
            return
        uid = pod["metadata"]["uid"]
        home = self._folder / uid
        home.mkdir(exist_ok=True)
        try:
            env = environment(pod, {**self._image, "HOME": str(home)}, self._objects)
            words = command(container, env)
            life.container = Container(words, env, home, life.log, warm=self._warm)
        except ConfigError as error:
            self._wait(pod, "CreateContainerConfigError", str(error))
            return
        life.started = time.monotonic()
        pod["status"] |= {"phase": "Running", "startTime": now(), "podIP": "127.0.0.1"}
        self._container(pod, {"running": {"startedAt": now()}}, ready=True)

    def _disturb(self, life: Life, pod: Object) -> None:
        fault = life.fault
        if fault is None or life.container is None or life.end or life.started is None:
            return
        if time.monotonic() - life.started < fault.after or not fault.when(pod):
            return
        grace = pod["spec"].get("terminationGracePeriodSeconds", 30) if fault.grace is None else fault.grace
        match fault.what:
            case "oom":
                life.end = {"container": "OOMKilled"}
                life.container.stop(0)
            case "evict":
                life.end = {"phase": "Failed", "reason": "Evicted", "message": SAID["evict"]}
                self._condition(pod, "DisruptionTarget", "True", "TerminationByKubelet", SAID["evict"])
                life.container.stop(grace)
            case "preempt":
                life.end = {"reason": ""}
                self._condition(pod, "DisruptionTarget", "True", "PreemptionByScheduler", SAID["preempt"])
                meta = pod["metadata"]
                self._objects.delete("pods", meta["namespace"], meta["name"], grace=grace)
            case "lost":
                life.end = {"reason": ""}
                self._objects.remove(pod)

    def _ended(self, life: Life) -> bool:
        code = life.container.poll() if life.container else None
        if code is not None:
            life.ended, life.exit_code = time.monotonic(), code
        return code is not None

    def _report_end(self, life: Life, pod: Object) -> None:
        code = life.exit_code or 0
        reason = life.end.get("container") or ("Error" if code else "Completed")
        ended = {"exitCode": code, "reason": reason, "finishedAt": now()}
        self._container(pod, {"terminated": ended}, ready=False)
        pod["status"]["phase"] = life.end.get("phase") or ("Failed" if code else "Succeeded")
        pod["status"] |= {name: life.end[name] for name in ("reason", "message") if life.end.get(name)}
        self._objects.touch(pod)

    def _wait(self, pod: Object, reason: str, message: str) -> None:
        self._container(pod, {"waiting": {"reason": reason, "message": message}}, ready=False)

    def _container(self, pod: Object, state: dict[str, Any], *, ready: bool) -> None:
        (container, *_) = pod["spec"]["containers"]
        told = {
            "name": container["name"],
            "image": container.get("image", ""),
            "imageID": "",
            "ready": ready,
            "restartCount": 0,
            "state": state,
        }
        if pod["status"].get("containerStatuses") != [told]:
            pod["status"]["containerStatuses"] = [told]
            self._condition(pod, "Ready", "True" if ready else "False")
            self._objects.touch(pod)

    def _condition(self, pod: Object, kind: str, status: str, reason: str = "", message: str = "") -> None:
        said = {name: text for name, text in (("reason", reason), ("message", message)) if text}
        conditions = pod["status"].setdefault("conditions", [])
        old: Object = next((condition for condition in conditions if condition["type"] == kind), {})
        new = {"type": kind, "status": status, **said}
        if {name: old.get(name) for name in new} != new:
            conditions[:] = [c for c in conditions if c is not old] + [{**new, "lastTransitionTime": now()}]
            self._objects.touch(pod)


def gpus(pod: Object) -> dict[str, int]:
    """What the pod asks for beside CPU, memory and disk: devices, by the name of the resource."""
    found: dict[str, int] = {}
    for container in pod["spec"]["containers"]:
        for name, quantity in ((container.get("resources") or {}).get("limits") or {}).items():
            if "/" in name:
                found[name] = found.get(name, 0) + int(quantity)
    return found
