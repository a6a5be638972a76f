"""Dagster's own sensor daemon on the toy project, in child processes that can be killed at a point.

The daemon's code, its storage and its runs are the real ones; code location and runs live in the
daemon's process, so that one kill ends all of them, as a lost machine does.
"""

from __future__ import annotations

import logging
import os
import pkgutil
import signal
import time
from dataclasses import dataclass
from multiprocessing import get_context
from typing import TYPE_CHECKING, Any
from unittest import mock

import dagster as dg

if TYPE_CHECKING:
    from pathlib import Path

    from dagster_aws.s3 import S3Resource

    from mlops_assets.resources.tables import Tables

CONFIG = """
storage:
  postgres:
    postgres_url: {url}
run_launcher:
  module: dagster._core.launcher.sync_in_memory_run_launcher
  class: SyncInMemoryRunLauncher
run_coordinator:
  module: dagster.core.run_coordinator
  class: DefaultRunCoordinator
telemetry: {{enabled: false}}
"""

_CODE = "mlops_assets.automation"
BEFORE = {
    "listed, not recorded": f"{_CODE}.recording.Recording.record",
    "recorded": f"{_CODE}.requests.settle",
    "asked": f"{_CODE}.s3_sensor.Tick._run_request",
    "run reading": f"{_CODE}.ledger.Ledger.object_for",
    "run has read": f"{_CODE}.ledger.Ledger.mark_handled",
    "run ended": f"{_CODE}.requests._close",
}
"""Points at which a child is killed: just before the named function's work."""
AFTER = {
    "recorded, not committed": f"{_CODE}.recording.Recording._insert",
    "asked, not committed": f"{_CODE}.requests.ask",
    "run ended, half settled": f"{_CODE}.requests.mark_built",
}
"""And just after it, within its transaction."""
DAGSTERS = ("TICK_CREATED", "RUN_IDS_RESERVED", "RUN_CREATED", "RUN_LAUNCHED")
"""Points that Dagster's daemon offers to be killed at, for its own tests."""

defs: dg.Definitions | None = None
"""What the code location of this process loads."""


@dataclass(frozen=True)
class Daemon:
    """Starts children that evaluate the sensor and execute what it asks for."""

    home: Path
    bucket: str
    s3: S3Resource
    tables: Tables

    def __post_init__(self) -> None:
        (self.home / "dagster.yaml").write_text(CONFIG.format(url=self.tables.url))

    def instance(self) -> dg.DagsterInstance:
        return dg.DagsterInstance.from_config(str(self.home))

    def run(self, ticks: int, kill_at: str | None = None) -> int:
        """The exit code of a child that ticks until it rests, ``ticks`` times at most, or is killed (-9)."""
        self.tables.engine.dispose()  # a connection must not be used by two processes
        child = get_context("fork").Process(target=self._child, args=(ticks, kill_at))
        child.start()
        child.join(120)
        if child.exitcode is None:
            child.kill()
            child.join()
            raise TimeoutError("the daemon's child hangs")
        return child.exitcode

    def _child(self, ticks: int, kill_at: str | None) -> None:
        from mlops_assets_tests.automation import toy
        from mlops_assets_tests.automation.world import AT_ONCE

        global defs  # noqa: PLW0603 (where the code location finds it)
        defs = toy.definitions(toy.project(), self.bucket, self.s3, self.tables, AT_ONCE)
        if kill_at in BEFORE:
            mock.patch(BEFORE[kill_at], _die).start()
        if kill_at in AFTER:
            _die_after(AFTER[kill_at])
        flags = {"toy_s3": {kill_at: signal.SIGKILL}} if kill_at in DAGSTERS else None
        with self.instance() as instance:
            _fail_orphans(instance)
            _tick(instance, ticks, flags)


def _die(*_: Any, **__: Any) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def _die_after(path: str) -> None:
    real = pkgutil.resolve_name(path)

    def call_and_die(*args: Any, **kwargs: Any) -> None:
        real(*args, **kwargs)
        _die()

    mock.patch(path, call_and_die).start()


def _fail_orphans(instance: dg.DagsterInstance) -> None:
    """What run monitoring does with runs whose process is gone."""
    for run in instance.get_runs():
        if run.status in (dg.DagsterRunStatus.STARTED, dg.DagsterRunStatus.STARTING):
            instance.report_run_failed(run, "its process is gone")


def _tick(instance: dg.DagsterInstance, ticks: int, flags: Any) -> None:
    from dagster._core.remote_origin import InProcessCodeLocationOrigin
    from dagster._core.test_utils import create_test_daemon_workspace_context, freeze_time
    from dagster._core.types.loadable_target_origin import LoadableTargetOrigin
    from dagster._core.workspace.load_target import InProcessWorkspaceLoadTarget
    from dagster._daemon.sensor import execute_sensor_iteration

    target = LoadableTargetOrigin(module_name=__name__, attribute="defs")
    load = InProcessWorkspaceLoadTarget(InProcessCodeLocationOrigin(target))
    with create_test_daemon_workspace_context(load, instance) as workspace:
        runs = [-1]
        for number in range(ticks):
            # The clock runs ahead, so that no tick is too soon after the last one.
            with freeze_time(time.time() + _ahead(instance) + 60 * number):
                logger = logging.getLogger("daemon")
                list(execute_sensor_iteration(workspace, logger, None, None, debug_crash_flags=flags))
            runs.append(instance.get_runs_count())
            if runs[-3:] == [runs[-1]] * 3:
                return


def _ahead(instance: dg.DagsterInstance) -> float:
    """Seconds by which earlier children ran ahead."""
    states = instance.all_instigator_state()
    starts = [getattr(s.instigator_data, "last_tick_start_timestamp", 0) or 0 for s in states]
    return max(0.0, max(starts, default=0.0) - time.time()) + 60
