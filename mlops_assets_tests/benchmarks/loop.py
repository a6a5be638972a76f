"""From upload to served champion, beside a plain script that reads, fits and evaluates the same."""

from __future__ import annotations

import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from mlops_assets.observe import Dagster
from mlops_assets.platform import down, up
from mlops_assets.sample_data import month_objects, planes_object, write_objects
from mlops_assets.settings import Settings
from mlops_assets.upload import put_objects
from mlops_assets_tests.benchmarks.rows import Row
from mlops_assets_tests.services import free_port

PROJECT = "flight_delays"
MONTHS = ("2013-01", "2013-02", "2013-03")
ROUNDS = 3
TARGET = 2.5


def run() -> list[Row]:
    """Seconds of each, medians of interleaved rounds. ``ratio`` is ours / the script's: less is better."""
    ours, script = [], []
    for number in range(ROUNDS):
        script.append(_script())
        ours.append(_platform())
        print(f"round {number + 1}: platform {ours[-1]:.1f} s, script {script[-1]:.1f} s", flush=True)
    mine, peers = statistics.median(ours), statistics.median(script)
    ratio = mine / peers
    return [Row("upload to served champion", mine, peers, "s", ratio, TARGET, ratio <= TARGET)]


def _script() -> float:
    """Seconds of the plain script as a process of its own."""
    with tempfile.TemporaryDirectory() as folder:
        write_objects(Path(folder), MONTHS)
        started = time.monotonic()
        module = "mlops_assets_tests.benchmarks.plain_script"
        subprocess.run([sys.executable, "-m", module, folder], check=True, stdout=subprocess.DEVNULL)
        return time.monotonic() - started


def _platform() -> float:
    """Seconds from the upload's first byte to the endpoint's answer, on a platform made for it."""
    objects = planes_object() | {k: v for month in MONTHS for k, v in month_objects(month).items()}
    with tempfile.TemporaryDirectory() as folder:
        settings = free_settings(Path(folder))
        up(settings)
        try:
            started = time.time()
            put_objects(settings, PROJECT, objects)
            return _served(settings) - started
        finally:
            down(settings)


def _served(settings: Settings, patience_seconds: float = 600) -> float:
    """When the ``endpoint`` asset was first materialized, in seconds since 1970."""
    dagster = Dagster(settings.dagster_url)
    deadline = time.monotonic() + patience_seconds
    while time.monotonic() < deadline:
        if made := dagster.assets(PROJECT)["endpoint"].made:
            return made[-1].at
        time.sleep(1)
    raise TimeoutError(f"the endpoint did not answer within {patience_seconds} s of the upload")


def free_settings(home: Path) -> Settings:
    """Settings of a platform of its own: free ports, state in ``home``, nothing from ``.env``."""
    return Settings(
        _env_file=None,
        home=home,
        s3_port=free_port(),
        mlflow_port=free_port(),
        dagster_port=free_port(),
        code_location_port=free_port(),
        endpoint_base_port=free_port(),
        metrics_port=free_port(),
    )
