"""``mlops why`` and the check that a person runs."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import dagster as dg
import pytest
from typer.testing import CliRunner

from mlops_assets.cli import app
from mlops_assets.retraining.check import build_retraining_check
from mlops_assets.settings import get_settings
from mlops_assets_tests.retraining.clock import HOUR, Clock, project

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def asked(database_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Clock]:
    """The command line's own project, trained twice, on the tests' database."""
    monkeypatch.setenv("MLOPS_DATABASE_URL", database_url)
    get_settings.cache_clear()
    clock = Clock(project(name="flight_delays"), database_url)
    for month in ("2013-01", "2013-02"):
        clock.upload(month)
    assert clock.tick()
    clock.rest()
    clock.accepts = False
    clock.drift(about="1")
    clock.upload("2013-03", rows=1)
    assert clock.tick(2 * HOUR)
    clock.rest()
    yield clock
    get_settings.cache_clear()


def test_the_command_tells_the_trainings_and_what_is_awaited(asked: Clock) -> None:
    told = CliRunner().invoke(app, ["why", "flight_delays", "--json"])
    assert told.exit_code == 0, told.output
    found = json.loads(told.stdout)
    assert [row["cause"] for row in found["trainings"]] == ["first", "drift"]
    assert [row["outcome"] for row in found["trainings"]] == [
        "version 1 became the champion",
        "its run failed",
    ]
    assert found["awaited"]["tried"]
    assert found["awaited"]["why"] == asked.awaited().why
    shown = CliRunner().invoke(app, ["why", "flight_delays", "-n", "1"]).stdout
    flat = " ".join(shown.replace("│", " ").split())
    assert "drift" in flat
    assert "version 1 became" not in flat
    assert "Waits for new labelled rows, new code, or a person." in flat


def test_a_person_can_run_the_check(asked: Clock) -> None:
    key = asked.key("training_set")
    job = dg.define_asset_job("check", selection=dg.AssetSelection.checks_for_assets(key))
    check = build_retraining_check(asked.project, asked.url)
    defs = dg.Definitions(assets=asked.defs.assets, asset_checks=[check], jobs=[job])
    run = defs.resolve_job_def("check").execute_in_process
    (evaluation,) = run(instance=asked.instance).get_asset_check_evaluations()
    assert (evaluation.check_name, evaluation.passed) == ("retraining", False)
    assert evaluation.description == asked.awaited().why
    rows = len(asked.rows())
    asked.upload("2013-04")
    (now,) = (
        defs.resolve_job_def("check")
        .execute_in_process(instance=asked.instance)
        .get_asset_check_evaluations()
    )
    assert now.passed
    assert len(asked.rows()) == rows  # to look is not to ask
