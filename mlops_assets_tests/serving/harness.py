"""A real endpoint as a child process, and model versions in a real registry."""

from __future__ import annotations

import os
import signal
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import httpx
import psutil

from mlops_assets.bundle import FILE
from mlops_assets_tests.services import MINIMAL_ENV, ObjectStore, Service, free_port, wait_until
from mlops_assets_tests.serving import toy
from serving.config import command_line
from serving.store import Copy, Store

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

ROOT = Path(__file__).parents[2]
NOWHERE = "http://127.0.0.1:9"
"""A registry, or an object store, that does not answer: nobody listens on the discard port."""


class Lake(NamedTuple):
    """A bucket of a real object store."""

    store: ObjectStore
    bucket: str


def lake_env(lake: Lake | None) -> dict[str, str]:
    """The settings that name the lake."""
    return {
        "MLOPS_S3_ENDPOINT_URL": lake.store.endpoint_url if lake else NOWHERE,
        "MLOPS_S3_ACCESS_KEY_ID": lake.store.access_key if lake else "nobody",
        "MLOPS_S3_SECRET_ACCESS_KEY": lake.store.secret_key if lake else "nothing-there",
        "MLOPS_LAKE_BUCKET": lake.bucket if lake else "lake",
    }


class Endpoint:
    """One ``python -m serving``."""

    def __init__(
        self,
        store: Path,
        registry: str = NOWHERE,
        project: str = toy.NAME,
        env: Mapping[str, str] | None = None,
        poll_seconds: float = 0.1,
        lake: Lake | None = None,
        **log: object,
    ) -> None:
        """``lake``: where the prediction log goes; None: out of reach. ``log``: the log's settings."""
        self.store = store
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.client = httpx.Client(base_url=self.url, timeout=30)
        self._command = command_line(
            project, "--port", str(self.port), "--registry", registry, "--store", str(store),
            "--poll-seconds", str(poll_seconds),
        )  # fmt: skip
        settings = {f"MLOPS_PREDICTION_LOG_{name.upper()}": str(value) for name, value in log.items()}
        self._env = {
            **MINIMAL_ENV, "PYTHONPATH": str(ROOT), "HOME": str(store), "MLOPS_HOME": str(store / "home"),
            **lake_env(lake), **settings, **(env or {}),
        }  # fmt: skip

    def start(self, *, ready: bool = True) -> Endpoint:
        """Start it and wait until it has a model (``ready``), or at least listens."""
        self.store.mkdir(parents=True, exist_ok=True)
        self.service = Service(self._command, self.store / "endpoint.log", self._env)

        def answers() -> bool:
            return self.client.get("/health").status_code in ((200,) if ready else (200, 503))

        wait_until("the endpoint", answers, self.service, 60)
        return self

    def stop(self) -> None:
        self.client.close()
        self.service.stop()

    @property
    def pid(self) -> int:
        return self.service.popen.pid

    def children(self) -> list[psutil.Process]:
        return psutil.Process(self.pid).children(recursive=True)

    def worker(self) -> psutil.Process:
        """The model's process: the one child that was spawned to run an inference worker."""
        found = [child for child in self.children() if "spawn_main" in " ".join(child.cmdline())]
        assert len(found) == 1, found
        return found[0]

    def api(self) -> psutil.Process:
        """The API process: the child that listens on the port."""
        found = [
            child
            for child in self.children()
            if any(c.laddr.port == self.port for c in child.net_connections("tcp") if c.status == "LISTEN")
        ]
        assert len(found) == 1, found
        return found[0]

    def shipper(self) -> psutil.Process:
        """The prediction log's shipper."""
        found = [child for child in self.children() if "serving.prediction_log" in child.cmdline()]
        assert len(found) == 1, found
        return found[0]

    def terminate(self) -> None:
        os.kill(self.pid, signal.SIGTERM)

    def predict(self, *rows: dict[str, Any], **headers: str) -> httpx.Response:
        return self.client.post("/predict", json={"instances": list(rows)}, headers=headers)

    def health(self) -> dict[str, Any]:
        return dict(self.client.get("/health").json())

    def info(self) -> dict[str, Any]:
        return dict(self.client.get("/info").json())

    def until(self, what: str, ready: Callable[[], Any], seconds: float = 30) -> Any:
        return wait_until(what, ready, self.service, seconds)

    def until_version(self, version: str) -> None:
        self.until(f"version {version}", lambda: self.info()["version"] == version)

    def metric(self, name: str, **labels: str) -> float | None:
        """The value of one sample of /metrics, None if there is no such sample."""
        for line in self.client.get("/metrics").text.splitlines():
            if line.split("{")[0] == name and all(f'{k}="{v}"' in line for k, v in labels.items()):
                return float(line.rsplit(" ", 1)[1])
        return None


def trip(**changes: Any) -> dict[str, Any]:
    """An instance of the toy project."""
    return {"carrier": "AA", "distance": 700.0, "hour": 8, **changes}


def seed(folder: Path, bundle: bytes, version: str = "1") -> Store:
    """A local store as an earlier run left it: it served ``bundle`` as ``version``."""
    store = Store(folder)
    store.prepare()
    store.current = store.add(Copy(version=version, source=f"models:/m-{version}#1"), bundle)
    return store


class Registry:
    """Versions of the toy project in a real MLflow server."""

    name = toy.TOY.name

    def __init__(self, uri: str) -> None:
        import mlflow

        self.uri = uri
        mlflow.set_tracking_uri(uri)
        self.client = mlflow.MlflowClient(tracking_uri=uri, registry_uri=uri)
        if not self.client.search_registered_models(f"name = '{self.name}'"):
            self.client.create_registered_model(self.name)

    def log(self, model: bytes) -> str:
        """A version as training makes one (a logged ONNX model); its number."""
        import mlflow
        import onnx

        with mlflow.start_run() as run:
            logged = mlflow.onnx.log_model(
                onnx.load_model_from_string(model), name="model", pip_requirements=["onnxruntime"]
            )
        made = self.client.create_model_version(
            self.name, logged.model_uri, run.info.run_id, model_id=logged.model_id
        )
        return str(made.version)

    def upload(self, file: str, data: bytes) -> str:
        """A version that is nothing but ``file``, whatever that is; its number."""
        run = self.client.create_run("0")
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / file
            path.write_bytes(data)
            self.client.log_artifact(run.info.run_id, str(path), "model")
        self.client.set_terminated(run.info.run_id)
        made = self.client.create_model_version(self.name, f"runs:/{run.info.run_id}/model", run.info.run_id)
        return str(made.version)

    def quick(self, bias: float) -> str:
        """A version of bias ``bias``, made the quick way."""
        return self.upload(FILE, toy.make_bundle(bias))

    def champion(self, version: str) -> None:
        self.client.set_registered_model_alias(self.name, "champion", version)

    def no_champion(self) -> None:
        self.client.delete_registered_model_alias(self.name, "champion")


def gone(processes: list[psutil.Process], seconds: float = 5) -> bool:
    """Whether all of ``processes`` end within ``seconds``."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if not any(p.is_running() and p.status() != psutil.STATUS_ZOMBIE for p in processes):
            return True
        time.sleep(0.05)
    return False
