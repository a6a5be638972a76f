"""The peers: the same model behind stock LitServe, a bare FastAPI handler, and MLflow's own server.

As processes: ``python -m mlops_assets_tests.benchmarks.serving_peers litserve|fastapi MODEL PORT``.
Each does what its users write: JSON in, the project's transform and the model, JSON out.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import litserve as ls
import msgspec
from fastapi import FastAPI, Request

from mlops_assets_tests.benchmarks.serving_model import PROJECT
from serving.fields import Columns
from serving.predictor import Predictor


class Model:
    """The model and the way from an instance to it: what each peer calls."""

    def __init__(self, path: str) -> None:
        self._predictor = Predictor.load(Path(path), PROJECT)
        self._columns = Columns(PROJECT.features.instance)

    def predict(self, instances: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """Check the instances' types and predict for them."""
        rows = msgspec.convert(instances, list[PROJECT.features.instance])  # type: ignore[name-defined]
        found = self._predictor.predict_canonical(self._columns.of(rows)).probability
        threshold = self._predictor.bundle.threshold
        return [{"late": p >= threshold, "probability": p} for p in found.tolist()]


class StockAPI(ls.LitAPI):  # type: ignore[misc]
    """LitServe as its documentation writes it."""

    def __init__(self, path: str) -> None:
        super().__init__()
        self._path = path

    def setup(self, device: str) -> None:
        del device
        self._model = Model(self._path)

    def decode_request(self, request):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN201 - LitServe reads it
        return list(request["instances"])

    def predict(self, x: list[dict[str, Any]]) -> list[dict[str, Any]]:
        return self._model.predict(x)

    def encode_response(self, output: list[dict[str, Any]]) -> dict[str, Any]:
        return {"predictions": output}


def litserve(path: str, port: int) -> None:
    """Stock LitServe with its defaults: one worker, one API process."""
    server = ls.LitServer(StockAPI(path), accelerator="cpu")
    server.run(host="127.0.0.1", port=port, generate_client_file=False, log_level="warning", access_log=False)


def fastapi(path: str, port: int) -> None:
    """A handler that calls the model in-process; no pydantic model in its way, uvloop and httptools."""
    import uvicorn

    app = FastAPI()
    model = Model(path)

    @app.post("/predict")
    async def predict(request: Request) -> dict[str, Any]:
        return {"predictions": model.predict((await request.json())["instances"])}

    # A string annotation would be looked up among this module's names, where Request is not.
    uvicorn.run(
        app,
        host="127.0.0.1",
        port=port,
        log_level="warning",
        access_log=False,
        loop="uvloop",
        http="httptools",
    )


if __name__ == "__main__":
    {"litserve": litserve, "fastapi": fastapi}[sys.argv[1]](sys.argv[2], int(sys.argv[3]))
