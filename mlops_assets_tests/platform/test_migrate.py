"""``mlops migrate`` makes tables in empty databases, can be repeated, and sets the limits of pools."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING

import sqlalchemy as sa
from dagster_postgres import DagsterPostgresStorage

from mlops_assets.platform.migrate import make_buckets, migrate
from mlops_assets.settings import Settings

if TYPE_CHECKING:
    from pathlib import Path

    from mlops_assets_tests import services


def tables(url: str) -> set[str]:
    engine = sa.create_engine(url, poolclass=sa.NullPool)
    inspector = sa.inspect(engine)
    return {*inspector.get_table_names(), *(f"mlops.{name}" for name in inspector.get_table_names("mlops"))}


def test_empty_databases_become_usable_and_stay_so(
    tmp_path: Path, postgres_server: services.PostgresServer
) -> None:
    dagster, mlflow = (postgres_server.url(f"migrate_{secrets.token_hex(4)}") for _ in range(2))
    said: list[str] = []
    for gpu in (1, 3, None):
        settings = Settings(
            _env_file=None,
            home=tmp_path,
            database_url=dagster,
            mlflow_database_url=mlflow,
            pool_gpu=gpu,
            pool_s3=8,
        )
        migrate(settings, said.append)
        storage = DagsterPostgresStorage(settings.dagster_database, should_autocreate_tables=False)
        limits = {limit.name: limit.limit for limit in storage.event_log_storage.get_pool_limits()}
        assert limits == {"s3": 8} | ({"gpu": gpu} if gpu else {})
    assert {"runs", "event_logs", "jobs", "mlops.object_versions"} <= tables(settings.dagster_database)
    assert {"experiments", "registered_model_aliases"} <= tables(settings.mlflow_database)
    assert "pool gpu: 1 steps at once" in said


def test_a_process_that_is_given_no_mlflow_database_leaves_it_alone(
    tmp_path: Path, postgres_server: services.PostgresServer
) -> None:
    said: list[str] = []
    url = postgres_server.url(f"migrate_{secrets.token_hex(4)}")
    migrate(
        Settings(_env_file=None, home=tmp_path, database_url=url, mlflow_uri="http://127.0.0.1:1"),
        said.append,
    )
    assert not any("MLflow" in line for line in said)


def test_buckets_are_made_once_and_raw_objects_have_versions(
    tmp_path: Path, object_store: services.ObjectStore
) -> None:
    suffix = secrets.token_hex(4)
    settings = Settings(
        _env_file=None,
        home=tmp_path,
        s3_endpoint_url=object_store.endpoint_url,
        s3_access_key_id=object_store.access_key,
        s3_secret_access_key=object_store.secret_key,
        raw_bucket=f"raw-{suffix}",
        lake_bucket=f"lake-{suffix}",
    )
    said: list[str] = []
    for _ in range(2):
        make_buckets(settings, said.append)
    client = object_store.client
    assert client.get_bucket_versioning(Bucket=settings.raw_bucket)["Status"] == "Enabled"
    client.head_bucket(Bucket=settings.lake_bucket)
    for name in (settings.raw_bucket, settings.lake_bucket):
        client.delete_bucket(Bucket=name)
