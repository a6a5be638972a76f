"""A step is tried again when its process was taken from it, and not when its code is wrong."""

from __future__ import annotations

from typing import TYPE_CHECKING

import dagster as dg
import pytest

from mlops_assets_tests.execution.steps import RETRIES, STARTED, make_training

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    with dg.instance_for_test() as instance:
        yield instance
    while STARTED:
        STARTED.pop().wait(30)


@pytest.mark.parametrize(
    ("endings", "succeeds", "attempts"),
    [
        (["killed"], True, 2),
        (["told to stop"], True, 2),
        (["node lost", "told to stop"], True, 3),
        (["wrong code"], False, 1),
        (["killed", "wrong code"], False, 2),
        (["killed"] * (RETRIES + 1), False, RETRIES + 1),
    ],
    ids=["killed", "stopped", "lost-stopped", "wrong", "killed-wrong", "always-killed"],
)
def test_attempts(
    tmp_path: Path, instance: dg.DagsterInstance, endings: list[str], *, succeeds: bool, attempts: int
) -> None:
    folder = tmp_path / "attempts"
    folder.mkdir()
    config = {"ops": {"train": {"config": {"folder": str(folder), "endings": endings}}}}
    with dg.execute_job(dg.reconstructable(make_training), instance=instance, run_config=config) as result:
        assert result.success == succeeds
    assert len(list(folder.iterdir())) == attempts
    again = instance.get_records_for_run(result.run_id, of_type=dg.DagsterEventType.STEP_UP_FOR_RETRY).records
    assert len(again) == attempts - 1
