"""What the processes of a fit are to do: written by who asks, read by one process, handed to all others.

The others may be on machines that have access to nothing: all that they need comes from the group.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, cast

import msgspec
import numpy as np
import torch
from torch import Tensor, distributed

from mlops_assets.families import Examples
from mlops_assets.families.network import Network
from mlops_assets.families.network_team import Team

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray


@dataclass(frozen=True)
class Task:
    """A fit: ``family`` on ``examples``, on from ``checkpoint`` if there is one."""

    family: Network
    examples: Examples
    checkpoint: bytes | None = None


class Files:
    """What the parent and the process that it gives the task to hand to each other in a folder."""

    def __init__(self, folder: Path) -> None:
        self.task = folder / "task.npz"
        self.family = folder / "family.json"
        self.checkpoint = folder / "checkpoint.pt"
        self.trained = folder / "trained.msgpack"
        self.log = folder / "log.txt"


def write_task(files: Files, task: Task) -> None:
    """For ``read_task``."""
    examples = task.examples
    files.family.write_bytes(msgspec.json.encode(task.family))
    np.savez(
        files.task,
        x=examples.x,
        y=examples.y,
        numeric=np.array(examples.numeric, dtype=str),
        categorical=np.array(examples.categorical, dtype=str),
        cardinalities=np.array(examples.cardinalities, dtype=np.int64),
    )
    if task.checkpoint is not None:
        files.checkpoint.write_bytes(task.checkpoint)


def read_task(files: Files) -> Task:
    """What ``write_task`` wrote."""
    family = msgspec.json.decode(files.family.read_bytes(), type=Network)
    with np.load(files.task) as found:
        names = tuple(str(name) for name in found["numeric"]), tuple(str(n) for n in found["categorical"])
        cardinalities = tuple(int(n) for n in found["cardinalities"])
        examples = Examples(found["x"], found["y"], *names, cardinalities)
    return Task(family, examples, files.checkpoint.read_bytes() if files.checkpoint.exists() else None)


def share_task(task: Task | None, device: str) -> tuple[Task, Team]:
    """The task of the one process that has it, for each; and who is who. The process group must stand.

    ``device``: where the group's tensors are.
    """
    rank, size = distributed.get_rank(), distributed.get_world_size()
    has: list[Any] = [None] * size
    distributed.all_gather_object(has, task is not None)
    root = has.index(True)
    team = Team((rank - root) % size, size, root, int(os.environ["LOCAL_RANK"]))
    box: list[Any] = [None]
    if task is not None:
        few = replace(task.examples, x=task.examples.x[:0], y=task.examples.y[:0])
        box = [(replace(task, examples=few), task.examples.x.shape)]
    distributed.broadcast_object_list(box, root)
    plain, (rows, columns) = cast("tuple[Task, tuple[int, int]]", box[0])
    x = _broadcast(None if task is None else task.examples.x, (rows, columns), root, device)
    y = _broadcast(None if task is None else task.examples.y, (rows,), root, device)
    return replace(plain, examples=replace(plain.examples, x=x, y=y)), team


def _broadcast(
    array: NDArray[np.float32] | None, shape: tuple[int, ...], root: int, device: str
) -> NDArray[np.float32]:
    """As it is, without pickling: the rows may be many."""
    tensor: Tensor = torch.empty(shape) if array is None else torch.from_numpy(np.ascontiguousarray(array))
    tensor = tensor.to(device)
    distributed.broadcast(tensor, root)
    return cast("NDArray[np.float32]", tensor.cpu().numpy())
