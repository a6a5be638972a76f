"""Ports: which are free, and who holds one that is not."""

from __future__ import annotations

import contextlib
import json
import socket
from typing import TYPE_CHECKING

import psutil

from mlops_assets.platform.service import PlatformError

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from mlops_assets.platform.service import Port, Service

HOST = "127.0.0.1"
_GRPC_OFFSET = 10_000


class PortInUseError(PlatformError):
    """A port that a service needs is held by another process."""


def is_free(port: int) -> bool:
    """Whether a server could listen on the loopback ``port`` now."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
            probe.listen(1)
        except OSError:
            return False
    return True


def holder(port: int) -> psutil.Process | None:
    """The process that listens on ``port``, or None when this account may not see it."""
    with contextlib.suppress(psutil.Error):
        for connection in psutil.net_connections(kind="tcp"):
            if connection.status != psutil.CONN_LISTEN or not connection.laddr or not connection.pid:
                continue
            if connection.laddr.port == port:
                return psutil.Process(connection.pid)
    return None


def require_free(services: Iterable[Service]) -> None:
    """Raise ``PortInUseError`` for the first port of ``services`` that somebody else holds."""
    wanted: dict[int, str] = {}
    for service in services:
        for port in service.ports:
            if port.number in wanted:
                raise PortInUseError(_twice(port, service.name, wanted[port.number]))
            wanted[port.number] = service.name
            if not is_free(port.number):
                raise PortInUseError(_taken(port, service.name))


def _taken(port: Port, service: str) -> str:
    process = holder(port.number)
    if process is None:
        who = "a process of another user"
    else:
        with contextlib.suppress(psutil.Error):
            who = f"{process.name()} (pid {process.pid}: {' '.join(process.cmdline())[:120]})"
    return f"Port {port.number}, which {service} needs, is held by {who}. {_remedy(port)}"


def _twice(port: Port, service: str, other: str) -> str:
    return f"Port {port.number} is wanted by {other} and by {service}. {_remedy(port)}"


def _remedy(port: Port) -> str:
    if port.setting is None:
        return "Stop that process, or run `mlops up` again: another port is then chosen."
    return f"Stop that process, or set {port.setting} to a free port (in .env or the environment)."


def chosen_ports(file: Path, names: Iterable[str]) -> dict[str, int]:
    """Ports that nobody needs to know, chosen at the first start and kept in ``file``.

    One that another process took in the meantime is chosen anew by deleting the file (``mlops up``
    does, when nothing runs). For each, port + 10,000 was free too: SeaweedFS's gRPC.
    """
    chosen: dict[str, int] = json.loads(file.read_text()) if file.exists() else {}
    missing = [name for name in names if name not in chosen]
    if missing:
        chosen |= dict(zip(missing, free_ports(len(missing)), strict=True))
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps(chosen, indent=2) + "\n")
    return chosen


def free_ports(count: int) -> list[int]:
    """``count`` distinct loopback ports that are free, as is each one + 10,000."""
    found: list[int] = []
    with contextlib.ExitStack() as held:  # held open, so that none is given twice
        while len(found) < count:
            probe = held.enter_context(socket.socket())
            probe.bind((HOST, 0))
            port = int(probe.getsockname()[1])
            if port + _GRPC_OFFSET <= 65_535 and is_free(port + _GRPC_OFFSET):
                found.append(port)
    return found
