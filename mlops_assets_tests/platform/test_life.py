"""The whole platform: started, killed part by part, stopped, started again. Real services throughout."""

from __future__ import annotations

import os
import signal
import time
from itertools import pairwise
from typing import TYPE_CHECKING

import httpx
import psutil
import pytest

from mlops_assets import platform
from mlops_assets.platform import database, orphans, services
from mlops_assets.platform.object_store import s3_client
from mlops_assets.platform.service import NotReadyError
from mlops_assets.platform.supervision import Supervisor
from mlops_assets_tests.platform.conftest import settings_for

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mlops_assets.platform.service import Service
    from mlops_assets.settings import Settings

SERVICES = (
    "object-store",
    "database",
    "registry",
    "code-location",
    "webserver",
    "daemon",
    "endpoint-flight_delays",
    "metrics",
)
RESTART_SECONDS = 10
ANSWER_SECONDS = 60
"""Three on two idle cores; a busy machine imports slowly, which is no failure."""

LOOPBACK = {"127.0.0.1", "::1"}


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Settings]:
    settings = settings_for(tmp_path_factory.mktemp("platform") / "home")
    platform.up(settings)
    yield settings
    platform.down(settings)


def _pids(settings: Settings) -> dict[str, int]:
    return {name: process.pid for name, process in Supervisor(settings).processes().items()}


def _service(settings: Settings, name: str) -> Service:
    return next(service for service in services.describe(settings) if service.name == name)


def test_all_services_run_and_answer(running: Settings) -> None:
    rows = platform.status(running)
    assert tuple(row.name for row in rows) == SERVICES
    assert {row.state for row in rows} == {"ready"}, [row for row in rows if row.state != "ready"]
    assert all(row.pid and row.uptime is not None for row in rows)


def test_up_again_starts_nothing_anew(running: Settings) -> None:
    before = _pids(running)
    platform.up(running)
    assert _pids(running) == before


def test_credentials_are_readable_by_the_owner_alone_and_required(running: Settings) -> None:
    assert running.secrets_file.stat().st_mode & 0o777 == 0o600
    private = [
        *(running.state / "run").glob("*.json"),
        running.state / "object-store",
        running.state / "postgres",
    ]
    assert [file for file in private if file.stat().st_mode & 0o077] == []
    assert httpx.get(f"{running.s3_url}/raw").status_code == 403


def test_everything_listens_on_loopback_only(running: Settings) -> None:
    open_to_others = [
        (process.name(), connection.laddr)
        for process in orphans.platform(running.state).processes()
        for connection in process.net_connections(kind="inet")
        if connection.status == psutil.CONN_LISTEN
        and connection.laddr.ip.removeprefix("::ffff:") not in LOOPBACK
    ]
    assert open_to_others == []


def test_metrics_tell_of_alerts_and_of_the_daemon(running: Settings) -> None:
    def heard() -> dict[str, float]:
        text = httpx.get(f"http://127.0.0.1:{running.metrics_port}/metrics", timeout=30).text
        assert "mlops_alert_messages_pending" in text
        name = "mlops_daemon_heartbeat_timestamp_seconds"
        lines = [line.partition('daemon="')[2] for line in text.splitlines() if line.startswith(f"{name}{{")]
        return {line.partition('"')[0]: float(line.rpartition(" ")[2]) for line in lines}

    deadline = time.monotonic() + ANSWER_SECONDS
    while not (before := heard()):
        assert time.monotonic() < deadline
        time.sleep(1)
    assert abs(before["sensor"] - time.time()) < ANSWER_SECONDS
    while heard()["sensor"] <= before["sensor"]:
        assert time.monotonic() < deadline
        time.sleep(1)


def test_the_daemon_ticks_as_often_as_the_settings_say(running: Settings) -> None:
    url = running.dagster_url
    query = """{ sensorsOrError(repositorySelector: {
        repositoryLocationName: "mlops_assets", repositoryName: "__repository__"
    }) { ... on Sensors { results { name sensorState { ticks(limit: 6) { timestamp } } } } } }"""
    deadline = time.monotonic() + 40
    while True:
        answer = httpx.post(f"{url}/graphql", json={"query": query}, timeout=20).json()
        sensors = answer["data"]["sensorsOrError"]["results"]
        stamps = [
            t["timestamp"] for s in sensors if s["name"].endswith("_s3") for t in s["sensorState"]["ticks"]
        ]
        if len(stamps) == 6:
            break
        assert time.monotonic() < deadline, stamps
        time.sleep(1)
    gaps = [newer - older for newer, older in pairwise(stamps)]
    assert min(gaps) < 4, f"Dagster's own loop would leave at least 5 s between ticks: {gaps}"


@pytest.mark.parametrize("name", SERVICES)
def test_a_killed_service_is_healed(running: Settings, name: str) -> None:
    service = _service(running, name)
    supervisor = Supervisor(running)
    pid = supervisor.processes()[name].pid
    children = psutil.Process(pid).children(recursive=True)
    began = time.monotonic()
    os.kill(pid, signal.SIGKILL)
    while not (process := supervisor.processes()[name]).alive or process.pid == pid:
        assert time.monotonic() - began < RESTART_SECONDS, f"{name} is not started again"
        time.sleep(0.05)
    while not _answers(service):
        assert time.monotonic() - began < ANSWER_SECONDS, f"{name} does not answer again"
        time.sleep(0.05)
    survivors = [child for child in children if child.is_running() and child.status() != psutil.STATUS_ZOMBIE]
    assert survivors == [], "the killed one's children go on beside the new one"


def _answers(service: Service) -> bool:
    try:
        service.probe()
    except NotReadyError:
        return False
    return True


def test_after_all_that_killing_everything_works(running: Settings) -> None:
    deadline = time.monotonic() + ANSWER_SECONDS
    while (rows := platform.status(running)) and {row.state for row in rows} != {"ready"}:
        assert time.monotonic() < deadline, rows
        time.sleep(0.2)


def test_down_leaves_no_process_and_loses_nothing(running: Settings) -> None:
    version = s3_client(running).put_object(Bucket=running.raw_bucket, Key="kept", Body=b"kept")["VersionId"]
    database.execute(running.dagster_database, "CREATE TABLE kept AS SELECT 42 AS answer")
    experiments = f"{running.mlflow_url}/api/2.0/mlflow/experiments"
    httpx.post(f"{experiments}/create", json={"name": "kept"}, timeout=30).raise_for_status()
    before = orphans.platform(running.state).processes()
    assert len(before) > len(SERVICES)

    platform.down(running)

    assert orphans.platform(running.state).processes() == []
    assert [p for p in before if p.is_running() and p.status() != psutil.STATUS_ZOMBIE] == []
    assert {row.state for row in platform.status(running)} == {"stopped"}

    platform.up(running)

    found = s3_client(running).get_object(Bucket=running.raw_bucket, Key="kept", VersionId=version)
    assert found["Body"].read() == b"kept"
    assert database.execute(running.dagster_database, "SELECT answer FROM kept") == [(42,)]
    kept = httpx.get(f"{experiments}/get-by-name", params={"experiment_name": "kept"}, timeout=30)
    assert kept.json()["experiment"]["name"] == "kept"


def test_a_killed_supervisor_leaves_nothing_that_up_cannot_mend(running: Settings) -> None:
    supervisor = next(
        process
        for process in orphans.platform(running.state).processes()
        if process.environ().get(orphans.MARKER, "").endswith(":supervisor")
    )
    supervisor.kill()
    supervisor.wait(5)
    platform.up(running)
    assert {row.state for row in platform.status(running)} == {"ready"}
