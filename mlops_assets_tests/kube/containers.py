"""A container as a process of this machine, in a process group of its own."""

from __future__ import annotations

import atexit
import contextlib
import ctypes
import os
import runpy
import shutil
import signal
import subprocess
import sys
import time
from multiprocessing import get_context
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from mlops_assets.settings import get_settings

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

BIN = Path(sys.executable).parent
_DIE_WITH_PARENT = 1  # PR_SET_PDEATHSIG


class Process(Protocol):
    """A process that was started."""

    pid: int

    def poll(self) -> int | None:
        """How it has ended (negative: by a signal); None while it lives."""


class Container:
    """Runs ``command`` in ``folder``, its output into ``log``.

    ``warm``: fork it from a process that has imported what ``multiprocessing``'s forkserver was told to, as
    fast as an image's files are that are in the node's cache already. For Python programs only.
    """

    def __init__(
        self, command: Sequence[str], env: Mapping[str, str], folder: Path, log: Path, *, warm: bool
    ) -> None:
        self._process: Process
        script = shutil.which(command[0], path=env.get("PATH"))
        if warm and command[0] in ("dagster", "python") and (command[0] == "dagster" or command[1] == "-m"):
            self._process = _Forked(command, env, folder, log)
        elif script is None:
            raise FileNotFoundError(f'exec: "{command[0]}": executable file not found in $PATH')
        else:
            self._process = _popen([script, *command[1:]], env, folder, log)
        self._kill_at: float | None = None

    @property
    def pid(self) -> int:
        return self._process.pid

    def poll(self) -> int | None:
        """Its exit code as a container's (137: killed); None while it lives. Kills it when its time is up."""
        code = self._process.poll()
        if code is None:
            if self._kill_at is not None and time.monotonic() >= self._kill_at:
                self._signal(signal.SIGKILL)
            return None
        self._signal(signal.SIGKILL)  # what it has started ends with it
        return code if code >= 0 else 128 - code

    def stop(self, grace: float) -> None:
        """SIGTERM now, SIGKILL after ``grace`` seconds; a second call can only shorten that."""
        until = time.monotonic() + grace
        if self._kill_at is None and grace > 0:
            self._signal(signal.SIGTERM)
        self._kill_at = until if self._kill_at is None else min(until, self._kill_at)
        self.poll()

    def _signal(self, number: signal.Signals) -> None:
        try:
            os.killpg(self.pid, number)
        except ProcessLookupError:
            if self._process.poll() is None:  # forked, and not yet the leader of its group
                with contextlib.suppress(ProcessLookupError):
                    os.kill(self.pid, number)


def _popen(command: list[str], env: Mapping[str, str], folder: Path, log: Path) -> Process:
    with log.open("ab") as out:
        return subprocess.Popen(
            command,
            env=dict(env),
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=out,
            start_new_session=True,
        )


class _Forked:
    """A Python program in a fork of the warm process."""

    def __init__(self, command: Sequence[str], env: Mapping[str, str], folder: Path, log: Path) -> None:
        arguments = (list(command), dict(env), str(folder), str(log))
        self._process = get_context("forkserver").Process(target=_run, args=arguments)
        self._process.start()
        self.pid = self._process.pid or 0

    def poll(self) -> int | None:
        return self._process.exitcode


def _run(command: list[str], env: dict[str, str], folder: str, log: str) -> None:
    """In the fork: become the program, which ends with the process that it is forked from."""
    os.setsid()
    ctypes.CDLL(None).prctl(_DIE_WITH_PARENT, signal.SIGKILL)
    out = os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    os.dup2(out, 1)
    os.dup2(out, 2)
    os.environ.clear()
    os.environ.update(env)
    get_settings.cache_clear()  # a fork imports what its starter is, and that may have read them
    os.chdir(folder)
    sys.path[:0] = [path for path in env.get("PYTHONPATH", "").split(os.pathsep) if path not in sys.path]
    signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        if command[0] == "python":
            sys.argv = command[2:]
            runpy.run_module(command[2], run_name="__main__", alter_sys=True)
        else:
            from dagster._cli import main

            sys.argv = command
            main()  # type: ignore[no-untyped-call]
    finally:
        atexit._run_exitfuncs()
        sys.stdout.flush()
        sys.stderr.flush()
