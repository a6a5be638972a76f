"""When a training is asked for by Dagster's automation: on real tables, tick by tick."""

from __future__ import annotations

import pytest

from mlops_assets_tests.retraining.clock import Clock, project


@pytest.fixture
def clock(database_url: str) -> Clock:
    return Clock(project(), database_url)


def test_one_partition_is_not_enough_and_two_are(clock: Clock) -> None:
    clock.upload("2013-01")
    assert not clock.tick()
    clock.upload("2013-02")
    assert clock.tick()
    assert clock.champion() == "1"
    assert clock.reason().cause == "first"
