"""The command that starts a node's share of the processes of a fit."""

from __future__ import annotations

import ipaddress
import sys

import msgspec

LAST_WORDS = 4000
"""Characters of the output of a failed process that the error tells."""


class Run(msgspec.Struct, frozen=True):
    """A fit as torchrun is told of it: the same for all nodes. ``port``: of the rendezvous, on the first."""

    id: str
    nodes: int
    processes: int
    device: str
    port: int = 0


def torchrun(run: Run, *arguments: str, first: str = "", here: str = "", is_first: bool = True) -> list[str]:
    """``first`` and ``here``: the addresses of the first node and of this one, if there are several."""
    command = [sys.executable, "-m", "torch.distributed.run", f"--nproc-per-node={run.processes}"]
    if run.nodes == 1:
        command += ["--standalone"]
    else:
        command += [
            f"--nnodes={run.nodes}",
            f"--rdzv-id={run.id}",
            "--rdzv-backend=c10d",
            f"--rdzv-endpoint={first}:{run.port}",
            f"--rdzv-conf=is_host={int(is_first)}",
            f"--local-addr={here}",
        ]
    return [*command, "-m", f"{__package__}.network_worker", run.device, *arguments]


def plain(host: str) -> str:
    """An address as torchrun takes it; a socket for both kinds says an IPv4 address in IPv6."""
    address = ipaddress.ip_address(host)
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
        return str(address.ipv4_mapped)
    return str(address)
