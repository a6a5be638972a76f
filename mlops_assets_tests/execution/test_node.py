"""The pods of a step over several nodes: the first executes it, the others end with it, however it ends."""

from __future__ import annotations

import signal
import socket
import sys

import pytest

from mlops_assets.execution.node import nodes_of_step
from mlops_assets.families import ONE_NODE
from mlops_assets_tests.families.nodes import FIRST, kill, pod
from mlops_assets_tests.services import free_port

STEP = """
import socket
from mlops_assets.execution.node import nodes_of_step

nodes = nodes_of_step()
with socket.socket(fileno=nodes.listener) as listener:
    {meets}
    print(nodes.count, nodes.patience, flush=True)
    {ends}
"""
"""In the place of Dagster's command: tells what it sees."""


@pytest.mark.parametrize(
    ("meets", "ends", "status"),
    [
        ("listener.accept()[0].close()", "raise SystemExit(3)", 3),
        ("other = listener.accept()", "import os; os.kill(os.getpid(), 9)", -signal.SIGKILL),
        ("import select; select.select([listener], [], [])", "pass", 0),
    ],
    ids=["fails", "is-killed", "never-asks-for-them"],
)
def test_the_others_end_well_when_the_step_does(meets: str, ends: str, status: int) -> None:
    port = free_port()
    step = STEP.format(meets=meets, ends=ends)
    with pod(1, port) as other, pod(0, port, sys.executable, "-c", step) as first:
        said, _ = first.communicate(timeout=120)
        assert (said, first.returncode) == (b"2 60.0\n", status)
        assert other.wait(60) == 0


def test_a_first_pod_that_never_comes_is_not_waited_for_without_end() -> None:
    with pod(1, free_port(), minutes=0.005) as other:
        _, said = other.communicate(timeout=60)
    assert other.returncode == 0
    assert b"does not answer within 0 s: the step is over, or not begun" in said


def test_one_that_is_told_to_stop_says_so_by_its_status_and_hangs_up() -> None:
    with (
        socket.create_server((FIRST, free_port())) as listener,
        pod(1, listener.getsockname()[1]) as other,
    ):
        try:
            listener.settimeout(60)
            connection, _ = listener.accept()
            with connection:
                other.terminate()
                assert connection.recv(1) == b""
            assert other.wait(60) == 128 + signal.SIGTERM
        finally:
            kill(other)


def test_a_step_on_one_node_is_told_of_no_others() -> None:
    assert nodes_of_step({}) == ONE_NODE
