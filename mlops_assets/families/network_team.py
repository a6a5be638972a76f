"""One process of those that train a network together, or the only one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

import torch
from torch import Tensor, distributed, nn

if TYPE_CHECKING:
    from mlops_assets.families.network_module import TabularNetwork


@dataclass(frozen=True)
class Team:
    """``rank`` of ``size`` processes; PyTorch's process group must stand if ``size`` is above one.

    Rank 0 is the process that was given the task. In PyTorch's group it is ``root``: torchrun numbers nodes
    as it likes. ``local``: this process's number on its node.
    """

    rank: int = 0
    size: int = 1
    root: int = 0
    local: int = 0

    def device(self, kind: str) -> str:
        """``kind``, or this process's own device of those of that kind."""
        return (
            f"{kind}:{self.local % torch.cuda.device_count()}" if kind == "cuda" and self.size > 1 else kind
        )

    def wrap(self, network: TabularNetwork) -> nn.Module:
        """The network as it is trained: gradients are averaged over the team, weights begin alike."""
        return network if self.size == 1 else nn.parallel.DistributedDataParallel(network)

    def seed(self, seed: int, epochs: int) -> None:
        """Random numbers of its own for each process but the first, which goes on with those it has."""
        if self.rank:
            torch.manual_seed(seed + 7919 * self.rank + 104_729 * epochs)

    def order(self, rows: int, device: str) -> Tensor:
        """The rows in random order, the same for all."""
        order = torch.randperm(rows).to(device)
        if self.size > 1:
            distributed.broadcast(order, self.root)
        return order

    def part(self, batch: Tensor) -> Tensor:
        """This process's rows of ``batch``; none, if it has fewer rows than there are processes."""
        return batch[self.rank :: self.size]

    def total(self, value: Tensor) -> float:
        """The sum over the team."""
        if self.size > 1:
            distributed.all_reduce(value)
        return float(value)

    def agree(self, metrics: dict[str, float]) -> dict[str, float]:
        """What rank 0 says: all must come to the same decisions."""
        if self.size == 1:
            return metrics
        box: list[Any] = [metrics]
        distributed.broadcast_object_list(box, self.root)
        return cast("dict[str, float]", box[0])


ALONE = Team()
