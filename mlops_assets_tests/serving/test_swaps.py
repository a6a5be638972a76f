"""The endpoint follows the alias: swaps under load, refuses what is broken, bears a lost registry."""

from __future__ import annotations

import asyncio
import contextlib
import json
import threading
import time
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from mlops_assets_tests import services
from mlops_assets_tests.benchmarks.serving_load import Load, Plan
from mlops_assets_tests.serving import toy
from mlops_assets_tests.serving.harness import Endpoint, Registry, trip

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

SWAPS = 10


@contextmanager
def load_on(endpoint: Endpoint) -> Iterator[Load]:
    """32 connections that ask all the time."""
    body = msgspec.json.encode({"instances": [trip(), trip(carrier="UA")]}).decode()
    plan = Plan(port=endpoint.port, path="/predict", body=body, seconds=600, warmup=0.2, pause=0.005)
    load = Load(plan, keep=True)
    thread = threading.Thread(target=lambda: asyncio.run(load.run()))
    thread.start()
    time.sleep(0.5)
    try:
        yield load
    finally:
        load.stop()
        thread.join()


def test_ten_swaps_under_load_fail_and_mix_nothing(
    registry: Registry, start: Callable[..., Endpoint]
) -> None:
    biases = {registry.log(toy.make_bundle(0.0)): 0.0}
    for number in range(1, SWAPS + 1):
        biases[registry.quick(number / 4)] = number / 4
    first, *others = biases
    registry.champion(first)
    endpoint = start(registry=registry.uri)
    endpoint.until_version(first)
    with load_on(endpoint) as load:
        for version in others:
            registry.champion(version)
            endpoint.until_version(version)
    assert load.failures == []
    assert load.bodies is not None
    answers = [json.loads(body) for body in load.bodies]
    assert {answer["model"]["version"] for answer in answers} == set(biases)
    for answer in answers:
        bias = biases[answer["model"]["version"]]
        found = [row["probability"] for row in answer["predictions"]]
        assert found == pytest.approx([toy.expected(bias), toy.expected(bias, "UA")], abs=1e-6)


def garbage(registry: Registry) -> str:
    return registry.upload("model.onnx", b"not a model at all")


def bare(registry: Registry) -> str:
    return registry.log(toy.make_graph(9.0))


def unproven(registry: Registry) -> str:
    return registry.log(toy.make_bundle(9.0, expected=[0.1, 0.2, 0.3, 0.4]))


def pickled(registry: Registry) -> str:
    return registry.upload("model.pkl", b"\x80\x04.")


def others_model(registry: Registry) -> str:
    return registry.log(toy.make_bundle(9.0, project="another"))


@pytest.fixture
def served(registry: Registry, start: Callable[..., Endpoint]) -> tuple[Endpoint, str]:
    """An endpoint that serves a good version."""
    version = registry.quick(0.5)
    registry.champion(version)
    endpoint = start(registry=registry.uri)
    endpoint.until_version(version)
    return endpoint, version


def test_broken_versions_are_refused_and_the_old_one_goes_on(
    served: tuple[Endpoint, str], registry: Registry
) -> None:
    endpoint, good = served
    broken: list[tuple[Callable[[Registry], str], str]] = [
        (garbage, "do not load as an ONNX model"),
        (bare, "no metadata"),
        (unproven, "does not reproduce 4 of its 4 example rows"),
        (pickled, "holds no model.onnx, but model.pkl"),
        (others_model, "belongs to project another"),
    ]
    for count, (make, reason) in enumerate(broken, 1):
        version = make(registry)
        registry.champion(version)
        refused = endpoint.until("a refusal", partial(refusal, endpoint, version))
        assert reason in refused["reason"]
        response = endpoint.client.get("/health")
        assert response.status_code == 200
        assert (response.json()["status"], response.json()["version"]) == ("degraded", good)
        assert endpoint.metric("endpoint_refused_versions") == count
        assert endpoint.predict(trip()).json()["model"]["version"] == good
    registry.champion(good)
    endpoint.until("all is well", partial(well, endpoint))
    assert endpoint.metric("endpoint_refused_versions") == 0


def refusal(endpoint: Endpoint, version: str) -> dict[str, Any] | None:
    return next((dict(r) for r in endpoint.health()["refused"] if r["version"] == version), None)


def test_without_a_champion_it_waits_and_says_so(registry: Registry, start: Callable[..., Endpoint]) -> None:
    registry.champion(registry.quick(0.5))
    registry.no_champion()
    endpoint = start(registry=registry.uri, ready=False)
    health = endpoint.client.get("/health")
    assert (health.status_code, health.json()["status"]) == (503, "starting")
    answer = endpoint.predict(trip())
    assert answer.status_code == 503
    assert "no champion" in answer.json()["error"]
    assert answer.headers["retry-after"]
    version = registry.quick(0.75)
    for name, value in (("roc_auc", "0.71"), ("log_loss", "0.5"), ("held_out", "2013-03")):
        registry.client.set_model_version_tag(registry.name, version, name, value)
    registry.champion(version)
    endpoint.until_version(version)
    assert endpoint.client.get("/health").status_code == 200
    info = endpoint.info()
    assert (info["held_out"], info["scores"]) == ("2013-03", {"roc_auc": 0.71, "log_loss": 0.5})


def test_it_starts_from_its_local_copy_and_takes_a_restored_one(
    served: tuple[Endpoint, str], start: Callable[..., Endpoint], registry: Registry
) -> None:
    endpoint, good = served
    endpoint.service.stop()
    for _ in range(2):  # restarts change nothing
        again = start(store=endpoint.store)  # its registry answers nobody
        assert again.info()["version"] == good
        (row,) = again.predict(trip()).json()["predictions"]
        assert row["probability"] == pytest.approx(toy.expected(0.5), abs=1e-6)
        again.until("the registry is missed", partial(missed, again))
        assert again.health()["status"] == "degraded"
        assert again.metric("endpoint_registry_up") == 0
        again.service.stop()
    copy = next((endpoint.store / "versions").glob("*/model.onnx"))
    copy.write_bytes(copy.read_bytes()[:-40])
    healed = start(store=endpoint.store, registry=registry.uri)
    healed.until("a new copy", partial(well, healed))
    assert healed.info()["version"] == good


def well(endpoint: Endpoint) -> bool:
    return bool(endpoint.health()["status"] == "ok")


def missed(endpoint: Endpoint) -> bool:
    return "no answer" in (endpoint.health()["registry"]["error"] or "")


@pytest.fixture
def own_store(tmp_path: Path, postgres_server: services.PostgresServer) -> Any:
    """A registry whose object store can be stopped: yields (URI, restartable store)."""
    store = services.start_object_store(tmp_path / "s3")
    store.client.create_bucket(Bucket="models")
    port = services.free_port()
    (tmp_path / "mlflow").mkdir()
    url = postgres_server.url("mlflow_own_store")
    server = services.start_mlflow(tmp_path / "mlflow", url, store, "models", port)
    yield f"http://127.0.0.1:{port}", store
    server.stop()
    store.service.stop()


def restarted(store: services.ObjectStore, folder: Path) -> services.ObjectStore:
    """The store at its old address; its other ports are drawn anew, and may be taken meanwhile."""
    keys = (store.access_key, store.secret_key)
    for _ in range(3):
        with contextlib.suppress(RuntimeError):
            return services.start_object_store(folder, store.ports["s3.port"], keys)
    raise RuntimeError("the object store did not start again")


def test_with_the_object_store_down_it_serves_on_and_catches_up(
    own_store: tuple[str, services.ObjectStore], start: Callable[..., Endpoint], tmp_path: Path
) -> None:
    uri, store = own_store
    registry = Registry(uri)
    first, second, third = (registry.quick(bias) for bias in (0.5, 1.0, 1.5))
    registry.champion(first)
    endpoint = start(registry=uri)
    endpoint.until_version(first)
    registry.champion(second)
    endpoint.until_version(second)
    store.service.stop()
    registry.champion(third)
    endpoint.until("the store is missed", lambda: endpoint.health()["registry"]["error"], 60)
    health = endpoint.health()
    assert (health["status"], health["version"], health["registry"]["champion"]) == (
        "degraded",
        second,
        third,
    )
    assert endpoint.predict(trip()).json()["model"]["version"] == second
    registry.champion(first)  # a rollback needs no store: its copy is still here
    endpoint.until_version(first)
    registry.champion(third)
    again = restarted(store, tmp_path / "s3")
    try:
        endpoint.until("the new version", lambda: endpoint.info()["version"] == third, 90)
    finally:
        again.service.stop()
