from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import psutil
import pytest

from mlops_assets.platform.orphans import MARKER, Belonging, end

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

Start = "Callable[[str], subprocess.Popen[bytes]]"


@pytest.fixture
def start() -> Iterator[Callable[[str], subprocess.Popen[bytes]]]:
    """Starts a sleeping process that bears a marker."""
    started = []

    def begin(marker: str, code: str = "import time; time.sleep(60)") -> subprocess.Popen[bytes]:
        process = subprocess.Popen([sys.executable, "-c", code], env={MARKER: marker})
        started.append(process)
        return process

    yield begin
    for process in started:
        process.kill()
        process.wait()


def _settled(belonging: Belonging, count: int) -> set[int]:
    deadline = time.monotonic() + 10
    while len(found := {process.pid for process in belonging.processes()}) != count:
        assert time.monotonic() < deadline, found
        time.sleep(0.05)
    return found


def test_a_service_owns_what_bears_its_mark(start: Callable[[str], subprocess.Popen[bytes]]) -> None:
    mine, other, elsewhere = start("/one:web"), start("/one:database"), start("/two:web")
    assert _settled(Belonging("/one", "web"), 1) == {mine.pid}
    assert _settled(Belonging("/one"), 2) == {mine.pid, other.pid}
    assert elsewhere.poll() is None


def test_end_kills_what_ignores_sigterm(start: Callable[..., subprocess.Popen[bytes]]) -> None:
    code = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(60)"
    deaf = start("/one:deaf", code)
    _settled(Belonging("/one", "deaf"), 1)
    process = psutil.Process(deaf.pid)
    assert end([process], grace_seconds=0.5) == 1
    assert not process.is_running()


def test_the_launcher_ends_predecessors_and_becomes_the_service(
    start: Callable[[str], subprocess.Popen[bytes]], tmp_path: Path
) -> None:
    state = str(tmp_path)
    left = start(f"{state}:web")
    _settled(Belonging(state, "web"), 1)
    spec = {
        "argv": [sys.executable, "-c", "import os, json; print(json.dumps([dict(os.environ), os.getcwd()]))"],
        "env": {MARKER: f"{state}:web", "ONLY": "this"},
        "cwd": state,
        "user": None,
        "prepare": None,
        "belonging": {"state": state, "name": "web", "cwd": None},
    }
    file = tmp_path / "web.json"
    file.write_text(json.dumps(spec))
    command = [sys.executable, "-m", "mlops_assets.platform.launch", str(file)]
    done = subprocess.run(
        command, env={**os.environ, "LEAK": "1"}, capture_output=True, text=True, check=True
    )
    said, answer = done.stdout.splitlines()
    assert "ended 1 processes" in said
    environment, folder = json.loads(answer)
    environment.pop("LC_CTYPE", None)  # Python sets it by itself in the C locale
    assert environment == spec["env"]
    assert folder == state
    assert left.wait(5) == -9
