"""The whole loop on the stand-in, each run and each step a pod: from objects to an endpoint that answers."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import dagster as dg
import httpx
import pytest

from mlops_assets.lifecycle.describe import asset_key
from mlops_assets.lifecycle.lineage import CHALLENGER, MANIFEST, MODEL_URI, VERSION, Materialized, latest
from mlops_assets.resources.promotions import PromotionLog
from mlops_assets.resources.registry import Registry
from mlops_assets.resources.tables import engine_for
from mlops_assets_tests.kube.daemon import Daemon, daemon_of
from mlops_assets_tests.kube.loop import PROJECT, SLEEPING
from mlops_assets_tests.kube.looping import LOOP, is_closed, looping, serving, upload
from mlops_assets_tests.kube.nodes import gpus

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mlops_assets_tests.kube.nodes import Life
    from mlops_assets_tests.kube.world import Platform
    from mlops_assets_tests.services import ObjectStore, PostgresServer

GPU = "nvidia.com/gpu"
pytestmark = pytest.mark.timeout(900)
TRAINING = {"mlops/stage": "candidates", "mlops/name": "network"}


@pytest.fixture(scope="module")
def platform(
    tmp_path_factory: pytest.TempPathFactory,
    postgres_server: PostgresServer,
    object_store: ObjectStore,
    mlflow_server: str,
    warm: tuple[str, ...],
) -> Iterator[Platform]:
    folder = tmp_path_factory.mktemp("loop")
    with looping(folder, object_store, postgres_server.url("loop"), mlflow_server, warm) as platform:
        yield platform


@pytest.fixture(scope="module")
def daemon(platform: Platform) -> Iterator[Daemon]:
    with daemon_of(platform.instance, LOOP, "make_definitions") as daemon:
        yield daemon


@pytest.fixture(scope="module")
def endpoint(platform: Platform, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with serving(platform, tmp_path_factory.mktemp("loop-endpoint")) as address:
        yield address


class Looped:
    """What the loop has come to, once its objects were uploaded."""

    def __init__(self, platform: Platform, daemon: Daemon, store: ObjectStore) -> None:
        self.platform = platform
        self.instance = platform.instance
        self.evicted = platform.kube.fault("evict", TRAINING, when=lambda _: bool(self._checkpoints(store)))
        self.versions = upload(platform, store)
        daemon.until("the loop is closed", lambda: is_closed(platform), 600)
        self.checkpoints = self._checkpoints(store)

    def made(self, *path: str, partition: str | None = None) -> Materialized:
        return latest(self.instance, asset_key(PROJECT, *path), partition)

    def lives(self, stage: str) -> list[Life]:
        """The pods that steps of a stage ran in."""
        return [life for life in self.platform.kube.lives if labels(life).get("mlops/stage") == stage]

    def _checkpoints(self, store: ObjectStore) -> list[str]:
        found = store.client.list_objects_v2(
            Bucket=self.platform.settings.lake_bucket, Prefix=f"{PROJECT.name}/checkpoints/"
        )
        return [entry["Key"] for entry in found.get("Contents", [])]


def labels(life: Life) -> dict[str, str]:
    return dict(life.pod["metadata"]["labels"])


@pytest.fixture(scope="module")
def looped(platform: Platform, daemon: Daemon, endpoint: str, object_store: ObjectStore) -> Looped:
    """Two months uploaded; the training's first pod is evicted once it has a checkpoint."""
    return Looped(platform, daemon, object_store)


def test_objects_become_a_champion_that_the_endpoint_answers_with(looped: Looped, endpoint: str) -> None:
    assert {run.status for run in looped.instance.get_runs()} == {dg.DagsterRunStatus.SUCCESS}
    manifest: dict[str, Any] = looped.made("training_set").metadata[MANIFEST]
    assert [entry["partition"] for entry in manifest["partitions"]] == ["2013-01"]
    objects = manifest["partitions"][0]["objects"]
    assert objects["rows"]["version_id"] == looped.versions["2013-01"]
    assert manifest["held_out"]["partition"] == "2013-02"

    candidate, champion = looped.made("candidates", "network"), looped.made("champion")
    assert candidate.run_id == champion.run_id  # one run, of which each step was a process of its own
    registry = Registry(looped.platform.settings.mlflow_url)
    served = registry.champion(PROJECT.name)
    assert served is not None
    assert served.number == champion.metadata[VERSION]
    (entry,) = PromotionLog(engine_for(looped.platform.settings.dagster_database)).entries(PROJECT.name)
    assert entry.version == served.number
    answer = httpx.post(
        f"{endpoint}/predict", json={"instances": [{"x": 1.0, "z": 0.0, "color": "red"}]}, timeout=30
    )
    assert answer.json()["model"] == {"project": PROJECT.name, "version": served.number}
    assert looped.made("evaluation").metadata[CHALLENGER] == "network"
    assert candidate.metadata[MODEL_URI].startswith("models:/")


def test_each_step_is_a_pod_that_asks_for_what_the_project_declares(looped: Looped) -> None:
    kube = looped.platform.kube
    for stage in (
        "raw",
        "features",
        "training_set",
        "evaluation",
        "champion",
        "reference_profile",
        "endpoint",
    ):
        assert looped.lives(stage), stage
    asked = {life.pod["metadata"]["name"]: gpus(life.pod) for life in kube.lives}
    training = {life.pod["metadata"]["name"] for life in looped.lives("candidates")}
    assert {name: wanted for name, wanted in asked.items() if wanted} == {name: {GPU: 1} for name in training}
    for life in looped.lives("candidates"):
        assert life.pod["spec"]["nodeName"] == "with-gpu"
        limits = life.pod["spec"]["containers"][0]["resources"]["limits"]
        assert limits == {GPU: "1", "memory": "3Gi", "ephemeral-storage": "2Gi"}
    runs = [life for life in kube.lives if labels(life)["app.kubernetes.io/component"] == "run_worker"]
    assert len(runs) == len(looped.instance.get_runs())
    assert {labels(life)["dagster/run-id"] for life in kube.lives} == {
        run.run_id for run in looped.instance.get_runs()
    }


def test_an_evicted_training_loses_an_epoch_at_most(looped: Looped) -> None:
    first, second = looped.lives("candidates")
    assert (first.pod["metadata"]["name"],) == tuple(looped.evicted.happened)
    assert first.pod["status"]["reason"] == "Evicted"
    assert second.pod["status"]["phase"] == "Succeeded"
    candidate = looped.made("candidates", "network")
    entries = looped.instance.all_logs(candidate.run_id)
    (again,) = [n for n, e in enumerate(entries) if e.dagster_event and e.dagster_event.is_step_up_for_retry]
    told = [re.search(r"network, epoch (\d+):", entry.user_message) for entry in entries[:again]]
    epochs = [int(found.group(1)) for found in told if found]
    assert epochs
    assert candidate.metadata["resumed_at_epoch"] >= epochs[-1] - 1
    assert looped.checkpoints == []


def test_what_steps_printed_outlives_the_logs_of_their_pods(looped: Looped) -> None:
    run = looped.instance.get_run_by_id(looped.made("candidates", "network").run_id)
    assert run is not None
    lost = looped.platform.kube.fail("GET", "/log", status=404)
    told = looped.instance.run_launcher.get_run_worker_debug_info(run)
    assert len(lost.happened) == 1
    assert told is not None
    assert "Failure fetching pod logs" in told
    captured = [
        entry.dagster_event.logs_captured_data.file_key
        for entry in looped.instance.all_logs(run.run_id, of_type=dg.DagsterEventType.LOGS_CAPTURED)
        if entry.dagster_event and "candidates" in str(entry.dagster_event.logs_captured_data.step_keys)
    ]
    logs = [
        looped.instance.compute_log_manager.get_log_data([run.run_id, "compute_logs", key])
        for key in captured
    ]
    assert any(b"network, epoch" in (log.stderr or b"") for log in logs)


def test_nothing_is_left_running(looped: Looped) -> None:
    kube = looped.platform.kube
    kube.until("all pods have ended", lambda: all(life.ended for life in kube.lives if life.started))
    assert {pod["status"]["phase"] for pod in kube.pods} == {"Succeeded", "Failed"}
    assert [job["metadata"]["name"] for job in kube.jobs if job["status"].get("active")] == []


def sleeping(platform: Platform, daemon: Daemon, name: str) -> dg.DagsterRun:
    """A run whose one step sleeps in its pod."""
    asked = platform.home / "asked" / name
    asked.parent.mkdir(exist_ok=True)
    asked.touch()

    def run() -> dg.DagsterRun | None:
        lives = {
            labels(life)["dagster/run-id"] for life in platform.kube.lives if SLEEPING in life.log.read_text()
        }
        found = platform.instance.get_runs(dg.RunsFilter(tags={"asked": name}))
        return found[0] if found and found[0].run_id in lives else None

    return daemon.until(f"run {name} sleeps", run)


def of_run(platform: Platform, run: dg.DagsterRun) -> list[Any]:
    """Jobs and pods of a run that are there."""
    selector = f"dagster/run-id={run.run_id}"
    return [*platform.kube.find("jobs", selector), *platform.kube.find("pods", selector)]


def test_a_run_that_is_terminated_takes_its_steps_pods_with_it(platform: Platform, daemon: Daemon) -> None:
    run = sleeping(platform, daemon, "terminated")
    assert len(of_run(platform, run)) == 4
    assert platform.instance.run_launcher.terminate(run.run_id)
    platform.kube.until("Jobs and pods are gone", lambda: not of_run(platform, run))
    ended = platform.instance.get_run_by_id(run.run_id)
    assert ended is not None
    assert ended.status == dg.DagsterRunStatus.CANCELED


def test_a_runs_pod_that_vanishes_takes_its_steps_pods_with_it_and_the_run_fails(
    platform: Platform, daemon: Daemon
) -> None:
    lost = platform.kube.fault(
        "lost", {"app.kubernetes.io/component": "run_worker"}, when=lambda _: marked == ["now"]
    )
    marked: list[str] = []
    run = sleeping(platform, daemon, "lost")
    marked.append("now")
    platform.kube.until(
        "the pods are gone", lambda: not platform.kube.find("pods", f"dagster/run-id={run.run_id}")
    )
    assert len(lost.happened) == 1
    daemon.watch()
    ended = platform.instance.get_run_by_id(run.run_id)
    assert ended is not None
    assert ended.status == dg.DagsterRunStatus.FAILURE


def test_a_run_that_is_told_to_stop_ends_its_steps_though_the_api_fails(
    platform: Platform, daemon: Daemon
) -> None:
    marked: list[str] = []
    component = {"app.kubernetes.io/component": "run_worker"}
    platform.kube.fault("evict", component, when=lambda _: bool(marked))
    run = sleeping(platform, daemon, "evicted")
    failed = platform.kube.fail("DELETE", "/jobs", about="dagster-step", status=500, times=2)
    marked.append("now")
    # The run's own pod stays, as evicted ones do, so that it takes nothing with it.
    platform.kube.until("the step's Job and pod are gone", lambda: len(of_run(platform, run)) == 2)
    assert len(failed.happened) == 2
