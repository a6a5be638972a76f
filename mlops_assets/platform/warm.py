"""Imported by the server that runs are forked from: everything that a run may need, and no threads."""

from __future__ import annotations

import contextlib
import importlib
import os

from mlops_assets.settings import get_settings

_MODULES = (
    "mlops_assets.definitions",
    "dagster._grpc.impl",
    "dagster._core.execution.api",
    "dagster._core.executor.in_process",
    "pyarrow.parquet",
    "sklearn.ensemble",
    "onnxruntime",
    "matplotlib.backends.backend_agg",
    "mlflow",
    "mlflow.data.pandas_dataset",
    "dagster_mlflow",
    "torch",
    "torch._dynamo",  # two seconds, at the first step of any optimizer
    "onnx",
    "skl2onnx",
)

for _name in _MODULES:
    # A missing or broken module is the business of the run that needs it, with its own message.
    with contextlib.suppress(Exception):
        importlib.import_module(_name)
get_settings().warm_file.write_text(str(os.getpid()))
