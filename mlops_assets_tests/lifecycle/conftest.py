"""A registry with models to promote, and the platform's tables."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING

import pytest

from mlops_assets.resources.promotions import PromotionLog
from mlops_assets.resources.registry import Registry, Version
from mlops_assets.resources.tables import engine_for

if TYPE_CHECKING:
    from collections.abc import Callable


@pytest.fixture
def registry(mlflow_server: str) -> Registry:
    return Registry(mlflow_server)


@pytest.fixture
def promotion_log(database_url: str) -> PromotionLog:
    return PromotionLog(engine_for(database_url))


@pytest.fixture
def register(registry: Registry) -> Callable[[str], Version]:
    """Registers one more version of a small real ONNX model under a project's name."""
    import mlflow
    import onnx
    from onnx import TensorProto, helper

    mlflow.set_tracking_uri(registry.uri)
    mlflow.set_experiment("tests")

    def make(project: str) -> Version:
        shape: list[str | int | None] = ["n", 1]
        graph = helper.make_graph(
            [helper.make_node("Sigmoid", ["X"], ["probability"])],
            f"model-{secrets.token_hex(4)}",
            [helper.make_tensor_value_info("X", TensorProto.FLOAT, shape)],
            [helper.make_tensor_value_info("probability", TensorProto.FLOAT, shape)],
        )
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=10)
        with mlflow.start_run() as run:
            info = mlflow.onnx.log_model(model, name="model", pip_requirements=["onnxruntime"])
        assert isinstance(model, onnx.ModelProto)
        return registry.register(project, info.model_uri, run.info.run_id, {"made_by": "tests"})

    return make


@pytest.fixture
def project_name() -> str:
    """A name that no other test uses: the registry is shared."""
    return f"p_{secrets.token_hex(4)}"
