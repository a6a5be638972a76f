"""Dagster's own sensor daemon on a code location with a sensor that fails on request."""

from __future__ import annotations

import logging
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

import dagster as dg

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

BROKEN: list[str] = []
"""Why the sensor fails; empty: it does not."""

defs: dg.Definitions | None = None
"""What the code location of this process loads."""


@dg.asset(key=["shop", "raw"])
def raw() -> None: ...


@dg.sensor(target=[raw], default_status=dg.DefaultSensorStatus.RUNNING, minimum_interval_seconds=1)
def shop_watch() -> dg.SkipReason:
    if BROKEN:
        raise ValueError(BROKEN[0])
    return dg.SkipReason("nothing to do")


@contextmanager
def daemon(
    instance: dg.DagsterInstance, sensors: Sequence[dg.SensorDefinition] = (), **resources: object
) -> Iterator[Callable[[], None]]:
    """A function that makes all running sensors tick once."""
    from dagster._core.remote_origin import InProcessCodeLocationOrigin
    from dagster._core.test_utils import create_test_daemon_workspace_context, freeze_time
    from dagster._core.types.loadable_target_origin import LoadableTargetOrigin
    from dagster._core.workspace.load_target import InProcessWorkspaceLoadTarget
    from dagster._daemon.sensor import execute_sensor_iteration

    global defs  # noqa: PLW0603 - where the code location finds it
    defs = dg.Definitions(assets=[raw], sensors=[shop_watch, *sensors], resources=resources)
    BROKEN.clear()
    target = LoadableTargetOrigin(module_name=__name__, attribute="defs")
    load = InProcessWorkspaceLoadTarget(InProcessCodeLocationOrigin(target))
    ticked = 0
    with create_test_daemon_workspace_context(load, instance) as workspace:

        def tick() -> None:
            nonlocal ticked
            ticked += 1
            # The clock runs ahead, so that no tick is too soon after the last one.
            with freeze_time(time.time() + 30 * ticked):
                list(execute_sensor_iteration(workspace, logging.getLogger("daemon"), None, None))

        yield tick
