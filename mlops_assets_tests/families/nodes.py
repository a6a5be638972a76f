"""Nodes as processes of this machine: the test is the first, the others are what their pods would run."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING

from mlops_assets.families import Nodes
from mlops_assets_tests.services import free_port

if TYPE_CHECKING:
    from collections.abc import Iterator

NODE = [sys.executable, "-m", "mlops_assets.execution.node", "2"]


def pod(index: int, port: int, *command: str, minutes: float = 1) -> subprocess.Popen[bytes]:
    """The pod of that completion index of a step over two nodes, in a process group of its own."""
    told = {
        "MLOPS_JOB": "dagster-step-1",
        "JOB_COMPLETION_INDEX": str(index),
        "MLOPS_KUBERNETES_NODES_ADDRESS": f"127.0.0.1:{port}",
        "MLOPS_KUBERNETES_START_MINUTES": str(minutes),
    }
    return subprocess.Popen(
        [*NODE, *command],
        env={**os.environ, **told},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
    )


def kill(process: subprocess.Popen[bytes]) -> None:
    """As when its machine is switched off: no process of it is left, and none has said a word."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)


@contextmanager
def two_nodes() -> Iterator[tuple[Nodes, subprocess.Popen[bytes]]]:
    """Two nodes, as a fit is told of them, and the second one's process."""
    with socket.create_server(("127.0.0.1", free_port())) as listener:
        second = pod(1, listener.getsockname()[1])
        try:
            with second:
                yield Nodes(2, listener.fileno()), second
                listener.close()
        finally:
            kill(second)
