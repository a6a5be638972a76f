"""The fixtures themselves: what the tests stand on is real."""

from __future__ import annotations

from typing import TYPE_CHECKING

import httpx
import sqlalchemy as sa

if TYPE_CHECKING:
    from mlops_assets_tests import services


def test_store_keeps_versions(object_store: services.ObjectStore, buckets: tuple[str, str]) -> None:
    first = object_store.client.put_object(Bucket=buckets[0], Key="a", Body=b"1")["VersionId"]
    object_store.client.put_object(Bucket=buckets[0], Key="a", Body=b"2")
    old = object_store.client.get_object(Bucket=buckets[0], Key="a", VersionId=first)
    assert old["Body"].read() == b"1"


def test_database_answers(database_url: str) -> None:
    engine = sa.create_engine(database_url)
    with engine.connect() as connection:
        assert connection.execute(sa.text("SELECT version()")).scalar_one().startswith("PostgreSQL")
    engine.dispose()


def test_registry_answers(mlflow_server: str) -> None:
    answer = httpx.get(f"{mlflow_server}/api/2.0/mlflow/registered-models/search")
    assert answer.status_code == 200
