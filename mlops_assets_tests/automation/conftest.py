"""What the sensor's tests share."""

from __future__ import annotations

from typing import TYPE_CHECKING

import dagster as dg
import pytest

from mlops_assets.resources.s3 import SharedS3Resource
from mlops_assets.resources.tables import Tables
from mlops_assets_tests.automation.world import World

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mlops_assets_tests.services import ObjectStore


@pytest.fixture
def s3(object_store: ObjectStore) -> SharedS3Resource:
    return SharedS3Resource(
        endpoint_url=object_store.endpoint_url,
        region_name="us-east-1",
        aws_access_key_id=object_store.access_key,
        aws_secret_access_key=object_store.secret_key,
    )


@pytest.fixture
def tables(database_url: str) -> Tables:
    return Tables(url=database_url)


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    with dg.DagsterInstance.ephemeral() as instance:
        yield instance


@pytest.fixture
def world(
    object_store: ObjectStore,
    buckets: tuple[str, str],
    s3: SharedS3Resource,
    tables: Tables,
    instance: dg.DagsterInstance,
) -> World:
    return World(object_store.client, buckets[0], s3, tables, instance)
