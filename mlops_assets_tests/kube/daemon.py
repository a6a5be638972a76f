"""What dagster-daemon does, turn by turn in this process: sensors, the queue, and the watch over runs."""

from __future__ import annotations

import logging
import time
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

from dagster._core.remote_origin import InProcessCodeLocationOrigin
from dagster._core.test_utils import create_test_daemon_workspace_context
from dagster._core.types.loadable_target_origin import LoadableTargetOrigin
from dagster._core.workspace.load_target import InProcessWorkspaceLoadTarget
from dagster._daemon.monitoring.run_monitoring import execute_run_monitoring_iteration
from dagster._daemon.run_coordinator.queued_run_coordinator_daemon import QueuedRunCoordinatorDaemon
from dagster._daemon.sensor import execute_sensor_iteration

from mlops_assets_tests.kube.world import IMAGE

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import dagster as dg

_LOG = logging.getLogger("daemon")
T = TypeVar("T")


@dataclass(frozen=True)
class Daemon:
    """The daemon and the code location that it watches. ``queue``: launches what was asked for."""

    workspace: Any
    instance: dg.DagsterInstance
    queue: QueuedRunCoordinatorDaemon

    def turn(self) -> None:
        """One turn: what sensors ask for is launched."""
        list(execute_sensor_iteration(self.workspace, _LOG, None, None))
        self.launch()

    def launch(self) -> None:
        """Launch the runs that wait."""
        list(self.queue.run_iteration(self.workspace))

    def watch(self) -> None:
        """Fail the runs whose pod is gone."""
        list(execute_run_monitoring_iteration(self.workspace, _LOG))

    def until(self, what: str, look: Callable[[], T | None], seconds: float = 120) -> T:
        """Turns until ``look`` answers something truthy; ``TimeoutError`` with the runs."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            self.turn()
            if found := look():
                return found
            time.sleep(0.5)
        runs = [
            (run.status.value, sorted(map(str, run.asset_selection or ())))
            for run in self.instance.get_runs()
        ]
        raise TimeoutError(f"{what}: not within {seconds:g} s; runs: {runs}")


@contextmanager
def daemon_of(instance: dg.DagsterInstance, module: str, attribute: str) -> Iterator[Daemon]:
    """A daemon whose code location is what ``attribute`` of ``module`` makes."""
    target = LoadableTargetOrigin(module_name=module, attribute=attribute)
    origin = InProcessCodeLocationOrigin(target, container_image=IMAGE, location_name="mlops_assets")
    with (
        create_test_daemon_workspace_context(InProcessWorkspaceLoadTarget(origin), instance) as workspace,
        QueuedRunCoordinatorDaemon(interval_seconds=1) as queue,
    ):
        yield Daemon(workspace, instance, queue)
