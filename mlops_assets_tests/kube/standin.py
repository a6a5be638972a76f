"""The stand-in as tests use it.

with StandIn(tmp_path, nodes=[Node(gpus=1)]) as kube:
    kubernetes.config.load_kube_config(str(kube.kubeconfig))     # or dagster-k8s's kubeconfig_file
    kube.fault("evict", labels={"dagster/op": "train"}, after=1)
    ...
    kube.until("the training's end", lambda: kube.jobs[0]["status"].get("succeeded"))
    assert kube.log(kube.pods[0]["metadata"]["name"]) == "..."
"""

from __future__ import annotations

import base64
import copy
import os
import secrets
import threading
import time
from multiprocessing import forkserver, get_context
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self, TypeVar

import yaml

from mlops_assets_tests.kube.containers import BIN
from mlops_assets_tests.kube.faults import PodFault, RequestFault
from mlops_assets_tests.kube.jobs import JobController
from mlops_assets_tests.kube.nodes import Life, Node, Nodes
from mlops_assets_tests.kube.objects import Objects
from mlops_assets_tests.kube.server import ApiServer
from mlops_assets_tests.services import MINIMAL_ENV

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from mlops_assets_tests.kube.faults import What
    from mlops_assets_tests.kube.objects import Object

ROOT = Path(__file__).parents[2]
_TICK_SECONDS = 0.05
_IDLE_SECONDS = 0.5
T = TypeVar("T")


class StandIn:
    """A cluster: an API on loopback, a Job controller, and ``nodes`` that run pods as processes.

    ``image``: what the image sets in a container's environment, beside a PATH that finds this environment's
    programs. ``warm``: modules that pods find imported (see ``Container``); none: each starts from nothing.
    """

    def __init__(
        self,
        folder: Path,
        *,
        nodes: Sequence[Node] = (Node(),),
        namespace: str = "mlops",
        image: Mapping[str, str] | None = None,
        warm: Sequence[str] = (),
    ) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.namespace = namespace
        self.kubeconfig = folder / "kubeconfig.yaml"
        self._warm = warm
        self._objects = Objects()
        path = f"{BIN}{os.pathsep}{MINIMAL_ENV['PATH']}"
        env = {**MINIMAL_ENV, "PATH": path, "PYTHONPATH": str(ROOT), **(image or {})}
        self._nodes = Nodes(self._objects, nodes, folder, env, warm=bool(warm))
        self._jobs = JobController(self._objects, self._nodes.faults)
        self._server = ApiServer(
            self._objects, lambda pod: self._life(pod["metadata"]["name"]).log.read_bytes()
        )
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._work)
        self.error: BaseException | None = None

    def __enter__(self) -> Self:
        if self._warm:
            _preload(self._warm)
        self._server.start()
        self._thread.start()
        self.kubeconfig.write_text(yaml.safe_dump(self._config()))
        return self

    def __exit__(self, *_: object) -> None:
        self._stopped.set()
        self._objects.wake()
        self._thread.join()
        self._nodes.kill_all()
        self._server.stop()
        if self.error is not None:
            raise RuntimeError("the stand-in's controllers have failed") from self.error

    @property
    def host(self) -> str:
        """The API's address."""
        return self._server.address

    @property
    def jobs(self) -> list[Object]:
        """Copies of the Jobs that there are, oldest first."""
        return self.find("jobs")

    @property
    def pods(self) -> list[Object]:
        """Copies of the pods that there are, oldest first."""
        return self.find("pods")

    @property
    def lives(self) -> list[Life]:
        """Every pod that ever was, oldest first; its ``pod`` is as it was last seen."""
        return list(self._nodes.lives.values())

    @property
    def requests(self) -> Mapping[str, int]:
        """How often what was asked for: ``{"GET pods": 3}``."""
        return dict(self._server.requests)

    def find(self, kind: str, labels: str = "") -> list[Object]:
        """Copies of the objects of a kind (plural) that the label selector matches."""
        with self._objects.held():
            return copy.deepcopy(self._objects.find(kind, self.namespace, labels))

    def create(self, kind: str, name: str, **rest: Any) -> Object:
        """Make an object; copy of it."""
        return copy.deepcopy(self._objects.create(kind, self.namespace, {"metadata": {"name": name}, **rest}))

    def delete(
        self, kind: str, name: str, propagation: str = "Background", grace: float | None = None
    ) -> None:
        """As ``kubectl delete``."""
        self._objects.delete(kind, self.namespace, name, propagation=propagation, grace=grace)

    def config_map(self, name: str, data: Mapping[str, str]) -> None:
        """Make a ConfigMap."""
        self.create("configmaps", name, data=dict(data))

    def secret(self, name: str, data: Mapping[str, str]) -> None:
        """Make a Secret; ``data`` in the clear."""
        encoded = {key: base64.b64encode(value.encode()).decode() for key, value in data.items()}
        self.create("secrets", name, data=encoded)

    def fault(self, what: What, labels: Mapping[str, str] | None = None, **options: Any) -> PodFault:
        """Let something happen to the next pods that have ``labels``: see ``PodFault``."""
        made = PodFault(what, labels or {}, **options)
        with self._objects.held():
            self._nodes.faults.append(made)
        return made

    def fail(self, verb: str, path: str = "", **options: Any) -> RequestFault:
        """Answer the next such requests wrongly: see ``RequestFault``."""
        made = RequestFault(verb, path, **options)
        self._server.faults.append(made)
        return made

    def log(self, pod: str) -> str:
        """What a pod has printed, also one that is gone."""
        return self._life(pod).log.read_text(errors="replace")

    def until(self, what: str, look: Callable[[], T | None], seconds: float = 60) -> T:
        """The first truthy answer of ``look``; ``TimeoutError`` with the state of the pods."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            if found := look():
                return found
            time.sleep(0.05)
        state = [(life.pod["metadata"]["name"], life.pod["status"]["phase"]) for life in self.lives]
        raise TimeoutError(f"{what}: not within {seconds:g} s; pods: {state}")

    def _life(self, pod: str) -> Life:
        return next(life for life in self.lives if life.pod["metadata"]["name"] == pod)

    def _work(self) -> None:
        try:
            while not self._stopped.is_set():
                with self._objects.held():
                    self._jobs.tick()
                    busy = self._nodes.tick()
                    self._jobs.tick()
                    self._objects.collect()
                if busy:
                    self._stopped.wait(_TICK_SECONDS)
                else:
                    self._objects.wait(_TICK_SECONDS if self._unfinished() else _IDLE_SECONDS)
        except BaseException as error:
            self.error = error
            raise

    def _unfinished(self) -> bool:
        return any(pod["status"]["phase"] == "Pending" for pod in self._objects.find("pods"))

    def _config(self) -> dict[str, Any]:
        """A kubeconfig; the token is anybody's, since nobody is refused."""
        context = {"cluster": "stand-in", "user": "tests", "namespace": self.namespace}
        return {
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": "stand-in",
            "clusters": [{"name": "stand-in", "cluster": {"server": self.host}}],
            "users": [{"name": "tests", "user": {"token": secrets.token_hex(8)}}],
            "contexts": [{"name": "stand-in", "context": context}],
        }


def _preload(modules: Sequence[str]) -> None:
    """Wait until the process that pods are forked from has imported ``modules``; it ends with this one."""
    if list(modules) != _warm_process()._preload_modules:
        stop_warm_process()
        forkserver.set_forkserver_preload(list(modules))
    first = get_context("forkserver").Process()
    first.start()
    first.join()


def stop_warm_process() -> None:
    """End the process that pods are forked from, if there is one."""
    _warm_process()._stop()


def _warm_process() -> Any:
    return forkserver._forkserver
