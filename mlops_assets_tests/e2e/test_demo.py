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
from mlops_assets.demo.story import load
from mlops_assets.platform import orphans
from mlops_assets.platform.object_store import s3_client
from mlops_assets.sample_data import month_objects
from mlops_assets_tests.services import wait_until

if TYPE_CHECKING:
    from collections.abc import Callable

    import pandas as pd

    from mlops_assets.observe import Run
    from mlops_assets_tests.e2e.conftest import Stage

pytestmark = [pytest.mark.timeout(1200)]
PROJECT = "flight_delays"
EXAMPLE = json.dumps(dict(get_project(PROJECT).endpoint.example))
RAW = ("raw/flights", "raw/weather", "raw/planes")
LABELLED = tuple(f"2013-{month:02d}" for month in range(1, 7))
LIVE = tuple(f"2013-{month:02d}" for month in range(4, 8))
DRIFT = f"check/{PROJECT}/drift:feature_drift"


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


def training(stage: Stage, known: set[str]) -> Run | None:
    """The run of a training that was not ``known``."""
    return next((r for r in stage.runs() if r.run_id not in known and "training_set" in r.assets), None)


def test_one_command_tells_all_of_it_though_parts_are_killed(stage: Stage) -> None:
    """The first showing dies after its upload. In the second one, the retraining's process does."""
    with stage.start("demo") as killed:
        assert killed.stdout is not None
        assert any("uploaded 7 objects" in line for line in killed.stdout)
        killed.kill()
    with stage.start("demo") as demo:
        first = eventually("the first training", lambda: training(stage, set()), 300)
        again = eventually("the retraining", lambda: training(stage, {first.run_id}), 600)
        eventually("its MLflow runs", lambda: "RUNNING" in stage.mlflow_runs(again.run_id))
        pid = re.search(r"Started process for run \(pid: (\d+)\)", stage.messages(again.run_id))
        assert pid is not None
        os.kill(int(pid.group(1)), signal.SIGKILL)
        killed_at = time.monotonic()
        eventually("the run's end", lambda: _status(stage, again.run_id) == "FAILURE", seconds=60)
        print(f"marked failed after {time.monotonic() - killed_at:.1f} s")
        eventually("MLflow's end", lambda: "RUNNING" not in stage.mlflow_runs(again.run_id), seconds=60)
        print(f"ended in MLflow after {time.monotonic() - killed_at:.1f} s")
        said = demo.communicate()[0]
    print(said)
    assert demo.returncode == 0, said
    assert "all 7 objects are there since" in said
    assert stage.settings.dagster_url in said
    assert set(stage.mlflow_runs(again.run_id)) <= {"FAILED", "FINISHED", "KILLED"}
    assert stage.mlops("status")


def test_every_object_version_was_read_exactly_once(stage: Stage) -> None:
    versions = uploaded(stage)
    assert len(versions) == 1 + 2 * len(LABELLED)
    assert reads(stage) == Counter(dict.fromkeys(versions, 1))
    assert Counter(made.partition for made in stage.asset("features").made) == Counter(LABELLED)


def test_drift_was_seen_and_an_alert_told_of_it_until_it_was_over(stage: Stage) -> None:
    verdicts = [v for v in stage.seen.verdicts if v.check == "feature_drift"]
    failed = [v.at for v in verdicts if v.champion == "1" and not v.passed]
    passed = [v.at for v in verdicts if v.passed]
    swap = next(p.at for p in stage.seen.promotions if p.version == "2")
    # The verdict may waver in April: what counts is the alert that led to the training.
    before = [a for a in stage.seen.alerts if a.fingerprint == DRIFT and a.began < swap]
    alert = max(before, key=lambda found: found.began)
    assert min(abs(alert.began - at) for at in failed) < 1
    assert alert.ended is not None
    assert min(abs(alert.ended - at) for at in passed) < 1
    assert any(v.passed and v.champion == "2" for v in verdicts), "the new champion has not drifted"


def test_a_retraining_followed_and_says_why_everywhere(stage: Stage) -> None:
    first, second, *_ = stage.seen.trainings
    assert first.cause == "first"
    assert second.cause in ("drift", "performance")
    assert "version 2 became the champion" in second.outcome
    [made] = [m for m in stage.asset("training_set").made if m.run_id == second.run_id]
    assert made.metadata["cause"] == second.cause
    assert made.metadata["why"] == f"{second.why} (Tried again.)"
    assert second.why in stage.dagster.work([second.run_id])[second.run_id].tags["mlops/why"]
    assert stage.registry.version(PROJECT, "2").tags["mlops.cause"] == second.cause
    why = stage.mlops("why", PROJECT)
    assert second.why[:60] in " ".join(why.split())


def test_every_answer_is_in_the_log_once_and_the_endpoint_swapped_under_traffic(stage: Stage) -> None:
    asked = sum(month_objects(month)[f"flights/{month}.csv"].count(b"\n") - 1 for month in LIVE)
    rows = stage.logged()
    assert not rows.duplicated(["request_id", "row"]).any()
    flights = rows[~rows["request_id"].isin(_of_single_rows(rows))]
    assert len(rows) == asked + 1, "and the one flight that it begins with"
    assert set(flights["received.scheduled_departure"].str[:7]) == set(LIVE)
    # Each version in one stretch: none answers after its successor but for what was on its way.
    began = rows.groupby("version")["time"].min().sort_values()
    assert list(began.index) == sorted(began.index, key=int)
    assert len(began) >= 2
    ended = rows.groupby("version")["time"].max()
    for before, after in zip(began.index, began.index[1:], strict=False):
        assert (began[after] - ended[before]).total_seconds() < 10, "traffic went on through the swap"
    eventually("the last of them in its asset", lambda: _answered(stage) == len(rows), seconds=60)
    assert all(check.passed for check in stage.asset("predictions").checks)


def _answered(stage: Stage) -> int:
    """The rows that the endpoint answered, as ``predictions`` has it of all days."""
    days = {made.partition: made.metadata["answered"] for made in reversed(stage.asset("predictions").made)}
    return sum(days.values())


def _of_single_rows(rows: pd.DataFrame) -> set[str]:
    counts = rows["request_id"].value_counts()
    return set(counts[counts == 1].index)


def test_outcomes_came_with_the_labels_and_say_how_good_the_answers_were(stage: Stage) -> None:
    outcomes = {made.partition: made.metadata["rows"] for made in reversed(stage.asset("outcomes").made)}
    assert {month for month, rows in outcomes.items() if rows > 20_000} == {"2013-04", "2013-05", "2013-06"}
    real = {(one.month, one.version): one for one in stage.seen.real}
    april = real["2013-04", "1"]
    assert april.promised == pytest.approx(stage.seen.promotions[0].roc_auc, abs=0.001)
    assert april.roc_auc is not None
    assert april.expected is not None
    assert 0.55 < april.roc_auc < 0.8
    assert {month for month, _ in real} == {"2013-04", "2013-05", "2013-06"}


def test_the_story_is_drawn(stage: Stage) -> None:
    folder = stage.settings.state / "demo"
    assert (folder / "story.png").read_bytes().startswith(b"\x89PNG")
    story = load(folder / "story.json")
    assert story.failed == 0
    assert [month.name for month in story.months] == list(LIVE)
    assert sum(story.by_version().values()) == len(stage.logged()) - 1


def test_an_answer_is_traced_to_its_raw_objects(stage: Stage) -> None:
    rows = stage.logged()
    request = str(rows[rows["version"] == "2"]["request_id"].iloc[-1])
    traced = json.loads(stage.mlops("trace", request, "--json"))
    [model] = traced["models"]
    assert model["version"] == "2"
    assert model["promotions"][0]["cause"] == stage.seen.trainings[1].cause
    features = model["training_set"]["features"]
    assert [(part["partition"], part["held_out"]) for part in features] == [
        ("2013-01", False), ("2013-02", False), ("2013-03", False), ("2013-04", True),
    ]  # fmt: skip
    objects = [one for part in features for one in part["objects"]]
    assert {one["version_id"] for one in objects} < uploaded(stage)
    made = {m.metadata["version id"]: m.run_id for name in RAW for m in stage.asset(name).made}
    assert {one["version_id"]: one["read_by"]["run_id"] for one in objects} == {
        one["version_id"]: made[one["version_id"]] for one in objects
    }
    head = s3_client(stage.settings).head_object(
        Bucket=objects[0]["bucket"], Key=objects[0]["key"], VersionId=objects[0]["version_id"]
    )
    assert head["ETag"].strip('"') == objects[0]["etag"].strip('"')
    assert all(one["read_by"]["code_version"] for one in objects)
    assert f"request {request} to {PROJECT}" in stage.mlops("trace", request)
    assert "Looked at" in stage.mlops("trace", "nosuch", code=1)


def test_the_endpoint_answers_to_the_command_line(stage: Stage) -> None:
    answer = json.loads(stage.mlops("predict", PROJECT, EXAMPLE))
    assert answer["model"] == {"project": PROJECT, "version": stage.info()["version"]}
    assert 0 < answer["predictions"][0]["probability"] < 1
    refused = stage.mlops("predict", PROJECT, '{"carrier": "UA"}', code=1)
    assert "origin" in refused


def test_the_next_showing_goes_on_with_the_next_month(stage: Stage) -> None:
    said = stage.mlops("demo")
    assert "labels of 2013-07 land" in said
    assert "flights of 2013-08 begin" in said
    assert "flights of 2013-07 begin" not in said
    asked = month_objects("2013-08")["flights/2013-08.csv"].count(b"\n") - 1
    eventually("its rows in the log", lambda: _logged_about(stage, "2013-08") == asked, seconds=60)


def _logged_about(stage: Stage, month: str) -> int:
    return int(stage.logged()["received.scheduled_departure"].str.startswith(month).sum())


def _status(stage: Stage, run_id: str) -> str:
    return next(run.status for run in stage.runs() if run.run_id == run_id)


def test_what_is_uploaded_while_the_daemon_is_dead_is_handled_once(stage: Stage) -> None:
    eventually("rest", lambda: at_rest(stage))
    before, trainings, built = uploaded(stage), len(stage.asset("training_set").made), _built(stage)
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
    eventually("features", lambda: _built(stage) >= built + 2)
    time.sleep(3 * stage.settings.sensor_interval_seconds)
    eventually("rest", lambda: at_rest(stage))
    assert reads(stage) == Counter(dict.fromkeys(uploaded(stage), 1))
    assert _built(stage) == built + 2
    assert len(stage.asset("training_set").made) == trainings


def _built(stage: Stage) -> int:
    return len(stage.asset("features").made)


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


def test_a_training_that_down_stops_is_gone_on_with_after_up(stage: Stage) -> None:
    """August's labels make new data a cause, after a rollback; the platform stops in the training."""
    files = month_objects("2013-08")
    for name, data in files.items():
        file = stage.folder / name
        file.parent.mkdir(exist_ok=True)
        file.write_bytes(data)
    trainings = len(stage.asset("training_set").made)
    stage.mlops("upload", PROJECT, *files)
    eventually("the training", lambda: len(stage.asset("training_set").made) > trainings)
    stage.mlops("down")
    assert orphans.platform(stage.settings.state).processes() == []
    stage.mlops("up")
    judged = eventually("the evaluation", lambda: stage.asset("evaluation").since(_newest_training(stage)))
    assert judged[0].metadata["held out"] == "2013-08"
    eventually("rest", lambda: at_rest(stage))
    verdicts = [check.passed for check in stage.asset("evaluation").checks]
    promoted = stage.asset("champion").since(judged[0].at)
    assert len(verdicts) == 5
    assert bool(promoted) == all(verdicts)
    assert stage.info()["version"] == stage.asset("champion").made[0].metadata["version"]
    eventually("all reads", lambda: reads(stage) == Counter(dict.fromkeys(uploaded(stage), 1)))


def _newest_training(stage: Stage) -> float:
    return stage.asset("training_set").made[0].at


def test_down_leaves_no_process_and_what_needs_one_says_so(stage: Stage) -> None:
    assert orphans.platform(stage.settings.state).processes()
    stage.mlops("down")
    assert orphans.platform(stage.settings.state).processes() == []
    for command in (("rollback", PROJECT), ("predict", PROJECT, EXAMPLE)):
        said = stage.mlops(*command, code=1)
        assert "mlops status" in said
        assert "Traceback" not in said
