"""Dagster's webserver and daemon: ``python -m mlops_assets.platform.dagster_process webserver|daemon``.

Their own commands, after what these leave open: waiting for the database and
the code location and, in the daemon, ticks as frequent as the settings say.
"""

from __future__ import annotations

import contextlib
import importlib
import logging
import sys
import time

from mlops_assets.platform import daemon, database
from mlops_assets.platform.orchestrator import ServesGrpc, workspace_file
from mlops_assets.platform.ports import HOST
from mlops_assets.platform.service import NotReadyError
from mlops_assets.settings import Settings, get_settings


def main(which: str) -> None:
    """Become Dagster's process ``which``; never returns."""
    settings = get_settings()
    if which == "webserver":
        from dagster_webserver.cli import main as run

        arguments = ["--host", HOST, "--port", str(settings.dagster_port)]
    else:
        from dagster._daemon.cli import cli as run

        daemon.install()
        tick_often(settings)
        logging.getLogger("dagster.daemon.SensorDaemon").addFilter(_says_more_than_that_it_looked)
        arguments = ["run"]
    database.wait_for(settings.dagster_database)
    wait_for_location(settings)
    sys.argv = [f"dagster-{which}", *arguments, "--workspace", str(workspace_file(settings))]
    run()  # type: ignore[no-untyped-call]


def wait_for_location(settings: Settings, seconds: float = 30) -> None:
    """Return when the code location answers, or after ``seconds``.

    One that is not there when these processes start is next looked for a minute later.
    """
    probe = ServesGrpc(settings.code_location_port)
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        with contextlib.suppress(NotReadyError):
            return probe()
        time.sleep(0.1)
    return None


def _says_more_than_that_it_looked(record: logging.LogRecord) -> bool:
    """False for what the sensor daemon says at every tick of every sensor: the UI shows those."""
    text = record.getMessage()
    return not (text.startswith("Checking for new runs for sensor") or " skipped" in text)


def tick_often(settings: Settings) -> None:
    """Let sensors and automation be evaluated every 1 or 2 s where their own interval says so.

    Dagster's loops sleep at least 5 s between two rounds; a constant in each says so, and no setting.
    """
    for module, constant, seconds in (
        ("dagster._daemon.sensor", "MIN_INTERVAL_LOOP_TIME", settings.sensor_interval_seconds),
        ("dagster._daemon.asset_daemon", "MIN_INTERVAL_LOOP_SECONDS", settings.automation_interval_seconds),
    ):
        found = importlib.import_module(module)
        if not hasattr(found, constant):
            raise RuntimeError(f"This Dagster has no {module}.{constant}: install the locked version.")
        setattr(found, constant, min(seconds, getattr(found, constant)))


if __name__ == "__main__":
    main(sys.argv[1])
