"""The same model as MLflow's scoring server serves it: models from code, no pickle."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import mlflow
from mlflow.models import set_model

from mlops_assets_tests.benchmarks.serving_model import PROJECT
from serving.predictor import Predictor


class Flights(mlflow.pyfunc.PythonModel):  # type: ignore[misc, name-defined]
    """From a frame of instances, which the server makes of the request, to the predictions."""

    def load_context(self, context: Any) -> None:
        self._predictor = Predictor.load(Path(context.artifacts["model"]), PROJECT)

    def predict(self, context: Any, model_input, params: Any = None):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN201 - MLflow reads it
        del context, params
        found = self._predictor.predict_frame(model_input).probability
        threshold = self._predictor.bundle.threshold
        return [{"late": bool(p >= threshold), "probability": float(p)} for p in found]


set_model(Flights())
