"""Dagster's own daemon, killed (-9) at a point of a training's way: it is asked for once, or once again."""

from __future__ import annotations

import os
import signal
from multiprocessing import get_context
from typing import TYPE_CHECKING, Any
from unittest import mock

import dagster as dg
import pytest

from mlops_assets.retraining.table import Trainings, engine_for
from mlops_assets_tests.automation import daemon
from mlops_assets_tests.retraining.clock import Clock, project

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from mlops_assets.project import Project

BEFORE_A_RUN = ("decided", "written down", "TICK_CREATED", "RUN_IDS_RESERVED", "RUN_CREATED", "RUN_LAUNCHED")
IN_THE_RUN = ("run begun", "run knows why")


class Killed:
    """A project on a Dagster instance of its own, ticked by the daemon in children."""

    def __init__(self, home: Path, url: str) -> None:
        (home / "dagster.yaml").write_text(daemon.CONFIG.format(url=url))
        self.home, self.url, self.project = home, url, project()

    def instance(self) -> dg.DagsterInstance:
        return dg.DagsterInstance.from_config(str(self.home))

    def run(self, ticks: int, kill_at: str | None = None) -> int:
        """The exit code of a child that ticks until it rests."""
        engine_for(self.url).dispose()  # a connection must not be used by two processes
        child = get_context("fork").Process(target=_child, args=(self, ticks, kill_at))
        child.start()
        child.join(120)
        if child.exitcode is None:
            child.kill()
            child.join()
            raise TimeoutError("the daemon's child hangs")
        return child.exitcode


def _child(killed: Killed, ticks: int, kill_at: str | None) -> None:
    flags = {"automation": {kill_at: signal.SIGKILL}} if kill_at in daemon.DAGSTERS else None
    ask, take = Trainings.ask, Trainings.take
    patches: dict[str, tuple[str, Any]] = {
        "decided": ("ask", _die),
        "written down": ("ask", _then_die(ask)),
        "run begun": ("take", _die),
        "run knows why": ("take", _then_die(take)),
    }
    if kill_at in patches:
        mock.patch.object(Trainings, *patches[kill_at]).start()
    with killed.instance() as instance:
        daemon._fail_orphans(instance)
        daemon.defs = _defs(killed.project, killed.url, instance)
        daemon._tick(instance, ticks, flags)


def _die(*_: Any) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def _then_die(real: Callable[..., None]) -> Callable[..., None]:
    def call(*given: Any) -> None:
        real(*given)
        _die()

    return call


def _defs(of: Project, url: str, instance: dg.DagsterInstance) -> dg.Definitions:
    sensor = dg.AutomationConditionSensorDefinition(
        "automation",
        target=dg.AssetSelection.all(),
        use_user_code_server=True,
        minimum_interval_seconds=1,
        default_status=dg.DefaultSensorStatus.RUNNING,
    )
    clock = Clock(of, url, instance, ticking=False)
    return dg.Definitions(assets=clock.defs.assets, sensors=[sensor], executor=dg.in_process_executor)


@pytest.fixture
def killed(tmp_path: Path, database_url: str) -> Killed:
    """Features of two months are there."""
    made = Killed(tmp_path, database_url)
    assert made.run(ticks=1) == 0
    with made.instance() as instance:
        clock = Clock(made.project, made.url, instance, ticking=False)
        for month in ("2013-01", "2013-02"):
            clock.upload(month)
    return made


@pytest.mark.parametrize("kill_at", [None, *BEFORE_A_RUN, *IN_THE_RUN])
def test_a_training_is_asked_for_once_wherever_the_daemon_dies(killed: Killed, kill_at: str | None) -> None:
    code = killed.run(ticks=6, kill_at=kill_at)
    assert code == (0 if kill_at is None else -signal.SIGKILL)
    assert killed.run(ticks=8) == 0
    with killed.instance() as instance:
        training_set = dg.AssetKey([killed.project.name, "training_set"])
        runs = [run for run in instance.get_runs() if training_set in (run.asset_selection or set())]
        (row,) = Trainings(engine_for(killed.url), killed.project.name).rows()
        assert [run.run_id for run in runs] == [row.run_id]
        if kill_at in IN_THE_RUN:
            assert row.outcome == "its run failed"  # for a person, or for new data: not over and over
        else:
            assert row.outcome == "version 1 became the champion"
            assert runs[0].tags["mlops/cause"] == "first"
