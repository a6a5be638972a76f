"""A neural network (PyTorch) of embeddings and an MLP, stored as ONNX."""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass
from typing import ClassVar, Literal

from mlops_assets.families import Examples, Fitted, Progress

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

    kinds: ClassVar[frozenset[str]] = frozenset({"pytorch"})

    def fit(self, examples: Examples, progress: Progress) -> Fitted:
        """Find the number of epochs with the last ``validation_share`` of the rows; fit on all.

        Raises ``RuntimeError`` if ``device`` is cuda and there is none.
        """
        from mlops_assets.families.network_fit import NetworkFit

        started = time.monotonic()
        fit = NetworkFit(self, examples)
        history = fit.run(progress)
        summary = {
            "epochs": len(history),
            "best_epoch": fit.best_epoch,
            "validation_loss": history[fit.best_epoch - 1]["validation_loss"],
            "validation_auc": history[fit.best_epoch - 1]["validation_auc"],
            "seconds": round(time.monotonic() - started, 3),
            "device": fit.device,
            "bf16": fit.bf16,
        }
        return Fitted(fit.to_onnx(), asdict(self), tuple(history), summary)
