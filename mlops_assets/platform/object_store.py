"""The object store: SeaweedFS in one process (``weed mini``), or an outside S3."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlops_assets.platform.environment import service_environment
from mlops_assets.platform.ports import HOST, chosen_ports
from mlops_assets.platform.service import NotReadyError, PlatformError, Port, Service

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

    from mlops_assets.settings import Settings

NAME = "object-store"
_INTERNAL = ("s3.grpc", "master", "master.grpc", "volume", "volume.grpc", "filer", "filer.grpc", "admin")


def service(settings: Settings) -> Service:
    """The embedded object store, or the outside one that the settings name."""
    outside = settings.s3_endpoint_url is not None
    internal = {} if outside else chosen_ports(settings.state / "ports.json", _INTERNAL)
    return Service(
        name=NAME,
        group=NAME,
        title=f"S3: buckets {settings.raw_bucket} and {settings.lake_bucket}",
        address=settings.s3_url,
        probe=_Probe(settings),
        argv=() if outside else _argv(settings, internal),
        env={} if outside else service_environment(settings, NAME, store=True, threads=1),
        stop_seconds=5,  # it can hang on open connections, and a kill loses nothing of what it answered
        ports=()
        if outside
        else (Port(settings.s3_port, "MLOPS_S3_PORT"), *(Port(number) for number in internal.values())),
    )


def _argv(settings: Settings, internal: dict[str, int]) -> tuple[str, ...]:
    weed = Path(sys.executable).with_name("weed")
    if not weed.exists():
        raise PlatformError(f"{weed} is missing. Install the requirements again: make clean up")
    ports = {"s3.port": settings.s3_port}
    for name, number in internal.items():
        service_name, _, grpc = name.partition(".")
        ports[f"{service_name}.port{'.grpc' if grpc else ''}"] = number
    folder = settings.state / "object-store"
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    sockets = settings.sockets
    return (
        str(weed),
        "-logtostderr=true",
        "mini",
        f"-dir={folder}",
        f"-bucket={settings.raw_bucket},{settings.lake_bucket}",
        f"-ip={HOST}",
        f"-ip.bind={HOST}",
        "-webdav=false",
        "-admin.ui=false",
        "-master.telemetry=false",
        "-s3.port.iceberg=0",
        "-s3.port.lance=0",
        f"-s3.localSocket={sockets / 's3.sock'}",
        f"-filer.localSocket={sockets / 'filer.sock'}",
        *(f"-{name}={number}" for name, number in ports.items()),
    )


class _Probe:
    """Signed requests: the buckets are there, and raw objects have versions."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._client: S3Client | None = None

    def __call__(self) -> None:
        from botocore.exceptions import BotoCoreError, ClientError

        if self._client is None:
            self._client = s3_client(self._settings)
        try:
            self._look(self._client)
        except (BotoCoreError, ClientError) as error:
            raise NotReadyError(f"{self._settings.s3_url}: {error}") from error

    def _look(self, client: S3Client) -> None:
        there = {bucket["Name"] for bucket in client.list_buckets()["Buckets"]}
        for name in (self._settings.raw_bucket, self._settings.lake_bucket):
            if name in there:
                continue
            if self._settings.s3_endpoint_url is None:
                raise NotReadyError(f"bucket {name} is not there yet")
            raise NotReadyError(f"{self._settings.s3_url} has no bucket {name}: make it, then try again")
        raw = self._settings.raw_bucket
        if client.get_bucket_versioning(Bucket=raw).get("Status") != "Enabled":
            if self._settings.s3_endpoint_url is not None:
                raise NotReadyError(
                    f"bucket {raw} keeps no versions, so that overwritten objects would be lost: aws s3api "
                    f"put-bucket-versioning --bucket {raw} --versioning-configuration Status=Enabled"
                )
            client.put_bucket_versioning(Bucket=raw, VersioningConfiguration={"Status": "Enabled"})


def s3_client(settings: Settings, retries: int = 1) -> S3Client:
    """A boto3 client of the platform's object store; fails fast rather than retrying long."""
    import boto3
    from botocore.config import Config

    key, secret = settings.s3_credentials
    keys: dict[str, Any] = {"aws_access_key_id": key, "aws_secret_access_key": secret} if key else {}
    config = Config(
        connect_timeout=2,
        read_timeout=30,
        retries={"max_attempts": retries},
        s3={"addressing_style": "path"},
    )
    return boto3.client(
        "s3", endpoint_url=settings.s3_url, region_name=settings.s3_region, config=config, **keys
    )
