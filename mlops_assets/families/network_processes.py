"""A fit by several processes on this machine, started by torchrun, which ends all when one fails."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
import numpy as np

from mlops_assets.families.network_fit import Trained

if TYPE_CHECKING:
    from collections.abc import Iterable

    from mlops_assets.families import Checkpoints, Examples, Progress
    from mlops_assets.families.network import Network

_LAST_WORDS = 4000
"""Characters of a failed process's output that the error tells."""


class Told(msgspec.Struct, frozen=True):
    """A line of the worker's: ``metrics`` of an epoch (NaN among them), or that a checkpoint lies there."""

    epoch: int = 0
    metrics: dict[str, float] = {}


class Files:
    """What parent and workers hand to each other in a folder."""

    def __init__(self, folder: Path) -> None:
        self.task = folder / "task.npz"
        self.family = folder / "family.json"
        self.checkpoint = folder / "checkpoint.pt"
        self.trained = folder / "trained.msgpack"
        self.log = folder / "log.txt"


def fit_in_processes(
    family: Network, examples: Examples, progress: Progress, checkpoints: Checkpoints
) -> Trained:
    """What ``NetworkFit.run`` returns, by ``family.processes`` processes.

    Raises ``RuntimeError`` with the end of their output if they fail.
    """
    with tempfile.TemporaryDirectory(prefix="fit-") as folder:
        files = Files(Path(folder))
        _write_task(files, family, examples)
        if (saved := checkpoints.load()) is not None:
            files.checkpoint.write_bytes(saved)
        with (
            files.log.open("wb") as log,
            subprocess.Popen(_command(family, folder), stdout=subprocess.PIPE, stderr=log) as process,
        ):
            try:
                _follow(process.stdout or (), files, progress, checkpoints)
                code = process.wait()
            finally:
                process.terminate()  # no harm to one that has ended; torchrun ends its workers
        if code:
            said = files.log.read_text(errors="replace")[-_LAST_WORDS:]
            raise RuntimeError(f"{family.name}: training by {family.processes} processes failed:\n{said}")
        return msgspec.msgpack.decode(files.trained.read_bytes(), type=Trained)


def read_task(files: Files) -> tuple[Network, Examples]:
    """What ``fit_in_processes`` wrote."""
    from mlops_assets.families import Examples
    from mlops_assets.families.network import Network

    family = msgspec.json.decode(files.family.read_bytes(), type=Network)
    with np.load(files.task) as task:
        names = tuple(str(name) for name in task["numeric"]), tuple(str(n) for n in task["categorical"])
        return family, Examples(task["x"], task["y"], *names, tuple(int(n) for n in task["cardinalities"]))


def _write_task(files: Files, family: Network, examples: Examples) -> None:
    files.family.write_bytes(msgspec.json.encode(family))
    np.savez(
        files.task,
        x=examples.x,
        y=examples.y,
        numeric=np.array(examples.numeric, dtype=str),
        categorical=np.array(examples.categorical, dtype=str),
        cardinalities=np.array(examples.cardinalities, dtype=np.int64),
    )


def _command(family: Network, folder: str) -> list[str]:
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
    return [*torchrun, f"--nproc-per-node={family.processes}", "-m", f"{__package__}.network_worker", folder]


def _follow(lines: Iterable[bytes], files: Files, progress: Progress, checkpoints: Checkpoints) -> None:
    """Pass on what rank 0 tells, until the processes end."""
    for line in lines:
        told = Told(**json.loads(line))
        if told.metrics:
            progress(told.epoch, told.metrics)
        else:
            checkpoints.save(files.checkpoint.read_bytes())
