"""An endpoint for the tests that only ask, and versions in the session's registry."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from mlops_assets_tests.serving import toy
from mlops_assets_tests.serving.harness import Endpoint, Registry, seed

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

BIAS = 0.25


@pytest.fixture(scope="package")
def endpoint(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Endpoint]:
    """Serves version 1 of bias ``BIAS`` from its local copy; its registry never answers."""
    folder = tmp_path_factory.mktemp("endpoint")
    seed(folder, toy.make_bundle(BIAS))
    running = Endpoint(folder).start()
    yield running
    running.stop()


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., Endpoint]]:
    """Starts endpoints of the test's own, and stops them."""
    started: list[Endpoint] = []

    def start_one(*, ready: bool = True, store: Path | None = None, **options: object) -> Endpoint:
        one = Endpoint(store or tmp_path / "store", **options)  # type: ignore[arg-type]
        started.append(one)
        return one.start(ready=ready)

    yield start_one
    for one in started:
        one.stop()


@pytest.fixture(scope="package")
def registry(mlflow_server: str) -> Registry:
    return Registry(mlflow_server)
