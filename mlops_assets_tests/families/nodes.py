"""Nodes as processes of this machine: the test is the first, the others are what their pods would run."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING

import psutil

from mlops_assets.families import Nodes
from mlops_assets_tests.services import free_port

if TYPE_CHECKING:
    from collections.abc import Iterator

FIRST, SECOND = "127.0.0.2", "127.0.0.1"
"""Addresses. torchrun numbers nodes in their order: the first of ours is not the first of its own."""
NODE = [sys.executable, "-m", "mlops_assets.execution.node", "2"]


def pod(index: int, port: int, *command: str, minutes: float = 1) -> subprocess.Popen[bytes]:
    """The pod of that completion index of a step over two nodes."""
    told = {
        "MLOPS_JOB": "dagster-step-1",
        "JOB_COMPLETION_INDEX": str(index),
        "MLOPS_KUBERNETES_NODES_ADDRESS": f"{FIRST}:{port}",
        "MLOPS_KUBERNETES_START_MINUTES": str(minutes),
    }
    return subprocess.Popen(
        [*NODE, *command],
        env={**os.environ, **told},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )


def kill(process: subprocess.Popen[bytes]) -> None:
    """As when its machine is switched off: no process of it is left, and none has said a word."""
    with contextlib.suppress(psutil.NoSuchProcess):
        all_of_it = psutil.Process(process.pid)
        for each in [all_of_it, *all_of_it.children(recursive=True)]:  # torchrun's are in groups of their own
            with contextlib.suppress(psutil.NoSuchProcess):
                each.kill()


@contextmanager
def two_nodes() -> Iterator[tuple[Nodes, subprocess.Popen[bytes]]]:
    """Two nodes, as a fit is told of them, and the second one's process."""
    with socket.create_server((FIRST, free_port())) as listener:
        second = pod(1, listener.getsockname()[1])
        try:
            with second:
                yield Nodes(2, listener.fileno()), second
                listener.close()
        finally:
            kill(second)
