"""One of several processes that train a network: ``torchrun -m mlops_assets.families.network_worker``."""

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
from mlops_assets.families.network_processes import Files, Told, read_task
from mlops_assets.families.network_team import Team

if TYPE_CHECKING:
    from collections.abc import Mapping


class _InFolder:
    """The checkpoint as a file; the parent is told of each, and takes it from there."""

    def __init__(self, files: Files) -> None:
        self._file = files.checkpoint

    def load(self) -> bytes | None:
        return self._file.read_bytes() if self._file.exists() else None

    def save(self, state: bytes) -> None:
        part = self._file.with_suffix(".part")
        part.write_bytes(state)
        part.replace(self._file)
        _tell(Told())


def _tell(told: Told) -> None:
    sys.stdout.write(json.dumps(msgspec.structs.asdict(told)) + "\n")
    sys.stdout.flush()


def main(folder: str) -> None:
    """Train together with the others; rank 0 tells the parent and writes what came of it."""
    files = Files(Path(folder))
    family, examples = read_task(files)
    on_devices = family.device != "cpu" and torch.cuda.is_available()
    distributed.init_process_group("nccl" if on_devices else "gloo")
    team = Team(distributed.get_rank(), distributed.get_world_size())
    if on_devices:
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]) % torch.cuda.device_count())

    def progress(epoch: int, metrics: Mapping[str, float]) -> None:
        if not team.rank:
            _tell(Told(epoch, dict(metrics)))

    checkpoints = _InFolder(files)
    trained = NetworkFit(family, examples, team).run(progress, checkpoints)
    if not team.rank:
        files.trained.write_bytes(msgspec.msgpack.encode(trained))
    distributed.destroy_process_group()


if __name__ == "__main__":
    main(sys.argv[1])
