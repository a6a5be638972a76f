"""One of several processes that train a network: ``torchrun -m mlops_assets.families.network_worker``.

Arguments: the device of the family, and on the node that was given the task, the folder that it is in.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
import torch
from torch import distributed

from mlops_assets.families.network_fit import NetworkFit
from mlops_assets.families.network_processes import Told
from mlops_assets.families.network_task import Files, read_task, share_task

if TYPE_CHECKING:
    from collections.abc import Mapping


class _Given:
    """The checkpoint that came with the task. A new one is a file; the parent is told, and takes it."""

    def __init__(self, state: bytes | None, files: Files | None) -> None:
        self._state = state
        self._files = files

    def load(self) -> bytes | None:
        return self._state

    def save(self, state: bytes) -> None:
        if self._files is not None:
            part = self._files.checkpoint.with_suffix(".part")
            part.write_bytes(state)
            part.replace(self._files.checkpoint)
            _tell(Told())


def _tell(told: Told) -> None:
    sys.stdout.write(json.dumps(msgspec.structs.asdict(told)) + "\n")
    sys.stdout.flush()


def main(device: str, folder: str | None = None) -> None:
    """Train together with the others; rank 0 tells the parent and writes what came of it."""
    local = int(os.environ["LOCAL_RANK"])
    on_devices = device != "cpu" and torch.cuda.is_available()
    if on_devices:
        torch.cuda.set_device(local % torch.cuda.device_count())
    distributed.init_process_group("nccl" if on_devices else "gloo")
    files = None if folder is None or local else Files(Path(folder))
    task, team = share_task(None if files is None else read_task(files), "cuda" if on_devices else "cpu")

    def progress(epoch: int, metrics: Mapping[str, float]) -> None:
        if not team.rank:
            _tell(Told(epoch, dict(metrics)))

    trained = NetworkFit(task.family, task.examples, team).run(progress, _Given(task.checkpoint, files))
    if files is not None:
        files.trained.write_bytes(msgspec.msgpack.encode(trained))
    distributed.destroy_process_group()


if __name__ == "__main__":
    main(*sys.argv[1:])
