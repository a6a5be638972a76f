"""The product's main job, by its own commands on a real platform; then parts of it are killed.

The tests tell one story, in order.
"""

from __future__ import annotations

import json
import os
import re
import signal
import time
from collections import Counter
from typing import TYPE_CHECKING, Any

import psutil
import pytest

from mlops_assets.catalog import get_project
from mlops_assets.platform import orphans
from mlops_assets.platform.object_store import s3_client
from mlops_assets.sample_data import month_objects
from mlops_assets_tests.services import wait_until

if TYPE_CHECKING:
    from collections.abc import Callable

    from mlops_assets_tests.e2e.conftest import Stage

pytestmark = [pytest.mark.timeout(900)]
PROJECT = "flight_delays"
EXAMPLE = json.dumps(dict(get_project(PROJECT).endpoint.example))
RAW = ("raw/flights", "raw/weather", "raw/planes")


def reads(stage: Stage) -> Counter[str]:
    """How often each object version was materialized."""
    assets = stage.dagster.assets(PROJECT)
    return Counter(made.metadata["version id"] for name in RAW for made in assets[name].made)


def uploaded(stage: Stage) -> set[str]:
    """The version ids in the raw bucket."""
    client, bucket = s3_client(stage.settings), stage.settings.raw_bucket
    found = client.list_object_versions(Bucket=bucket, Prefix=f"{PROJECT}/").get("Versions", [])
    return {version["VersionId"] for version in found}


def at_rest(stage: Stage) -> bool:
    return all(run.status in ("SUCCESS", "FAILURE", "CANCELED") for run in stage.runs())


def eventually(what: str, ready: Callable[[], Any], seconds: float = 180) -> Any:
    return wait_until(what, ready, seconds=seconds)


def test_one_command_from_nothing_though_it_is_killed_and_given_again(stage: Stage) -> None:
    """The platform is started, and the first months are uploaded, by a showing that then dies."""
    with stage.start("demo") as killed:
        assert killed.stdout is not None
        assert any("uploaded 7 objects" in line for line in killed.stdout)
        killed.kill()
    said = stage.mlops("demo")
    assert "all 7 objects are there since" in said
    assert "version 1 is the champion, and is served" in said
    assert "(2013-04)" in said
    served, refused = "version 2 is the champion, and is served", "the gate refused the challenger"
    assert (served in said) != (refused in said), said
    assert stage.info()["version"] == ("2" if served in said else "1")
    assert stage.settings.dagster_url in said
    assert stage.mlops("status")


def test_every_object_version_was_read_exactly_once(stage: Stage) -> None:
    versions = uploaded(stage)
    assert len(versions) == 9
    assert reads(stage) == Counter(dict.fromkeys(versions, 1))
    features = Counter(made.partition for made in stage.asset("features").made)
    assert features == Counter({"2013-01": 1, "2013-02": 1, "2013-03": 1, "2013-04": 1})
    assert len(stage.asset("training_set").made) == 2


def test_the_endpoint_answers_to_the_command_line(stage: Stage) -> None:
    answer = json.loads(stage.mlops("predict", PROJECT, EXAMPLE))
    assert answer["model"] == {"project": PROJECT, "version": stage.info()["version"]}
    assert 0 < answer["predictions"][0]["probability"] < 1
    refused = stage.mlops("predict", PROJECT, '{"carrier": "UA"}', code=1)
    assert "origin" in refused


def test_the_next_demo_goes_on_though_its_training_is_killed(stage: Stage) -> None:
    known = {run.run_id for run in stage.runs()}

    def training() -> Any:
        return next((r for r in stage.runs() if r.run_id not in known and "training_set" in r.assets), None)

    with stage.start("demo") as demo:
        run = eventually("the training", training)
        eventually("its MLflow runs", lambda: "RUNNING" in stage.mlflow_runs(run.run_id))
        pid = re.search(r"Started process for run \(pid: (\d+)\)", stage.messages(run.run_id))
        assert pid is not None
        os.kill(int(pid.group(1)), signal.SIGKILL)
        killed = time.monotonic()
        eventually("the run's end", lambda: _status(stage, run.run_id) == "FAILURE", seconds=30)
        print(f"marked failed after {time.monotonic() - killed:.1f} s")
        eventually("MLflow's end", lambda: "RUNNING" not in stage.mlflow_runs(run.run_id), seconds=60)
        print(f"ended in MLflow after {time.monotonic() - killed:.1f} s")
        said = demo.communicate()[0]
    assert demo.returncode == 0, said
    assert "(2013-05)" in said
    assert "2013-04)" not in said
    assert set(stage.mlflow_runs(run.run_id)) <= {"FAILED", "FINISHED", "KILLED"}
    judged = stage.asset("evaluation").made[0]
    assert judged.metadata["held out"] == "2013-05"
    assert judged.run_id != run.run_id


def _status(stage: Stage, run_id: str) -> str:
    return next(run.status for run in stage.runs() if run.run_id == run_id)


def test_what_is_uploaded_while_the_daemon_is_dead_is_handled_once(stage: Stage) -> None:
    eventually("rest", lambda: at_rest(stage))
    before, trainings = uploaded(stage), len(stage.asset("training_set").made)
    for month in ("2013-01", "2013-02"):  # the same rows, written another way: nothing to train on
        file = stage.folder / "weather" / f"{month}.csv"
        file.parent.mkdir(exist_ok=True)
        file.write_bytes(month_objects(month)[f"weather/{month}.csv"].replace(b"\n", b"\r\n"))
    os.kill(stage.pid("daemon"), signal.SIGKILL)
    said = stage.mlops("upload", PROJECT, *map(str, sorted((stage.folder / "weather").iterdir())))
    assert f"s3://{stage.settings.raw_bucket}/{PROJECT}/weather/2013-02.csv" in said
    new = uploaded(stage) - before
    assert len(new) == 2
    eventually("handling", lambda: new <= set(reads(stage)))
    os.kill(stage.pid("daemon"), signal.SIGKILL)  # once more, before it has settled what it asked for
    eventually("rest", lambda: at_rest(stage))
    eventually("features", lambda: len(stage.asset("features").made) >= 7)
    time.sleep(3 * stage.settings.sensor_interval_seconds)
    eventually("rest", lambda: at_rest(stage))
    assert reads(stage) == Counter(dict.fromkeys(uploaded(stage), 1))
    assert len(stage.asset("features").made) == 7
    assert len(stage.asset("training_set").made) == trainings


def test_a_killed_endpoint_is_back_with_the_champion_though_the_registry_hangs(stage: Stage) -> None:
    version = stage.info()["version"]
    registry = psutil.Process(stage.pid("registry"))
    hung = [registry, *registry.children(recursive=True)]
    for process in hung:
        process.suspend()
    try:
        pid = stage.pid("endpoint-flight_delays")
        os.kill(pid, signal.SIGKILL)
        began = time.monotonic()
        eventually("another process", lambda: stage.pid("endpoint-flight_delays") not in (0, pid), 30)
        eventually("the endpoint", lambda: stage.info()["version"] == version, seconds=30)
        print(f"back after {time.monotonic() - began:.1f} s")
    finally:
        for process in hung:
            process.resume()


def test_rollback_is_served_shown_and_stays(stage: Stage) -> None:
    eventually("rest", lambda: at_rest(stage))
    version = stage.info()["version"]
    former = str(int(version) - 1)
    assert int(former) >= 1, "the demo brought one version only: there is none to roll back to"
    said = stage.mlops("rollback", PROJECT)
    assert f"version {former} is the champion again, instead of {version}" in said
    eventually("the endpoint", lambda: stage.info()["version"] == former, seconds=30)
    shown = stage.asset("champion").made[0]
    assert (shown.metadata["version"], shown.metadata["kind"], shown.run_id) == (former, "rollback", "")
    eventually("its asset", lambda: stage.asset("endpoint").made[0].metadata["version"] == former, seconds=60)
    promotions = len(stage.asset("champion").made)
    time.sleep(4 * stage.settings.automation_interval_seconds)
    eventually("rest", lambda: at_rest(stage))
    assert len(stage.asset("champion").made) == promotions
    assert stage.info()["version"] == former
    assert json.loads(stage.mlops("predict", PROJECT, EXAMPLE))["model"]["version"] == former


def test_down_leaves_no_process_and_what_needs_one_says_so(stage: Stage) -> None:
    assert orphans.platform(stage.settings.state).processes()
    stage.mlops("down")
    assert orphans.platform(stage.settings.state).processes() == []
    for command in (("rollback", PROJECT), ("predict", PROJECT, EXAMPLE)):
        said = stage.mlops(*command, code=1)
        assert "mlops status" in said
        assert "Traceback" not in said
