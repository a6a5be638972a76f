from __future__ import annotations

from typing import TYPE_CHECKING

import dagster as dg
import pytest

from mlops_assets.alerts.tables import engine_for

if TYPE_CHECKING:
    from collections.abc import Iterator

    import sqlalchemy as sa


@pytest.fixture
def engine(database_url: str) -> Iterator[sa.Engine]:
    made = engine_for(database_url)
    yield made
    made.dispose()


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    with dg.DagsterInstance.ephemeral() as made:
        yield made


@pytest.fixture
def stored_instance(database_url: str) -> Iterator[dg.DagsterInstance]:
    """An instance on PostgreSQL, as the platform's: with ticks, and with runs that are tried again."""
    overrides = {
        "storage": {"postgres": {"postgres_url": database_url}},
        "run_retries": {"enabled": True, "max_retries": 3},
    }
    with dg.instance_for_test(overrides=overrides) as made:
        yield made
