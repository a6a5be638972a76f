"""One fit of a network: epochs, early stopping, export. Imports torch."""

from __future__ import annotations

import contextlib
import copy
import io
import math
import warnings
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn

from mlops_assets.bundle import INPUT, OUTPUT
from mlops_assets.families.encoding import forget_some, split_in_time
from mlops_assets.families.network_module import Probability, TabularNetwork
from mlops_assets.families.validation import log_loss, roc_auc

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mlops_assets.families import Examples, Progress
    from mlops_assets.families.network import Network

_OPSET = 17


class NetworkFit:
    """State of one fit. ``device``: cpu or cuda; ``best_epoch``: from 1, 0 before ``run``."""

    def __init__(self, family: Network, examples: Examples) -> None:
        self.family = family
        self.device = _device(family.device)
        self.bf16 = self.device == "cuda" and torch.cuda.is_bf16_supported()
        self.best_epoch = 0
        split = split_in_time(len(examples.y), family.validation_share)
        x = forget_some(examples, family.unknown_share, family.seed)
        self._x = torch.from_numpy(x[:split]).to(self.device)
        self._y = torch.from_numpy(examples.y[:split]).to(self.device)
        self._held_x = torch.from_numpy(examples.x[split:]).to(self.device)
        self._held_y = examples.y[split:]
        with _seeded(family):
            numeric = x[:split, : len(examples.numeric)]
            network = TabularNetwork(numeric, examples.cardinalities, family.hidden, family.dropout)
        self.network = network.to(self.device)

    def run(self, progress: Progress) -> list[dict[str, float]]:
        """Train until it gets no better; ``network`` is then that of the best epoch. Metrics by epoch."""
        family = self.family
        optimizer = torch.optim.AdamW(
            self.network.parameters(), lr=family.learning_rate, weight_decay=family.weight_decay
        )
        history: list[dict[str, float]] = []
        best, best_state = math.inf, copy.deepcopy(self.network.state_dict())
        with _seeded(family):
            for epoch in range(1, family.max_epochs + 1):
                metrics = {"train_loss": self._train_epoch(optimizer), **self._validate()}
                history.append(metrics)
                progress(epoch, metrics)
                if metrics["validation_loss"] < best:
                    best, self.best_epoch = metrics["validation_loss"], epoch
                    best_state = copy.deepcopy(self.network.state_dict())
                elif epoch - self.best_epoch >= family.patience:
                    break
        if not self.best_epoch:
            raise FloatingPointError(
                f"{family.name}: no epoch gave a finite validation loss; lower learning_rate "
                f"({family.learning_rate}) or look for infinite values among the features"
            )
        self.network.load_state_dict(best_state)
        return history

    def _train_epoch(self, optimizer: torch.optim.Optimizer) -> float:
        self.network.train()
        rows = len(self._y)
        order = torch.randperm(rows).to(self.device)
        total = torch.zeros((), device=self.device)
        for batch in order.split(self.family.batch_rows):
            with self._autocast():
                logits = self.network(self._x[batch])
            loss = nn.functional.binary_cross_entropy_with_logits(logits.float(), self._y[batch])
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            optimizer.step()
            total += loss.detach() * len(batch)
        return float(total) / rows

    def _validate(self) -> dict[str, float]:
        probability = self._predict(self._held_x)
        return {
            "validation_loss": log_loss(self._held_y, probability),
            "validation_auc": roc_auc(self._held_y, probability),
        }

    def _predict(self, x: Tensor) -> np.ndarray[Any, np.dtype[np.float64]]:
        self.network.eval()
        with torch.inference_mode(), self._autocast():
            return torch.sigmoid(self.network(x).float()).cpu().numpy().astype(np.float64)

    def _autocast(self) -> torch.autocast:
        return torch.autocast(self.device, dtype=torch.bfloat16, enabled=self.bf16)

    def to_onnx(self) -> bytes:
        """The network as a graph from ``X`` to ``probability``, in float32."""
        module = Probability(self.network).cpu().eval()
        buffer = io.BytesIO()
        with warnings.catch_warnings():
            # The TorchScript exporter is deprecated; its successor takes 6 s for this graph, it 0.2 s.
            warnings.simplefilter("ignore", DeprecationWarning)
            torch.onnx.export(
                module,
                (self._held_x[:2].cpu(),),
                buffer,
                input_names=[INPUT],
                output_names=[OUTPUT],
                dynamic_axes={INPUT: {0: "rows"}, OUTPUT: {0: "rows"}},
                opset_version=_OPSET,
                dynamo=False,
            )
        return buffer.getvalue()


def _device(wanted: str) -> str:
    there = torch.cuda.is_available()
    if wanted == "cuda" and not there:
        raise RuntimeError("device cuda is asked for and torch sees none: use device='auto'")
    return "cuda" if there and wanted != "cpu" else "cpu"


@contextlib.contextmanager
def _seeded(family: Network) -> Iterator[None]:
    """Random numbers from the family's seed and its number of threads; both as before, afterwards."""
    threads = torch.get_num_threads()
    torch.set_num_threads(family.threads)
    try:
        with torch.random.fork_rng():
            torch.manual_seed(family.seed)
            yield
    finally:
        torch.set_num_threads(threads)
