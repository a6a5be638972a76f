"""From live traffic to a verdict: predictions, drift, outcomes and performance.

The tests tell one story, in order. Between two of its chapters the daemon does nothing, so that each
begins as after a time in which it was down.
"""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING, Any

import dagster as dg
import numpy as np
import pytest
from dagster._core.storage.asset_check_execution_record import AssetCheckExecutionRecordStatus as Status

from mlops_assets.contracts import read_object
from mlops_assets.families.boosting import Boosting
from mlops_assets.lifecycle.champion import note_of_rollback, rollback
from mlops_assets.lifecycle.describe import asset_key
from mlops_assets.lifecycle.reference_profile import watched
from mlops_assets.project import Drift, Performance
from mlops_assets.resources.promotions import PromotionLog
from mlops_assets.resources.tables import engine_for
from mlops_assets_tests.lifecycle.data import FIRST_MONTHS, month, planes
from mlops_assets_tests.lifecycle.test_next_month import shuffled
from mlops_assets_tests.lifecycle.watching import Watch

if TYPE_CHECKING:
    from collections.abc import Callable

    import pandas as pd

    from mlops_assets_tests.lifecycle.world import World

EVERY = 8
TRAINING = ("training_set", "candidates/boosting", "evaluation", "champion", "reference_profile")
APRIL, FLIGHTS = "2013-04", "flights/2013-04.csv"
DAYS = [f"2026-11-{day:02}" for day in range(1, 8)]


def at(day: str) -> dt.datetime:
    return dt.datetime.fromisoformat(f"{day}T12:00+00:00")


@pytest.fixture(scope="module")
def watch(make_world: Callable[..., World]) -> Watch:
    """Three thin months and a first champion."""
    world = make_world(
        families=(Boosting(stages=40),),
        drift=Drift(window_rows=1500, min_rows=500, max_drifted_share=0.1),
        performance=Performance(min_outcomes=500),
    )
    world.upload("planes/planes.csv", planes())
    for name in FIRST_MONTHS:
        for key, data in month(name, EVERY).items():
            world.upload(key, data)
    world.settle()
    assert world.train(*TRAINING).success
    return Watch(world)


@pytest.fixture(scope="module")
def april(watch: Watch) -> pd.DataFrame:
    """April's flights as they are asked about, in a world that has no data of April yet."""
    project = watch.world.project
    objects = month(APRIL, EVERY) | {"planes/planes.csv": planes()}
    frames = {
        name.split("/")[0]: read_object(
            data, project.source(name.split("/")[0]).contract, key=name, partition=None
        )
        for name, data in objects.items()
    }
    return project.features.build(frames)


def evaluations(watch: Watch, stage: str, check: str) -> list[dg.AssetCheckEvaluation]:
    """All of a check, newest first."""
    key = dg.AssetCheckKey(asset_key(watch.world.project, stage), check)
    done = {Status.SUCCEEDED, Status.FAILED}
    history = watch.world.instance.event_log_storage.get_asset_check_execution_history
    records = history(key, limit=100, status=done)
    events = [record.event.dagster_event for record in records if record.event]
    return [event.asset_check_evaluation_data for event in events if event]


def said(evaluation: dg.AssetCheckEvaluation, name: str) -> Any:
    return evaluation.metadata[name].value


def test_the_reference_follows_the_champion(watch: Watch) -> None:
    champion = watched(watch.world.instance, watch.world.project)
    reference = champion.reference(watch.lake)
    made = watch.made("reference_profile")
    assert champion.version == reference.champion == "1"
    assert reference.features.rows == watch.made("training_set")["dagster/row_count"]
    assert reference.scores.rows == len(watch.features("2013-03"))
    assert made["promised"] == watch.made("evaluation")["evidence"]["scores"]["boosting"]
    sample = watch.lake.get_frame(champion.sample_key)
    assert 1900 < len(sample) <= 2000
    assert list(sample.columns) == list(watch.predictor("1").bundle.columns)
    assert watch.registry.version(watch.world.project.name, "1").tags["reference_profile"] == made["address"]


def test_without_traffic_nothing_is_asked_for(watch: Watch) -> None:
    assert watch.look() == []
    assert watch.look() == []


def test_traffic_like_the_training_set_passes(watch: Watch) -> None:
    seen = watch.features("2013-02")
    watch.serve(seen.sample(1600, random_state=0), "1", at(DAYS[0]))
    assert watch.settle() == [f"predictions[{DAYS[0]}]", "drift", "outcomes[2013-02]", "performance"]
    made = watch.made("predictions", DAYS[0])
    assert made["rows"] == 1600
    assert made["versions"] == {"1": 1600}
    assert made["partitions"] == {"2013-02": 1600}
    drift = watch.made("drift")
    assert drift["window"]["rows"] == 1500
    assert drift["champion"] == "1"
    assert drift["training_set"] == watch.made("training_set")["id"]
    assert drift["answered by other versions"] == 0
    assert drift["verdict"] == ""
    checks = [watch.world.check(name, "drift") for name in ("feature_drift", "score_drift")]
    assert all(check.passed and check.severity == dg.AssetCheckSeverity.WARN for check in checks)
    assert all({"champion", "observed", "allowed", "what to do"} <= set(check.metadata) for check in checks)


def test_when_nothing_is_new_nothing_is_asked_for(watch: Watch) -> None:
    assert watch.look() == []
    assert watch.look() == []


def test_april_is_asked_about_and_drift_is_seen_before_any_label(watch: Watch, april: pd.DataFrame) -> None:
    watch.serve(april.iloc[:2000], "1", at(DAYS[1]))
    made = watch.settle()
    assert made == [f"predictions[{DAYS[1]}]", "drift", "drift_report"]  # no label of April: no outcomes
    failed = watch.world.check("feature_drift", "drift")
    assert not failed.passed
    assert said(failed, "champion") == "1"
    drift = watch.made("drift")
    assert drift["verdict"].startswith("1/feature_drift")
    assert drift["partitions"] == {APRIL: 1500}
    assert {"dew_point", "wind_direction"} & set(drift["drifted"])


def test_the_report_is_drawn_once_for_a_verdict_that_lasts(watch: Watch, april: pd.DataFrame) -> None:
    from mlflow.artifacts import load_text

    report = watch.made("drift_report")
    assert report["verdict"] == watch.made("drift")["verdict"]
    run = watch.registry.client.get_run(report["report"].split("/runs/")[1].split("/")[0])
    assert report["report"].endswith("/artifacts/drift_report.html")
    assert "<html" in load_text(f"{run.info.artifact_uri}/drift_report.html")[:2000]
    figures = watch.lake.get_json(report["JSON"].split("/", 3)[3])
    assert "dew_point" in str(figures)
    watch.serve(april.iloc[2000:2200], "1", at(DAYS[1]) + dt.timedelta(hours=1))
    assert watch.settle() == [f"predictions[{DAYS[1]}]", "drift"]
    assert watch.made("drift")["verdict"] == report["verdict"]


def test_what_was_expected_is_kept_until_the_truth_is_known(watch: Watch) -> None:
    from mlops_assets.lifecycle.estimates import said_before

    kept = said_before(watch.lake, watch.world.project, "1")
    assert [one.about for one in kept] == ["2013-02", APRIL, APRIL]
    assert all(0.5 < one.roc_auc < 0.9 for one in kept)


def test_labels_come_in_parts(watch: Watch, april: pd.DataFrame) -> None:
    """Three quarters of April's flights arrive; then the rest."""
    objects = month(APRIL, EVERY)
    header, *rows = objects[FLIGHTS].splitlines(keepends=True)
    part = b"".join(row for number, row in enumerate(rows) if number % 4)
    for key, data in (objects | {FLIGHTS: header + part}).items():
        watch.world.upload(key, data)
    watch.world.settle()
    assert watch.settle() == [f"outcomes[{APRIL}]", "performance"]
    made = watch.made("outcomes", APRIL)
    assert 1500 < made["rows"] < 1800
    assert made["rows"] + made["predictions without a label"] == 2200
    watch.world.upload(FLIGHTS, objects[FLIGHTS])
    watch.world.settle()
    assert watch.settle() == [f"outcomes[{APRIL}]", "performance"]
    made = watch.made("outcomes", APRIL)
    assert (made["rows"], made["predictions without a label"]) == (2200, 0)
    assert made["versions"] == {"1": 2200}
    frame = watch.lake.get_frame(made["lake_key"])
    np.testing.assert_array_equal(frame["label"], april["late"].iloc[:2200])
    assert set(frame.columns) >= {"request_id", "row", "time", "event_time", "version", "carrier", "origin"}
    assert list(frame["request_id"][:2]) == ["request-1601", "request-1602"]


def test_performance_is_the_truth_about_the_stored_answers(watch: Watch, april: pd.DataFrame) -> None:
    """Worked out again by scikit-learn; the estimate stands beside it with its error."""
    from sklearn.metrics import roc_auc_score

    frame = watch.lake.get_frame(watch.made("outcomes", APRIL)["lake_key"])
    truth = roc_auc_score(april["late"].iloc[:2200], frame["probability"])
    made = watch.made("performance")
    [entry] = [one for one in made["series"] if one["partition"] == APRIL]
    assert entry["version"] == "1"
    assert entry["roc_auc"] == pytest.approx(truth, abs=1e-5)
    assert entry["roc_auc_low"] < truth < entry["roc_auc_high"]
    assert entry["error"]["roc_auc"] == pytest.approx(entry["expected"]["roc_auc"] - truth, abs=1e-5)
    assert entry["said before"]["partitions"] == {APRIL: 1500}
    kept = watch.lake.get_json(f"{watch.world.project.name}/performance/1/{APRIL}.json")
    assert {name: kept[name] for name in entry} == entry
    assert len(kept["days"]) == len(made["days"]) >= 8
    assert {part["column"] for part in made["slices"]} <= {"carrier", "origin"}
    check = watch.world.check("performance", "performance")
    assert check.severity == dg.AssetCheckSeverity.ERROR
    assert said(check, "champion") == "1"
    assert said(check, "partitions") == [APRIL]  # February, a good month, does not hide it
    assert f"{truth:.3f}" in said(check, "observed")


def test_a_corrected_month_is_joined_again(watch: Watch) -> None:
    """Its labels change, not its flights: the champion is found to be no better than a guess."""
    before = watch.made("outcomes", APRIL)
    right = month(APRIL, EVERY)[FLIGHTS]
    watch.world.upload(FLIGHTS, shuffled(right, "arr_delay"))
    watch.world.settle()
    assert watch.settle() == [f"outcomes[{APRIL}]", "performance"]
    made = watch.made("outcomes", APRIL)
    assert 0 < made["rows"] <= before["rows"]
    assert made["content_hash"] != before["content_hash"]
    failed = watch.world.check("performance", "performance")
    assert not failed.passed
    assert said(failed, "evidence")["roc_auc_high"] < 0.6
    watch.world.upload(FLIGHTS, right)  # as it was: what was made comes back
    watch.world.settle()
    assert watch.settle() == [f"outcomes[{APRIL}]", "performance"]
    assert watch.made("outcomes", APRIL)["content_hash"] == before["content_hash"]
    assert watch.world.check("performance", "performance").passed


def test_answers_after_the_labels_are_joined_with_what_was_joined_before(
    watch: Watch, april: pd.DataFrame
) -> None:
    """The same flights are asked about again: each answer is an outcome."""
    watch.serve(april.iloc[:300], "1", at(DAYS[2]))
    made = watch.settle()
    assert made == [f"predictions[{DAYS[2]}]", "drift", f"outcomes[{APRIL}]", "performance"]
    joined = watch.made("outcomes", APRIL)
    assert joined["rows"] == 2500
    assert joined["days"] == [DAYS[1], DAYS[2]]


def test_answers_given_twice_after_a_crash_count_once(watch: Watch, april: pd.DataFrame) -> None:
    first = [f"server-9:{n}" for n in range(100)]
    watch.serve(april.iloc[:100], "1", at(DAYS[3]), answer_id=first)
    watch.serve(april.iloc[:40], "1", at(DAYS[3]), answer_id=first[:40], attempt=[2] * 40)
    watch.settle()
    assert watch.made("predictions", DAYS[3])["rows"] == 100
    assert watch.made("outcomes", APRIL)["rows"] == 2600
    # The twins of answers that are known already come in an object of their own.
    watch.serve(april.iloc[50:60], "1", at(DAYS[3]), answer_id=first[50:60], attempt=[2] * 10)
    watch.settle()
    assert watch.made("predictions", DAYS[3])["rows"] == 100
    assert watch.made("outcomes", APRIL)["rows"] == 2600


def test_drift_that_is_over_is_said_to_be_over(watch: Watch) -> None:
    watch.serve(watch.features("2013-02").sample(1500, random_state=1), "1", at(DAYS[4]))
    assert watch.settle() == [f"predictions[{DAYS[4]}]", "drift", "outcomes[2013-02]", "performance"]
    assert watch.world.check("feature_drift", "drift").passed
    assert watch.made("drift")["verdict"] == ""


def test_a_new_champion_is_judged_on_the_traffic_that_is_there(watch: Watch, april: pd.DataFrame) -> None:
    """Its own scores of what another version answered; its performance is not known yet."""
    watch.serve(april.iloc[:1500], "1", at(DAYS[5]))
    watch.settle()
    told = len(evaluations(watch, "performance", "performance"))
    report = watch.made("drift_report")["verdict"]
    assert watch.world.train(*TRAINING).success
    assert watched(watch.world.instance, watch.world.project).version == "2"
    made = watch.settle()
    assert made[0] == "drift"
    assert "performance" not in made
    drift = watch.made("drift")
    assert drift["champion"] == said(watch.world.check("feature_drift", "drift"), "champion") == "2"
    assert drift["answered by other versions"] == 1500
    mean = watch.predictor("2").predict_frame(april.iloc[:1500]).probability
    assert drift["expected"]["rows"] == 1500
    reference = watched(watch.world.instance, watch.world.project).reference(watch.lake)
    expected = float(reference.calibration(mean.astype(np.float32).astype(float)).mean())
    assert drift["expected"]["positive_rate"] == pytest.approx(expected, abs=1e-3)
    assert len(evaluations(watch, "performance", "performance")) == told
    assert not drift["verdict"] or watch.made("drift_report")["verdict"] != report


def test_few_outcomes_of_its_own_are_no_verdict_on_the_champion(watch: Watch, april: pd.DataFrame) -> None:
    told = len(evaluations(watch, "performance", "performance"))
    watch.serve(april.iloc[:200], "2", at(DAYS[6]))
    assert "performance" in watch.settle()
    made = watch.made("performance")
    assert made["outcomes"]["2"] == 200
    assert made["judged"] is False
    assert len(evaluations(watch, "performance", "performance")) == told
    watch.serve(april.iloc[200:1800], "2", at(DAYS[6]) + dt.timedelta(hours=1))
    watch.settle()
    now = evaluations(watch, "performance", "performance")
    assert len(now) == told + 1
    assert said(now[0], "champion") == "2"


def test_after_a_rollback_the_reference_of_the_former_champion_is_found(watch: Watch) -> None:
    """It is not made again; drift and performance speak of the version that is served."""
    world = watch.world
    key = f"{world.project.name}/reference_profile/1.json"
    before = watch.client.head_object(Bucket=watch.bucket, Key=key)["LastModified"]
    log = PromotionLog(engine_for(world.settings.dagster_database))
    entry = rollback(log, watch.registry, world.project.name)
    version = watch.registry.version(world.project.name, entry.version)
    world.instance.report_runless_asset_event(note_of_rollback(world.project, version, entry))
    assert world.train("reference_profile").success
    assert watch.client.head_object(Bucket=watch.bucket, Key=key)["LastModified"] == before
    made = watch.settle()
    assert made[:2] in (["drift", "performance"], ["performance", "drift"])
    assert said(watch.world.check("feature_drift", "drift"), "champion") == "1"
    assert said(watch.world.check("performance", "performance"), "champion") == "1"


def test_a_daemon_that_was_down_catches_up(watch: Watch, april: pd.DataFrame) -> None:
    """Several days of traffic and a month's labels at once, and the sensor's cursor is lost."""
    before = watch.made("outcomes", APRIL)["rows"]
    for day in ("2026-11-12", "2026-11-13", "2026-11-14", "2026-11-15"):
        watch.serve(april.iloc[:250], "1", at(day))
    watch.cursor = None
    made = watch.settle()
    assert sorted(m for m in made if m.startswith("predictions")) == [
        f"predictions[2026-11-{day}]" for day in (12, 13, 14, 15)
    ]
    assert made.count("drift") == 1  # with the last of the days
    assert watch.made("outcomes", APRIL)["rows"] == before + 1000
    assert watch.made("drift")["window"]["last"].startswith("2026-11-15")
    assert watch.look() == []


def test_objects_that_come_days_late_are_found(watch: Watch, april: pd.DataFrame) -> None:
    """The store was down: a batch of the first day is shipped after two weeks."""
    watch.serve(april.iloc[:10], "1", at(DAYS[0]) + dt.timedelta(hours=3))
    made: list[str] = []
    for _ in range(12):
        made += watch.settle()
    assert f"predictions[{DAYS[0]}]" in made
    assert watch.made("predictions", DAYS[0])["rows"] == 1610
