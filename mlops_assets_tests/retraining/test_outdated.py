"""Features that were made by other code: made anew by themselves, and waited for."""

from __future__ import annotations

from typing import TYPE_CHECKING

import dagster as dg
import pytest

from mlops_assets.lifecycle.code import code_version
from mlops_assets_tests.retraining.clock import HOUR, Clock

if TYPE_CHECKING:
    from collections.abc import Iterable

MONTHS = ("2013-01", "2013-02", "2013-03")


@pytest.fixture
def trained(clock: Clock) -> Clock:
    """Version 1 was trained on features that the code of now made."""
    for month in MONTHS:
        clock.upload(month, code=now(clock))
    assert clock.tick()
    clock.rest()
    clock.now += 5 * HOUR
    return clock


def now(clock: Clock) -> str:
    return code_version(clock.project.features.build)


def asked(clock: Clock) -> set[str | None]:
    """The partitions of features that a tick asks for."""
    clock.now += HOUR
    result = dg.evaluate_automation_conditions(
        clock.defs, clock.instance, cursor=clock.cursor, evaluation_time=clock.now
    )
    clock.cursor = result.cursor
    assert not result.get_num_requested(clock.key("training_set"))
    return set(result.get_requested_partitions(clock.key("features")))


def outdate(clock: Clock, months: Iterable[str]) -> None:
    for month in months:
        clock.upload(month, code="0ld")


def test_features_of_the_code_of_now_are_left_alone_and_so_are_partitions_without_data(
    trained: Clock,
) -> None:
    assert asked(trained) == set()
    trained.upload("2013-04", rows=1)  # and such of which it is not known
    assert asked(trained) == set()


def test_each_outdated_partition_is_asked_for_once_and_a_training_waits(trained: Clock) -> None:
    outdate(trained, MONTHS[:2])
    trained.stale_champion()
    trained.upload("2013-04", rows=1, code=now(trained))
    assert asked(trained) == set(MONTHS[:2])
    assert asked(trained) == set()
    assert "features of 2013-01, 2013-02 have yet to be made by the code of now" in trained.awaited().why
    trained.upload("2013-01", "new", code=now(trained))
    assert asked(trained) == set()
    assert "features of 2013-02 have yet" in trained.awaited().why
    trained.upload("2013-02", "new", code=now(trained))
    assert trained.tick(HOUR)
    assert set(trained.trained().values()) == {"a", "new"}


def test_a_partition_that_is_being_made_is_asked_for_when_that_is_over(trained: Clock) -> None:
    run = trained.begin("features", partition="2013-02")
    outdate(trained, MONTHS[:2])
    assert asked(trained) == {"2013-01"}
    trained.instance.report_run_failed(run)
    assert asked(trained) == {"2013-02"}


def test_another_change_of_the_code_asks_anew(trained: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    outdate(trained, MONTHS)
    assert asked(trained) == set(MONTHS)
    monkeypatch.setattr("mlops_assets.retraining.condition.code_version", lambda *_: "newer")
    trained.load()
    assert asked(trained) == set(MONTHS)
