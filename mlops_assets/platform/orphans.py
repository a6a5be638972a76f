"""Processes that belong to a service, found without having started them."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

import psutil

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

MARKER = "MLOPS_SERVICE"
"""Environment variable of every process of the platform: ``<state folder>:<service>``."""


@dataclass(frozen=True)
class Belonging:
    """Tells the processes of one service (or, with an empty ``name``, of one platform)."""

    state: str
    name: str = ""
    cwd: str | None = None

    @property
    def marker(self) -> str:
        return f"{self.state}:{self.name}"

    def processes(self) -> list[psutil.Process]:
        """All of them that run now, without the calling process and its parents."""
        me = psutil.Process()
        spared = {me.pid, *(parent.pid for parent in me.parents())}
        return [
            process for process in psutil.process_iter() if process.pid not in spared and self.has(process)
        ]

    def has(self, process: psutil.Process) -> bool:
        with contextlib.suppress(psutil.Error, OSError):
            if process.status() == psutil.STATUS_ZOMBIE:
                return False
            if self.cwd is not None and process.name() == "postgres" and process.cwd() == self.cwd:
                return True  # PostgreSQL's title overwrites the environment that others can see
            mark = process.environ().get(MARKER, "")
            return mark == self.marker if self.name else mark.startswith(self.marker)
        return False


def end(processes: list[psutil.Process], grace_seconds: float = 0) -> int:
    """End ``processes``: SIGTERM and ``grace_seconds`` first if there are any, then SIGKILL. How many."""
    if grace_seconds:
        for process in _each(processes):
            process.terminate()
        _, processes_left = psutil.wait_procs(processes, timeout=grace_seconds)
    else:
        processes_left = processes
    for process in _each(processes_left):
        process.kill()
    psutil.wait_procs(processes_left, timeout=5)
    return len(processes)


def _each(processes: list[psutil.Process]) -> Iterator[psutil.Process]:
    for process in processes:
        with contextlib.suppress(psutil.Error):
            yield process


def platform(state: Path) -> Belonging:
    """All processes of the platform in ``state``."""
    return Belonging(str(state), cwd=str(state / "postgres"))
