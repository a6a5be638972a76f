"""One fit of a network: epochs, early stopping, refit, export. Imports torch."""

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

    from numpy.typing import NDArray

    from mlops_assets.families import Examples, Progress
    from mlops_assets.families.network import Network

_OPSET = 17
_WARM_UP_STEPS = 10  # of the moving average: the first steps' weights shall not weigh on the later ones


class NetworkFit:
    """State of one fit. ``device``: cpu or cuda; ``best_epoch``: from 1, 0 before ``run``."""

    def __init__(self, family: Network, examples: Examples) -> None:
        self.family = family
        self.device = _device(family.device)
        self.bf16 = self.device == "cuda" and torch.cuda.is_bf16_supported()
        self.best_epoch = 0
        self._examples = examples
        self._known = forget_some(examples, family.unknown_share, family.seed)
        self._x = torch.from_numpy(self._known).to(self.device)
        self._y = torch.from_numpy(examples.y).to(self.device)
        self._split = split_in_time(len(examples.y), family.validation_share)

    def run(self, progress: Progress) -> list[dict[str, float]]:
        """Search the number of epochs, then fit on all rows. The metrics by epoch of the search."""
        with _seeded(self.family):
            self._start(self._split)
            history = self._search(progress)
        with _seeded(self.family):
            self._start(len(self._y))
            for _ in range(self.best_epoch):
                self._train_epoch()
        return history

    def _start(self, rows: int) -> None:
        """A new network that is to be trained on the first ``rows`` rows."""
        family = self.family
        numeric = self._known[:rows, : len(self._examples.numeric)]
        network = TabularNetwork(numeric, self._examples.cardinalities, family.hidden, family.dropout)
        self._network = network.to(self.device)
        self._average = copy.deepcopy(self._network).eval()
        self._rows, self._steps = rows, 0
        self._optimizer = torch.optim.AdamW(
            self._network.parameters(), lr=family.learning_rate, weight_decay=family.weight_decay
        )

    def _search(self, progress: Progress) -> list[dict[str, float]]:
        history: list[dict[str, float]] = []
        best = math.inf
        for epoch in range(1, self.family.max_epochs + 1):
            metrics = {"train_loss": self._train_epoch(), **self._validate()}
            history.append(metrics)
            progress(epoch, metrics)
            if metrics["validation_loss"] < best:
                best, self.best_epoch = metrics["validation_loss"], epoch
            elif epoch - self.best_epoch >= self.family.patience:
                break
        if not self.best_epoch:
            raise FloatingPointError(
                f"{self.family.name}: no epoch gave a finite validation loss; lower learning_rate "
                f"({self.family.learning_rate}) or look for infinite values among the features"
            )
        return history

    def _train_epoch(self) -> float:
        self._network.train()
        order = torch.randperm(self._rows).to(self.device)
        total = torch.zeros((), device=self.device)
        for batch in torch.split(order, self.family.batch_rows):
            with self._autocast():
                logits = self._network(self._x[batch])
            loss = nn.functional.binary_cross_entropy_with_logits(logits.float(), self._y[batch])
            self._optimizer.zero_grad(set_to_none=True)
            loss.backward()  # type: ignore[no-untyped-call]
            self._optimizer.step()
            self._update_average()
            total += loss.detach() * len(batch)
        return float(total) / self._rows

    def _update_average(self) -> None:
        self._steps += 1
        keep = min(self.family.averaging, self._steps / (self._steps + _WARM_UP_STEPS))
        with torch.no_grad():
            for mean, weight in zip(self._average.parameters(), self._network.parameters(), strict=True):
                mean.lerp_(weight, 1 - keep)

    def _validate(self) -> dict[str, float]:
        y = self._examples.y[self._split :]
        # The validation rows as they are, without the codes that training rows forget.
        probability = self._predict(torch.from_numpy(self._examples.x[self._split :]).to(self.device))
        return {"validation_loss": log_loss(y, probability), "validation_auc": roc_auc(y, probability)}

    def _predict(self, x: Tensor) -> NDArray[np.float64]:
        with torch.inference_mode(), self._autocast():
            logits = self._average(x).float()
        probability: NDArray[Any] = torch.sigmoid(logits).cpu().numpy()
        return probability.astype(np.float64)

    def _autocast(self) -> torch.autocast:
        return torch.autocast(self.device, dtype=torch.bfloat16, enabled=self.bf16)

    def predict(self, x: NDArray[np.float32]) -> NDArray[np.float64]:
        """Probabilities (rows,) of encoded rows by the network itself, in float32 on the CPU."""
        with torch.inference_mode():
            probability: NDArray[Any] = Probability(self._average).cpu()(torch.from_numpy(x)).numpy()
        return probability.astype(np.float64)

    def to_onnx(self) -> bytes:
        """The network as a graph from ``X`` to ``probability``, in float32."""
        module = Probability(self._average).cpu().eval()
        buffer = io.BytesIO()
        with warnings.catch_warnings():
            # The TorchScript exporter is deprecated; its successor takes 6 s for this graph, it 0.2 s.
            warnings.simplefilter("ignore", DeprecationWarning)
            torch.onnx.export(
                module,
                (torch.from_numpy(self._examples.x[:2]),),
                buffer,  # type: ignore[arg-type]  # a file-like object will do without dynamo
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
