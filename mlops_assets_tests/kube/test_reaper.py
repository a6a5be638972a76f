"""Nothing hangs and nothing is left behind: the reaper and the executor against a cluster's API.

The reaper's clock is set ahead, so that all patience is over: what is left alone is not so for its youth.
"""

from __future__ import annotations

import json
import secrets
import signal
import subprocess
import threading
import time
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import dagster as dg
import pytest
import yaml
from dagster._core.storage.dagster_run import DagsterRunStatus

from mlops_assets.alerts.tables import engine_for
from mlops_assets.execution import kubernetes, retrying
from mlops_assets.execution.reaper import NoKubernetesError, build_reaper
from mlops_assets.execution.reaping import HEARTBEAT
from mlops_assets.settings import Settings
from mlops_assets_tests.alerts.world import Recorder, alerting
from mlops_assets_tests.kube.containers import BIN
from mlops_assets_tests.kube.reaped import (
    REFUSED,
    a_run,
    at_work,
    complain,
    instance_on,
    launch,
    launcher_config,
    phase_of,
    refused,
)
from mlops_assets_tests.kube.standin import ROOT, StandIn
from mlops_assets_tests.services import MINIMAL_ENV

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from mlops_assets.alerts.sensor import Alerting
    from mlops_assets_tests.kube.objects import Object
    from mlops_assets_tests.services import PostgresServer

NEVER = {"dagster/max_retries": "0"}
NO_POD = {"dagster-k8s/config": json.dumps({"job_spec_config": {"parallelism": 0}})}


@pytest.fixture(scope="module")
def database(postgres_server: PostgresServer) -> str:
    return postgres_server.url(f"test_{secrets.token_hex(4)}")


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StandIn]:
    with StandIn(tmp_path_factory.mktemp("kube")) as made:
        yield made


@pytest.fixture(scope="module")
def dagster(cluster: StandIn, database: str) -> Iterator[dg.DagsterInstance]:
    with instance_on(cluster, database) as made:
        yield made


@pytest.fixture
def kube(cluster: StandIn, monkeypatch: pytest.MonkeyPatch) -> Iterator[StandIn]:
    """The cluster, empty."""
    monkeypatch.delenv("HOSTNAME", raising=False)  # this process is nobody's pod
    yield cluster
    for kind in ("jobs", "pods", "events"):
        for one in cluster.find(kind):
            cluster.delete(kind, one["metadata"]["name"])
    cluster.until("it is empty", lambda: not cluster.pods)


@pytest.fixture
def instance(dagster: dg.DagsterInstance) -> dg.DagsterInstance:
    """Dagster without runs."""
    dagster.wipe()
    return dagster


@pytest.fixture
def hook() -> Recorder:
    return Recorder()


@pytest.fixture
def alerts(database: str, instance: dg.DagsterInstance, hook: Recorder) -> Iterator[Alerting]:
    engine = engine_for(database)
    yield alerting(engine, instance, {"webhook": hook})
    engine.dispose()


def later(minutes: float = 20) -> datetime:
    return datetime.now(UTC) + timedelta(minutes=minutes)


def test_what_runs_that_are_over_left_behind_is_deleted_and_nothing_else(
    kube: StandIn, instance: dg.DagsterInstance
) -> None:
    kube.create("jobs", "migrate", spec={"parallelism": 0, "template": {"spec": {"containers": []}}})
    started = DagsterRunStatus.STARTED
    live, ended, gone = (a_run(instance, name, started) for name in ("live", "ended", "gone"))
    kept = {at_work(kube, instance, live), at_work(kube, instance, live, "train"), "migrate"}
    orphan, runs = at_work(kube, instance, ended, "train"), at_work(kube, instance, ended)
    bare = at_work(kube, instance, ended, "other")
    (bare_pod,) = (pod["metadata"]["name"] for pod in kube.find("pods", f"job-name={bare}"))
    of_gone = at_work(kube, instance, gone, "train")
    kube.delete("jobs", bare, propagation="Orphan")  # as dagster-k8s begins to delete one
    instance.report_run_canceled(ended)  # by force: its processes have heard nothing
    instance.delete_run(gone.run_id)

    reaper = build_reaper(instance, Settings(_env_file=None))
    assert reaper.look().done == []  # all of it has only just happened
    first = instance.get_daemon_heartbeats()[HEARTBEAT].timestamp
    wrong = kube.fail("DELETE", f"/jobs/{orphan}", status=500)
    report = reaper.look(later())
    assert len(wrong.happened) == len(report.errors) == 1
    said = f"could not delete job {orphan} (run {ended.run_id} has ended): Kubernetes answers 500 Internal"
    assert report.errors[0].startswith(said)
    assert {line.partition(":")[0] for line in report.done} == {
        f"delete job {runs}",
        f"delete job {of_gone}",
        f"delete pod {bare_pod}",
    }
    assert any(line.endswith(f"run {gone.run_id} has been deleted") for line in report.done)
    assert instance.get_daemon_heartbeats()[HEARTBEAT].timestamp == first

    spared = kept | {orphan}
    kube.until(
        "the pods of the others are told to end",
        lambda: all("deletionTimestamp" in p["metadata"] for p in kube.pods if job_of(p) not in spared),
    )
    again = reaper.look(later())
    assert [line.partition(":")[0] for line in again.done] == [f"delete job {orphan}"]
    assert instance.get_daemon_heartbeats()[HEARTBEAT].timestamp > first
    kube.until("their pods are gone", lambda: len(kube.pods) == 2)
    assert {job["metadata"]["name"] for job in kube.jobs} == kept
    assert {job_of(pod) for pod in kube.pods} < kept
    assert reaper.look(later()).done == []

    kube.fail("GET", "/jobs", status=403)
    with pytest.raises(Exception, match="Forbidden"):
        reaper.look(later())


def job_of(pod: Object) -> str:
    return str(pod["metadata"]["labels"]["job-name"])


def test_a_run_whose_pod_does_not_come_fails_and_the_alert_says_what_to_do(
    kube: StandIn, instance: dg.DagsterInstance, hook: Recorder, alerts: Alerting
) -> None:
    starting = DagsterRunStatus.STARTING
    kube.fault("unschedulable", times=2)
    again, last = a_run(instance, "raw", starting), a_run(instance, "champion", starting, **NEVER)
    jobs = [launch(instance, run) for run in (again, last)]
    kube.until("both wait", lambda: [phase_of(kube, job) for job in jobs] == ["Pending", "Pending"])
    kube.fault("image")
    wrong_image = a_run(instance, "features", starting, **NEVER)
    jobs.append(launch(instance, wrong_image))
    kube.until("the image does not come", lambda: "ImagePullBackOff" in str(kube.pods))
    without = a_run(instance, "drift", starting, **NEVER, **NO_POD)
    complain(kube, launch(instance, without))
    lost, begun = a_run(instance, "outcomes", starting, **NEVER), a_run(instance, "begun", starting)
    at_work(kube, instance, lost)
    kube.delete("pods", kube.pods[-1]["metadata"]["name"], grace=0)
    kube.until("its Job has failed", lambda: "BackoffLimitExceeded" in str(kube.jobs))
    kept = at_work(kube, instance, begun)

    reaper = build_reaper(instance, Settings(_env_file=None))
    assert reaper.look().done == []
    report = reaper.look(later())
    assert len(report.done) == 5, report
    assert report.errors == []
    for run in (again, last, wrong_image, without, lost):
        assert instance.get_run_by_id(run.run_id).status == DagsterRunStatus.FAILURE  # type: ignore[union-attr]
    assert [job["metadata"]["name"] for job in kube.jobs] == [kept]
    assert instance.get_run_by_id(begun.run_id).status == starting  # type: ignore[union-attr]

    alerts.run()
    told = {one.title: one for one in hook.taken}
    assert set(told) == {
        "run of raw waits for a pod",
        "run of champion failed",
        "run of features failed",
        "run of drift failed",
        "run of outcomes failed",
    }
    waits = told["run of raw waits for a pod"]
    assert waits.severity == "warning"
    assert "Unschedulable: 0/1 nodes are available: 1 Insufficient memory." in waits.seen
    assert waits.facts["What to do"].startswith("no node has what it needs: add nodes, or ask for less")
    failed = told["run of features failed"]
    assert failed.severity == "error"
    assert "ImagePullBackOff" in failed.seen
    assert "What to do: check the image's name and the pull secret; open the run in Dagster" in failed.text
    assert f"FailedCreate: {REFUSED}" in told["run of drift failed"].seen
    assert "a quota or an admission rule refuses the pod" in told["run of drift failed"].remedy
    assert "its pod is gone, with its node perhaps" in told["run of outcomes failed"].remedy


def test_a_step_whose_job_makes_no_pod_is_tried_again_and_fails_with_the_reason(
    kube: StandIn,
    instance: dg.DagsterInstance,
    hook: Recorder,
    alerts: Alerting,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(kubernetes, "CHECK_SECONDS", 1)
    monkeypatch.setattr(retrying, "FIRST_WAIT_SECONDS", 0)
    over, complained = threading.Event(), set[str]()

    def quota() -> None:
        while not over.wait(0.05):
            for name in {job["metadata"]["name"] for job in kube.jobs} - complained:
                complained.add(name)
                complain(kube, name)

    thread = threading.Thread(target=quota)
    thread.start()
    try:
        with dg.execute_job(dg.reconstructable(refused), instance=instance) as result:
            assert not result.success
    finally:
        over.set()
        thread.join()
    assert len(complained) == 2  # both attempts
    assert kube.jobs == kube.pods == []
    alerts.run()
    assert [(one.notice, one.severity, one.title) for one in hook.taken] == [
        ("firing", "warning", "run of training waits for a pod"),
        ("reminder", "error", "run of training failed"),
    ]
    for one in hook.taken:
        assert f"(FailedCreate: {REFUSED})" in one.seen
        assert "What to do: a quota or an admission rule refuses the pod" in one.text


def test_the_command_looks_until_it_is_ended(
    kube: StandIn, database: str, instance: dg.DagsterInstance, tmp_path: Path
) -> None:
    kept = at_work(kube, instance, a_run(instance, "live", DagsterRunStatus.STARTED), "train")
    with (
        pytest.raises(NoKubernetesError, match="SyncInMemoryRunLauncher, which makes no Jobs"),
        dg.DagsterInstance.ephemeral() as plain,
    ):
        build_reaper(plain, Settings(_env_file=None))

    began, home, state = time.time(), tmp_path / "home", tmp_path / "state"
    home.mkdir()
    config = yaml.safe_load((ROOT / "deploy/k8s/base/dagster/dagster.yaml").read_text())
    (home / "dagster.yaml").write_text(
        yaml.safe_dump(config | {"run_launcher": launcher_config(kube.kubeconfig)})
    )
    env = MINIMAL_ENV | {
        "DAGSTER_HOME": str(home),
        "MLOPS_HOME": str(state),
        "MLOPS_DATABASE_URL": database,
        "MLOPS_KUBERNETES_REAP_SECONDS": "0.2",
    }
    command = [f"{BIN}/mlops", "reap", "--watch"]
    with subprocess.Popen(command, env=env, cwd=tmp_path, stdout=subprocess.PIPE, text=True) as process:
        try:
            kube.until(
                "it has looked", lambda: (state / "reaper.fine").exists() or process.poll() is not None
            )
            process.send_signal(signal.SIGTERM)
            assert process.wait(30) == 0
        finally:
            process.kill()
    assert (state / "reaper.alive").exists()
    assert instance.get_daemon_heartbeats()[HEARTBEAT].timestamp > began
    assert [job["metadata"]["name"] for job in kube.jobs] == [kept]
