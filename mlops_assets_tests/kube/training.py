"""A training over two nodes, as a run's only step; the pods tell in their logs how far it is."""

# Dagster takes a context's annotation only when it is not a string.

import json
import time
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

NETWORK = Network(max_epochs=3, patience=3, batch_rows=256, device="cpu", dropout=0.0)
NODES: Any = tags(Needs(nodes=2), "toy", "candidates", "network")[CONFIG]
EPOCH = "has done epoch"


def examples() -> Examples:
    """Rows that something can be learnt from."""
    random = np.random.default_rng(0)
    x = random.normal(size=(2_000, 4)).astype(np.float32)
    return Examples(x, (x[:, 0] > 0).astype(np.float32), tuple("abcd"), (), ())


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
    try:
        fitted = NETWORK.fit(examples(), progress, checkpoints, nodes_of_step())
    except BaseException:
        time.sleep(3)  # as one that has much to put away: it reports its end when its Job has long failed
        raise
    return {"history": fitted.history, **fitted.summary}


@dg.job(executor_def=build_kubernetes_executor(get_settings()))
def training() -> None:
    train()


def make_training() -> dg.JobDefinition:
    """For ``reconstructable``."""
    return training
