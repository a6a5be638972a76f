"""One of the pods of a step over several nodes: ``python -m mlops_assets.execution.node COUNT COMMAND ...``.

The pod with completion index 0 executes the step (``COMMAND``, Dagster's own): Dagster is told once what
happens. The others do what it asks of them, and end when it does: each waits at a connection to it, which
the system closes, whatever its end is like.
"""

from __future__ import annotations

import os
import signal
import socket
import sys
import time
from typing import TYPE_CHECKING

import msgspec

from mlops_assets.families import ONE_NODE, Nodes
from mlops_assets.settings import get_settings

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from types import FrameType

_NODES = "MLOPS_NODES"


def nodes_of_step(environment: Mapping[str, str] = os.environ) -> Nodes:
    """The nodes of the step that this process executes."""
    told = environment.get(_NODES)
    return msgspec.json.decode(told, type=Nodes) if told else ONE_NODE


def main(arguments: Sequence[str], environment: Mapping[str, str] = os.environ) -> None:
    """Be the pod that ``environment`` says; as the first, become ``COMMAND``."""
    count, command = int(arguments[0]), list(arguments[1:])
    settings = get_settings()
    host, _, port = settings.kubernetes_nodes_address.format(job=environment["MLOPS_JOB"]).rpartition(":")
    patience = settings.kubernetes_start_minutes * 60
    if environment["JOB_COMPLETION_INDEX"] == "0":
        _execute(command, count, int(port), patience, environment)
    else:
        _help(host, int(port), patience)


def _execute(
    command: list[str], count: int, port: int, patience: float, environment: Mapping[str, str]
) -> None:
    """Become ``command``, which inherits a socket that the others can connect to from now on."""
    both = socket.has_dualstack_ipv6()
    family = socket.AF_INET6 if both else socket.AF_INET
    listener = socket.create_server(("", port), family=family, backlog=count, dualstack_ipv6=both)
    listener.set_inheritable(True)
    nodes = Nodes(count, listener.fileno(), patience)
    told = msgspec.json.encode(nodes).decode()
    os.execvpe(command[0], command, {**environment, _NODES: told})  # noqa: S606 - it is what the pod is for


def _help(host: str, port: int, patience: float) -> None:
    """Do what the first pod asks for. That it does not come is its own failure, and not this one's."""
    from mlops_assets.families.network_follower import follow

    signal.signal(signal.SIGTERM, _end)
    connection = _connect(host, port, patience)
    if connection is None:
        sys.stderr.write(
            f"{host}:{port} does not answer within {patience:.0f} s: the step is over, or not begun\n"
        )
        return
    with connection:
        follow(connection)


def _connect(host: str, port: int, patience: float) -> socket.socket | None:
    """A connection to the first pod, which may start later than this one; None if it does not come."""
    deadline = time.monotonic() + patience
    while time.monotonic() < deadline:
        try:
            connection = socket.create_connection((host, port), timeout=5)
        except OSError:  # no such name yet, or nobody listens
            time.sleep(min(1.0, patience))
        else:
            connection.settimeout(None)
            return connection
    return None


def _end(number: int, _frame: FrameType | None) -> None:
    raise SystemExit(128 + number)


if __name__ == "__main__":
    main(sys.argv[1:])
