"""A training over two nodes, as a run's only step; the pods tell in their logs how far it is."""

# Dagster takes a context's annotation only when it is not a string.

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import dagster as dg
import numpy as np

from mlops_assets.execution.kubernetes import build_kubernetes_executor
from mlops_assets.execution.node import nodes_of_step
from mlops_assets.execution.pods import CONFIG, tags
from mlops_assets.families import Examples
from mlops_assets.families.network import Network
from mlops_assets.needs import Needs
from mlops_assets.settings import get_settings

NETWORK = Network(max_epochs=6, patience=6, batch_rows=256, device="cpu", dropout=0.0)
NODES: Any = tags(Needs(nodes=2), "toy", "candidates", "network")[CONFIG]
EPOCH = "has done epoch"


def examples() -> Examples:
    """Rows that something can be learnt from, and not all."""
    random = np.random.default_rng(0)
    x = random.normal(size=(20_000, 4)).astype(np.float32)
    y = x[:, 0] > random.normal(size=len(x))
    return Examples(x, y.astype(np.float32), tuple("abcd"), (), ())


class InFile:
    """A checkpoint as a file."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def load(self) -> bytes | None:
        return self._path.read_bytes() if self._path.exists() else None

    def save(self, state: bytes) -> None:
        part = self._path.with_suffix(".part")
        part.write_bytes(state)
        part.replace(self._path)


@dg.op(tags={CONFIG: json.dumps(NODES)})
def train(context: dg.OpExecutionContext) -> dict[str, Any]:
    """What the training came to."""

    def progress(epoch: int, _: Mapping[str, float]) -> None:
        print(EPOCH, epoch, flush=True)

    checkpoints = InFile(Path(context.instance.root_directory, "checkpoint"))
    fitted = NETWORK.fit(examples(), progress, checkpoints, nodes_of_step())
    return {"history": fitted.history, **fitted.summary}


@dg.job(executor_def=build_kubernetes_executor(get_settings()))
def training() -> None:
    train()


def make_training() -> dg.JobDefinition:
    """For ``reconstructable``."""
    return training
