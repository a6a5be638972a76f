"""A database for the tests of a module: each clock has a project of a name of its own."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING

import pytest

from mlops_assets_tests.lifecycle.conftest import make_world
from mlops_assets_tests.retraining.clock import Clock, project

if TYPE_CHECKING:
    from mlops_assets_tests.services import PostgresServer

__all__ = ["make_world"]


@pytest.fixture(scope="module")
def database(postgres_server: PostgresServer) -> str:
    return postgres_server.url(f"retraining_{secrets.token_hex(4)}")


@pytest.fixture
def clock(database: str) -> Clock:
    return Clock(project(), database)
