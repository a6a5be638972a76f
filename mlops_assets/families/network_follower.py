"""A node that is not the first: it starts its processes when it is told to, and ends with the first."""

from __future__ import annotations

import contextlib
import socket
import subprocess
import tempfile
import threading
from typing import IO, TYPE_CHECKING, Any

import msgspec

from mlops_assets.families.network_nodes import Failed, notice_loss
from mlops_assets.families.network_torchrun import LAST_WORDS, Run, plain, torchrun

if TYPE_CHECKING:
    from collections.abc import Iterator

_END_SECONDS = 20.0


def follow(connection: socket.socket) -> None:
    """Do what the first node asks of this one, until it hangs up or is gone."""
    notice_loss(connection)
    with connection.makefile("rb") as asked:
        if line := _read(asked):
            with _processes(msgspec.json.decode(line, type=Run), connection):
                _read(asked)  # there is no more to come: the connection ends


def _read(asked: IO[bytes]) -> bytes:
    """The next line; empty when the first node has hung up, or is gone."""
    try:
        return asked.readline()
    except OSError:
        return b""


@contextlib.contextmanager
def _processes(run: Run, connection: socket.socket) -> Iterator[None]:
    """This node's processes, while the block runs; if they fail, the first node is told."""
    first, here = plain(connection.getpeername()[0]), plain(connection.getsockname()[0])
    with tempfile.TemporaryFile() as log:
        agent = subprocess.Popen(
            torchrun(run, first=first, here=here, is_first=False),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=log,
        )
        telling = threading.Thread(target=_tell_end, args=(agent, log, connection), daemon=True)
        telling.start()
        try:
            yield
        finally:
            # Before the processes end: a node that goes without a word has not failed itself.
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
            _end(agent)
            telling.join()


def _tell_end(agent: subprocess.Popen[bytes], log: IO[Any], connection: socket.socket) -> None:
    if agent.wait():
        log.seek(0)
        said = log.read().decode(errors="replace")[-LAST_WORDS:]
        with contextlib.suppress(OSError):  # the first node is gone, or does not want to know any more
            connection.sendall(msgspec.json.encode(Failed(said)) + b"\n")


def _end(agent: subprocess.Popen[bytes]) -> None:
    """Torchrun ends its processes when it is told to; it is not waited for without end."""
    agent.terminate()
    try:
        agent.wait(_END_SECONDS)
    except subprocess.TimeoutExpired:
        agent.kill()
        agent.wait()
