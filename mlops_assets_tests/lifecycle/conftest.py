"""A registry with models to promote, and the platform's tables."""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest

from mlops_assets.catalog import get_project
from mlops_assets.lifecycle.describe import asset_key
from mlops_assets.resources.promotions import PromotionLog
from mlops_assets.resources.registry import Registry, Version
from mlops_assets.resources.tables import engine_for
from mlops_assets_tests.lifecycle.data import FIRST_MONTHS, month, planes, thin_sources
from mlops_assets_tests.lifecycle.world import World, world_settings

if TYPE_CHECKING:
    from collections.abc import Callable

    import dagster as dg

    from mlops_assets_tests.services import ObjectStore, PostgresServer


@dataclass(frozen=True)
class Trained:
    """A world after its first training. ``versions``: version id of each uploaded object by name."""

    world: World
    versions: dict[str, str]
    runs: list[dg.ExecuteInProcessResult]
    result: dg.ExecuteInProcessResult

    def made(self, *path: str, partition: str | None = None) -> dict[str, Any]:
        """The metadata that ``<project>/<path>`` was first materialized with, as plain values."""
        key = asset_key(self.world.project, *path)
        for run in [*self.runs, self.result]:
            for event in run.get_asset_materialization_events():
                if event.asset_key == key and event.partition == partition:
                    made = event.step_materialization_data.materialization
                    return {name: getattr(v, "value", v) for name, v in made.metadata.items()}
        raise AssertionError(f"{key} was not materialized")


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


@pytest.fixture(scope="session")
def make_world(
    tmp_path_factory: pytest.TempPathFactory,
    postgres_server: PostgresServer,
    object_store: ObjectStore,
    mlflow_server: str,
) -> Callable[..., World]:
    """Makes a world of its own: buckets, tables, and a project of a name that the registry has not seen."""

    def make(**changes: Any) -> World:
        name = f"p_{secrets.token_hex(4)}"
        raw, lake = f"raw-{name[2:]}", f"lake-{name[2:]}"
        for bucket in (raw, lake):
            object_store.client.create_bucket(Bucket=bucket)
        object_store.client.put_bucket_versioning(Bucket=raw, VersioningConfiguration={"Status": "Enabled"})
        settings = world_settings(
            tmp_path_factory.mktemp(name), object_store, (raw, lake), postgres_server.url(name), mlflow_server
        )
        real = get_project("flight_delays")
        project = real.model_copy(update={"name": name, "sources": thin_sources(real), **changes})
        return World(project, settings, object_store)

    return make


@pytest.fixture(scope="session")
def trained(make_world: Callable[..., World]) -> Trained:
    """Three months of each fourth flight, all the way to a champion; made once for all tests.

    Tests may go on with its world, but what they look at is in ``runs`` and ``result``.
    """
    world = make_world()
    versions = {"planes/planes.csv": world.upload("planes/planes.csv", planes())}
    for name in FIRST_MONTHS:
        versions |= {key: world.upload(key, data) for key, data in month(name).items()}
    runs = world.settle()
    families = [f"candidates/{family.name}" for family in world.project.families]
    result = world.train("training_set", *families, "evaluation", "champion")
    return Trained(world, versions, runs, result)
