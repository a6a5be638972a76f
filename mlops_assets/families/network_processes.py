"""A fit by several processes, started by torchrun, which ends all on a machine when one fails."""

from __future__ import annotations

import json
import subprocess
import tempfile
import uuid
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from mlops_assets.families.network_fit import Trained
from mlops_assets.families.network_nodes import free_port, gather
from mlops_assets.families.network_task import Files, Task, write_task
from mlops_assets.families.network_torchrun import LAST_WORDS, Run, torchrun

if TYPE_CHECKING:
    from collections.abc import Iterable

    from mlops_assets.families import Checkpoints, Examples, Nodes, Progress
    from mlops_assets.families.network import Network


class Told(msgspec.Struct, frozen=True):
    """A line of the worker's: ``metrics`` of an epoch (NaN among them), or that a checkpoint lies there."""

    epoch: int = 0
    metrics: dict[str, float] = {}


def fit_in_processes(
    family: Network, examples: Examples, progress: Progress, checkpoints: Checkpoints, nodes: Nodes
) -> Trained:
    """What ``NetworkFit.run`` returns, by ``family.processes`` processes on each of the nodes.

    Raises ``NodeLostError`` if one of the nodes goes, and ``RuntimeError`` with the end of the processes'
    output if they fail.
    """
    with tempfile.TemporaryDirectory(prefix="fit-") as folder, gather(nodes) as others:
        files = Files(Path(folder))
        write_task(files, Task(family, examples, checkpoints.load()))
        run = Run(uuid.uuid4().hex, nodes.count, family.processes, family.device, free_port())
        others.start(run)
        with (
            files.log.open("wb") as log,
            subprocess.Popen(
                torchrun(run, folder, first=others.here, here=others.here),
                stdout=subprocess.PIPE,
                stderr=log,
            ) as process,
        ):
            others.watch(process)
            try:
                _follow(process.stdout or (), files, progress, checkpoints)
                code = process.wait()
            finally:
                process.terminate()  # no harm to one that has ended; torchrun ends its workers
        if code:
            said = files.log.read_text(errors="replace")[-LAST_WORDS:] + others.why_failed()
            many = family.processes * nodes.count
            raise RuntimeError(f"{family.name}: training by {many} processes failed:\n{said}")
        return msgspec.msgpack.decode(files.trained.read_bytes(), type=Trained)


def _follow(lines: Iterable[bytes], files: Files, progress: Progress, checkpoints: Checkpoints) -> None:
    """Pass on what rank 0 tells, until the processes end."""
    for line in lines:
        told = Told(**json.loads(line))
        if told.metrics:
            progress(told.epoch, told.metrics)
        else:
            checkpoints.save(files.checkpoint.read_bytes())
