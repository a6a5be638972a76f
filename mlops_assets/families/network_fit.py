"""One fit of a network: epochs, early stopping, refit, export. Imports torch."""

from __future__ import annotations

import contextlib
import copy
import io
import warnings
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np
import torch
from msgspec.structs import replace
from torch import Tensor, nn

from mlops_assets.bundle import INPUT, OUTPUT
from mlops_assets.families import NO_CHECKPOINTS
from mlops_assets.families.encoding import forget_some, split_in_time
from mlops_assets.families.network_module import Probability, TabularNetwork
from mlops_assets.families.network_point import Point, fit_id, pack, unpack
from mlops_assets.families.network_team import ALONE
from mlops_assets.families.validation import log_loss, roc_auc

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from mlops_assets.families import Checkpoints, Examples, Progress
    from mlops_assets.families.network import Network
    from mlops_assets.families.network_team import Team

_OPSET = 17
_WARM_UP_STEPS = 10  # of the moving average: the first steps' weights shall not weigh on the later ones


class Trained(msgspec.Struct, frozen=True):
    """What a fit came to. ``history``: metrics by epoch of the search; ``best_epoch``: from 1.

    ``resumed_at``: epochs, of search and final fit together, that a checkpoint saved.
    """

    onnx: bytes
    history: tuple[dict[str, float], ...]
    best_epoch: int
    device: str
    bf16: bool
    resumed_at: int


class NetworkFit:
    """State of one fit. ``device``: cpu or cuda, with a number as one of several processes."""

    def __init__(self, family: Network, examples: Examples, team: Team = ALONE) -> None:
        self.family = family
        self.device = team.device(_device(family.device))
        self.bf16 = self.device != "cpu" and torch.cuda.is_bf16_supported()
        self._team = team
        self._examples = examples
        self._known = forget_some(examples, family.unknown_share, family.seed)
        self._x = torch.from_numpy(self._known).to(self.device)
        self._y = torch.from_numpy(examples.y).to(self.device)
        self._split = split_in_time(len(examples.y), family.validation_share)
        self._point = Point(fit_id(family, examples))

    def run(self, progress: Progress, checkpoints: Checkpoints = NO_CHECKPOINTS) -> Trained:
        """Search the number of epochs, then fit on all rows; on from a checkpoint, if there is one.

        Raises ``ValueError`` for a checkpoint of another fit.
        """
        saved = checkpoints.load()
        with _seeded(self.family):
            if saved is None:
                self._start(self._split)
            else:
                self._resume(saved)
            resumed_at = self._point.epochs
            if not self._point.final:
                self._search(progress, checkpoints)
                torch.manual_seed(self.family.seed)
                self._start(len(self._y))
                self._point = replace(self._point, final=True)
            while self._point.done < self._point.best_epoch:
                self._train_epoch()
                self._keep(checkpoints, replace(self._point, done=self._point.done + 1))
        point = self._point
        return Trained(self.to_onnx(), point.history, point.best_epoch, self.device, self.bf16, resumed_at)

    def _start(self, rows: int) -> None:
        """A new network that is to be trained on the first ``rows`` rows."""
        family = self.family
        numeric = self._known[:rows, : len(self._examples.numeric)]
        network = TabularNetwork(numeric, self._examples.cardinalities, family.hidden, family.dropout)
        self._network = network.to(self.device)
        self._model = self._team.wrap(self._network)
        self._average = copy.deepcopy(self._network).eval()
        self._rows, self._steps = rows, 0
        self._optimizer = torch.optim.AdamW(
            self._network.parameters(), lr=family.learning_rate, weight_decay=family.weight_decay
        )
        self._team.seed(family.seed, 0)

    def _resume(self, saved: bytes) -> None:
        """Take up the fit where ``saved`` left it, random numbers included."""
        self._point, tensors = unpack(saved, self._point.fit)
        self._start(len(self._y) if self._point.final else self._split)
        self._network.load_state_dict(tensors["network"])
        self._average.load_state_dict(tensors["average"])
        self._optimizer.load_state_dict(tensors["optimizer"])
        self._steps = tensors["steps"]
        torch.set_rng_state(tensors["random"])
        if self.device != "cpu" and "random_cuda" in tensors:
            torch.cuda.set_rng_state(tensors["random_cuda"], self.device)
        self._team.seed(self.family.seed, self._point.epochs)

    def _keep(self, checkpoints: Checkpoints, point: Point) -> None:
        """Note that one more epoch is done."""
        self._point = point
        if checkpoints is NO_CHECKPOINTS or self._team.rank:
            return
        tensors = {
            "network": self._network.state_dict(),
            "average": self._average.state_dict(),
            "optimizer": self._optimizer.state_dict(),
            "steps": self._steps,
            "random": torch.get_rng_state(),
        }
        if self.device != "cpu":
            tensors["random_cuda"] = torch.cuda.get_rng_state(self.device)
        checkpoints.save(pack(point, tensors))

    def _search(self, progress: Progress, checkpoints: Checkpoints) -> None:
        while not self._searched():
            metrics = self._team.agree({"train_loss": self._train_epoch(), **self._validate()})
            point = self._point.after(metrics)
            progress(point.epochs, metrics)
            self._keep(checkpoints, point)
        if not self._point.best_epoch:
            raise FloatingPointError(
                f"{self.family.name}: no epoch gave a finite validation loss; lower learning_rate "
                f"({self.family.learning_rate}) or look for infinite values among the features"
            )

    def _searched(self) -> bool:
        epochs = len(self._point.history)
        return epochs >= self.family.max_epochs or epochs - self._point.best_epoch >= self.family.patience

    def _train_epoch(self) -> float:
        self._model.train()
        order = self._team.order(self._rows, self.device)
        total = torch.zeros((), device=self.device)
        for batch in torch.split(order, self.family.batch_rows):
            part = self._team.part(batch)
            with self._autocast():
                logits = self._model(self._x[part])
            loss = _mean_loss(logits.float(), self._y[part])
            self._optimizer.zero_grad(set_to_none=True)
            # The team's gradients are averaged: weighted, they come to those of the whole batch.
            (loss * (len(part) * self._team.size / len(batch))).backward()  # type: ignore[no-untyped-call]
            self._optimizer.step()
            self._update_average()
            total += loss.detach() * len(part)
        return self._team.total(total) / self._rows

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
        return torch.autocast(self.device.partition(":")[0], dtype=torch.bfloat16, enabled=self.bf16)

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


def _mean_loss(logits: Tensor, y: Tensor) -> Tensor:
    """Of no rows it is 0, not NaN: a small last batch may leave a process without any."""
    return nn.functional.binary_cross_entropy_with_logits(logits, y) if len(y) else logits.sum()


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
