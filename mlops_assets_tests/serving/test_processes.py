"""What happens to the endpoint's processes: stopped, killed, in the way of each other."""

from __future__ import annotations

import os
import signal
import subprocess
import threading
import time
from typing import TYPE_CHECKING

import psutil
import pytest

from mlops_assets_tests.serving import toy
from mlops_assets_tests.serving.conftest import BIAS
from mlops_assets_tests.serving.harness import Endpoint, gone, seed, trip

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    import httpx

Start = "Callable[..., Endpoint]"


@pytest.fixture
def running(tmp_path: Path, start: Callable[..., Endpoint]) -> Endpoint:
    seed(tmp_path / "store", toy.make_bundle(BIAS))
    return start()


def asked(endpoint: Endpoint, count: int, nap: float) -> tuple[list[threading.Thread], list[httpx.Response]]:
    """``count`` slow requests on their way."""
    answers: list[httpx.Response] = []
    threads = [
        threading.Thread(target=lambda: answers.append(endpoint.predict(trip(nap=nap)))) for _ in range(count)
    ]
    for thread in threads:
        thread.start()
    time.sleep(nap / 2)
    return threads, answers


@pytest.mark.parametrize("whole_group", [False, True])
def test_sigterm_answers_what_is_in_flight_and_exits_0(running: Endpoint, whole_group: bool) -> None:  # noqa: FBT001
    children = running.children()
    threads, answers = asked(running, 4, nap=0.8)
    if whole_group:  # as a supervisor that signals the process group, or Ctrl+C in a terminal
        for process in [psutil.Process(running.pid), *children]:
            process.send_signal(signal.SIGTERM)
    else:
        running.terminate()
    started = time.monotonic()
    assert running.service.popen.wait(20) == 0
    assert time.monotonic() - started < 10
    for thread in threads:
        thread.join(5)
    assert [answer.status_code for answer in answers] == [200] * 4, running.service.tail()
    assert gone(children)


def test_a_killed_parent_leaves_nobody_answering(running: Endpoint) -> None:
    children = running.children()
    assert len(children) >= 3
    os.kill(running.pid, signal.SIGKILL)
    running.service.popen.wait(5)
    assert gone(children), [child.cmdline() for child in children if child.is_running()]


def test_a_killed_model_process_is_restarted_and_no_request_is_lost(running: Endpoint) -> None:
    worker = running.worker()
    threads, answers = asked(running, 4, nap=0.6)
    worker.kill()
    for thread in threads:
        thread.join(30)
    assert [answer.status_code for answer in answers] == [200] * 4, running.service.tail()
    assert running.worker().pid != worker.pid
    assert running.health()["version"] == "1"


def test_after_a_restart_of_the_model_process_sigterm_still_drains(running: Endpoint) -> None:
    running.worker().kill()
    assert running.predict(trip()).status_code == 200
    threads, answers = asked(running, 2, nap=0.8)
    running.terminate()
    assert running.service.popen.wait(20) == 0
    for thread in threads:
        thread.join(5)
    assert [answer.status_code for answer in answers] == [200] * 2


@pytest.mark.parametrize("which", ["api", "manager"])
def test_the_server_ends_when_it_loses_a_part_for_good(running: Endpoint, which: str) -> None:
    api, worker, children = running.api(), running.worker(), running.children()
    if which == "api":
        victim = api
    else:
        forked = [
            c
            for c in children
            if c.pid not in (api.pid, worker.pid, running.shipper().pid)
            and "resource_tracker" not in " ".join(c.cmdline())
        ]
        assert len(forked) == 1, forked
        victim = forked[0]
    victim.kill()
    assert running.service.popen.wait(20) == 1, running.service.tail()
    assert gone(children)


def test_a_request_that_kills_the_model_twice_gets_an_error_and_the_rest_goes_on(running: Endpoint) -> None:
    threads, answers = asked(running, 1, nap=4)
    running.worker().kill()
    running.until("the loss to be seen", lambda: running.health()["version"] is None)
    running.until("the next process", lambda: running.health()["version"] == "1")
    time.sleep(0.5)  # it is asked again, and naps
    running.worker().kill()
    threads[0].join(30)
    assert answers[0].status_code == 500
    assert "ended twice" in answers[0].json()["error"]
    assert running.predict(trip()).status_code == 200


def test_a_second_server_on_the_same_store_is_told_so(running: Endpoint) -> None:
    other = Endpoint(running.store)
    done = subprocess.run(
        other._command, env=other._env, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 2
    assert "another endpoint uses" in done.stderr
    assert running.predict(trip()).status_code == 200


def test_a_port_in_use_is_named(running: Endpoint, tmp_path: Path) -> None:
    other = Endpoint(tmp_path / "other")
    (tmp_path / "other").mkdir()
    command = [str(running.port) if part == str(other.port) else part for part in other._command]
    done = subprocess.run(command, env=other._env, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 2
    assert f"port {running.port}" in done.stderr
    assert "--port" in done.stderr


def test_a_project_that_does_not_exist_is_named(tmp_path: Path) -> None:
    other = Endpoint(tmp_path, project="no_such_project")
    done = subprocess.run(
        other._command, env=other._env, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 2
    assert "no_such_project" in done.stderr
