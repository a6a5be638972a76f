"""A neural network (PyTorch) of embeddings and an MLP, stored as ONNX."""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass
from typing import ClassVar, Literal

from mlops_assets.families import (
    NO_CHECKPOINTS,
    ONE_NODE,
    Checkpoints,
    Examples,
    Fitted,
    Nodes,
    Progress,
)

Device = Literal["auto", "cpu", "cuda"]


@dataclass(frozen=True)
class Network:
    """An embedding a categorical column, beside standardised numeric columns, under an MLP.

    Training stops when ``patience`` epochs in a row made the last rows in time no better. Then it is
    done again for the best number of epochs on all rows: the last ones are most like what comes next
    (flight delays: mean AUC on the next month .7035 instead of .6965). Judged and kept are the
    weights' moving average over the steps. On a CPU the result is the same for the same ``seed`` and
    ``threads`` (more than one thread: see ``Boosting``). On CUDA it computes in bfloat16 where the
    device can.

    ``processes``: on each node. More than one in all share each batch (PyTorch's DistributedDataParallel,
    started by torchrun: NCCL with a device each, else gloo); batches are as large as with one.
    """

    name: str = "network"
    hidden: tuple[int, ...] = (64, 32)
    dropout: float = 0.3
    learning_rate: float = 0.002
    weight_decay: float = 0.01
    averaging: float = 0.99
    batch_rows: int = 1024
    max_epochs: int = 12
    patience: int = 3
    validation_share: float = 0.1
    unknown_share: float = 0.01
    seed: int = 0
    threads: int = 1
    device: Device = "auto"
    processes: int = 1

    kinds: ClassVar[frozenset[str]] = frozenset({"pytorch"})
    over_nodes: ClassVar[bool] = True

    def fit(
        self,
        examples: Examples,
        progress: Progress,
        checkpoints: Checkpoints = NO_CHECKPOINTS,
        nodes: Nodes = ONE_NODE,
    ) -> Fitted:
        """Find the number of epochs with the last ``validation_share`` of the rows; fit on all.

        The state after each epoch goes to ``checkpoints``: a fit that was cut off loses one epoch at most,
        and comes to the same model. Raises ``RuntimeError`` if ``device`` is cuda and there is none, or
        if one of several processes fails; ``NodeLostError`` if one of several nodes is gone; ``ValueError``
        for a checkpoint of another fit.
        """
        started = time.monotonic()
        if self.processes * nodes.count == 1:
            from mlops_assets.families.network_fit import NetworkFit

            done = NetworkFit(self, examples).run(progress, checkpoints)
        else:
            from mlops_assets.families.network_processes import fit_in_processes

            done = fit_in_processes(self, examples, progress, checkpoints, nodes)
        best = done.history[done.best_epoch - 1]
        summary = {
            "epochs": len(done.history),
            "best_epoch": done.best_epoch,
            "validation_loss": best["validation_loss"],
            "validation_auc": best["validation_auc"],
            "seconds": round(time.monotonic() - started, 3),
            "device": done.device,
            "bf16": done.bf16,
            "processes": self.processes * nodes.count,
            "nodes": nodes.count,
            "resumed_at_epoch": done.resumed_at,
        }
        return Fitted(done.onnx, asdict(self), done.history, summary)
