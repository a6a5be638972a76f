"""Stand-ins whose pods are forked from one process that has imported what they need."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from mlops_assets_tests.kube.standin import stop_warm_process
from mlops_assets_tests.kube.world import WARM
from mlops_assets_tests.lifecycle.conftest import make_world

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["make_world"]


@pytest.fixture(scope="package")
def warm() -> Iterator[tuple[str, ...]]:
    """Modules for ``StandIn(warm=...)``; the process that has them ends with the last test of this folder."""
    yield WARM
    stop_warm_process()
