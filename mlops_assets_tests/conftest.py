"""Real services shared by the whole test session; each test takes its own buckets and databases."""

from __future__ import annotations

import secrets
import signal
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from mlops_assets_tests import services

if TYPE_CHECKING:
    from collections.abc import Iterator


def pytest_configure() -> None:
    """Let what tests start be ended by SIGTERM, also where this process was started in the background.

    There SIGINT is ignored, and Dagster, after a run in this process, sets both to what SIGINT was.
    """
    if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[services.PostgresServer]:
    # Not below pytest's own folder, which each new session closes to all but its user: as root,
    # PostgreSQL runs as another, and would lose its data under a session that is at work.
    with tempfile.TemporaryDirectory(prefix="mlops-tests-", ignore_cleanup_errors=True) as folder:
        server = services.PostgresServer(Path(folder) / "postgres")
        yield server
        server.stop()


@pytest.fixture(scope="session")
def object_store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[services.ObjectStore]:
    store = services.start_object_store(tmp_path_factory.mktemp("s3"))
    yield store
    store.service.stop()


@pytest.fixture
def buckets(object_store: services.ObjectStore) -> Iterator[tuple[str, str]]:
    """Names of a fresh (raw, lake) pair; raw is versioned.

    They are deleted afterwards: SeaweedFS sets volumes apart for each bucket, and has only so many.
    """
    suffix = secrets.token_hex(4)
    raw, lake = f"raw-{suffix}", f"lake-{suffix}"
    object_store.client.create_bucket(Bucket=raw)
    object_store.client.put_bucket_versioning(Bucket=raw, VersioningConfiguration={"Status": "Enabled"})
    object_store.client.create_bucket(Bucket=lake)
    yield raw, lake
    if object_store.service.popen.poll() is None:
        for name in (raw, lake):
            object_store.client.delete_bucket(Bucket=name)


@pytest.fixture
def database_url(postgres_server: services.PostgresServer) -> str:
    """A fresh database."""
    return postgres_server.url(f"test_{secrets.token_hex(4)}")


@pytest.fixture(scope="session")
def mlflow_server(
    tmp_path_factory: pytest.TempPathFactory,
    postgres_server: services.PostgresServer,
    object_store: services.ObjectStore,
) -> Iterator[str]:
    """The tracking URI of a real MLflow server on PostgreSQL and S3."""
    object_store.client.create_bucket(Bucket="mlflow-tests")
    port = services.free_port()
    server = services.start_mlflow(
        tmp_path_factory.mktemp("mlflow"), postgres_server.url("mlflow"), object_store, "mlflow-tests", port
    )
    yield f"http://127.0.0.1:{port}"
    server.stop()
