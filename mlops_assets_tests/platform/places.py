"""Where a platform keeps what it has: databases and buckets of its own, on the tests' services."""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import dagster as dg

from mlops_assets.resources.s3 import SharedS3Resource
from mlops_assets.resources.tables import Tables, engine_for
from mlops_assets.settings import Settings
from mlops_assets_tests.automation.daemon import CONFIG
from mlops_assets_tests.automation.world import World

if TYPE_CHECKING:
    from pathlib import Path

    from mypy_boto3_s3 import S3Client

    from mlops_assets_tests.services import ObjectStore, PostgresServer


@dataclass
class Place:
    """The databases and buckets of one platform. The raw one has an object from before it kept versions."""

    folder: Path
    postgres: PostgresServer
    store: ObjectStore
    old: bytes = b""
    name: str = field(default_factory=lambda: secrets.token_hex(4))

    def __post_init__(self) -> None:
        self.folder.mkdir()
        for bucket in self.buckets:
            self.client.create_bucket(Bucket=bucket)
        if self.old:
            self.client.put_object(Bucket=self.raw, Key="toy/planes/planes.csv", Body=self.old)
        self.client.put_bucket_versioning(Bucket=self.raw, VersioningConfiguration={"Status": "Enabled"})
        self.settings = Settings(
            _env_file=None,
            home=self.folder / "home",
            database_url=self.postgres.url(f"dagster_{self.name}"),
            mlflow_database_url=self.postgres.url(f"mlflow_{self.name}"),
            s3_endpoint_url=self.store.endpoint_url,
            s3_access_key_id=self.store.access_key,
            s3_secret_access_key=self.store.secret_key,
            raw_bucket=self.raw,
            lake_bucket=f"lake-{self.name}",
        )

    @property
    def client(self) -> S3Client:
        return self.store.client

    @property
    def raw(self) -> str:
        return f"raw-{self.name}"

    @property
    def buckets(self) -> tuple[str, str]:
        return self.raw, f"lake-{self.name}"

    @property
    def tables(self) -> Tables:
        return Tables(url=self.settings.dagster_database)

    def world(self) -> World:
        """The toy project on it, as a new process meets it."""
        (self.folder / "dagster.yaml").write_text(CONFIG.format(url=self.settings.dagster_database))
        instance = dg.DagsterInstance.from_config(str(self.folder))
        s3 = SharedS3Resource(
            endpoint_url=self.store.endpoint_url,
            region_name="us-east-1",
            aws_access_key_id=self.store.access_key,
            aws_secret_access_key=self.store.secret_key,
        )
        world = World(self.client, self.raw, s3, self.tables, instance)
        world.forget_process()
        return world

    def leave(self, world: World | None = None) -> None:
        """End the connections, as the end of the processes does."""
        if world is not None:
            world.instance.dispose()
        engine_for(self.settings.dagster_database).dispose()

    def versions(self) -> dict[str, list[bytes | None]]:
        """Key -> bytes of all versions in the raw bucket, oldest first; None last if it is deleted."""
        found: dict[str, list[bytes | None]] = {}
        listed = self.client.list_object_versions(Bucket=self.raw)
        for one in reversed(listed["Versions"]):
            body = self.client.get_object(Bucket=self.raw, Key=one["Key"], VersionId=one["VersionId"])["Body"]
            found.setdefault(one["Key"], []).append(body.read())
        for marker in listed.get("DeleteMarkers", []):
            if marker["IsLatest"]:
                found[marker["Key"]].append(None)
        return found
