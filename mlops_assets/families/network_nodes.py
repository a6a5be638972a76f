"""The other nodes of a fit, as the first one has them: a connection to each, which ends when the node does.

torchrun's own rendezvous brings their processes together. The connections say what it cannot: that a fit
begins, and why it failed. A process whose peer has an error sees the same as one whose peer is gone; but only
a node that is gone leaves without a word, and only then is it worth trying again.
"""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import threading
import time
from typing import TYPE_CHECKING

import msgspec

from mlops_assets.families import NodeLostError
from mlops_assets.families.network_torchrun import Run, plain

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mlops_assets.families import Nodes

_LAST_WORDS_SECONDS = 5.0
"""When one node fails, all do: so long, each is waited for, to hear what it has to say."""


class Failed(msgspec.Struct, frozen=True):
    """What a node says whose processes have failed: the end of their output."""

    said: str


class Other:
    """The connection to one of the other nodes."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self.address = plain(connection.getpeername()[0])
        self.failed: Failed | None = None
        self.gone = False
        self._listening: threading.Thread | None = None

    def start(self, run: Run) -> None:
        """Have it start its processes."""
        try:
            self._connection.sendall(msgspec.json.encode(run) + b"\n")
        except OSError:
            self.gone = True

    def watch(self, process: subprocess.Popen[bytes]) -> None:
        """End ``process``, which is this node's share of the fit, when the other fails or is gone."""
        self._listening = threading.Thread(target=self._listen, args=(process,), daemon=True)
        self._listening.start()

    def hear_out(self, seconds: float) -> None:
        """Give it so long to say why it failed."""
        if self._listening is not None:
            self._listening.join(seconds)

    def hang_up(self) -> None:
        """The node then ends."""
        with contextlib.suppress(OSError):
            self._connection.shutdown(socket.SHUT_RDWR)
        self.hear_out(_LAST_WORDS_SECONDS)
        self._connection.close()

    def _listen(self, process: subprocess.Popen[bytes]) -> None:
        try:
            line = self._connection.makefile("rb").readline()
        except OSError:
            line = b""
        if line.endswith(b"\n"):  # a part of a line: it was cut off while it spoke
            self.failed = msgspec.json.decode(line, type=Failed)
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(_LAST_WORDS_SECONDS)  # this node's processes may have more to say of it
        else:
            self.gone = True
        process.terminate()


class Others:
    """All of them; none, where there is one node. ``here``: this node's address, as they reach it."""

    def __init__(self, others: list[Other], here: str) -> None:
        self._others = others
        self.here = here

    def start(self, run: Run) -> None:
        """Have all of them start their processes."""
        for other in self._others:
            other.start(run)

    def watch(self, process: subprocess.Popen[bytes]) -> None:
        """End ``process`` when one of them fails or is gone."""
        for other in self._others:
            other.watch(process)

    def why_failed(self) -> str:
        """What those said whose processes failed, once this node's have. Raises ``NodeLostError``."""
        until = time.monotonic() + _LAST_WORDS_SECONDS
        for other in self._others:
            other.hear_out(max(0.0, until - time.monotonic()))
        if lost := [other.address for other in self._others if other.gone]:
            raise NodeLostError(
                f"lost node {', '.join(lost)} while training: try again, it goes on from its checkpoint"
            )
        told = [(other.address, other.failed.said) for other in self._others if other.failed]
        return "".join(f"\nnode {address} said:\n{said}" for address, said in told)


@contextlib.contextmanager
def gather(nodes: Nodes) -> Iterator[Others]:
    """The other nodes, all of them connected; hung up on at the end. Raises ``NodeLostError``."""
    if nodes.count == 1:
        yield Others([], "")
        return
    with contextlib.ExitStack() as stack:
        listener = stack.enter_context(socket.socket(fileno=os.dup(nodes.listener)))
        deadline = time.monotonic() + nodes.patience
        connections: list[socket.socket] = []
        while len(connections) < nodes.count - 1:
            listener.settimeout(max(0.001, deadline - time.monotonic()))
            try:
                connection, _ = listener.accept()
            except TimeoutError:
                raise NodeLostError(
                    f"{len(connections) + 1} of {nodes.count} nodes are here after {nodes.patience:.0f} s: "
                    "look at what the pods of the others wait for, or lower Needs.nodes in the project"
                ) from None
            connection.settimeout(None)
            notice_loss(connection)
            connections.append(connection)
        others = [Other(connection) for connection in connections]
        for other in others:
            stack.callback(other.hang_up)
        yield Others(others, plain(connections[0].getsockname()[0]))


def notice_loss(connection: socket.socket) -> None:
    """Have the system ask whether the other side is still there: a machine that is lost says no farewell."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for option, value in (("TCP_KEEPIDLE", 10), ("TCP_KEEPINTVL", 5), ("TCP_KEEPCNT", 3)):
        if hasattr(socket, option):  # not everywhere
            connection.setsockopt(socket.IPPROTO_TCP, getattr(socket, option), value)


def free_port() -> int:
    """A port that nobody listens on now."""
    with socket.create_server(("", 0)) as probe:
        port: int = probe.getsockname()[1]
        return port
