"""When a training is asked for by Dagster's automation: on real tables, tick by tick."""

from __future__ import annotations

import datetime as dt
from itertools import pairwise
from typing import TYPE_CHECKING

import dagster as dg
import pytest

from mlops_assets.families.boosting import Boosting
from mlops_assets.retraining import reading
from mlops_assets.retraining.desk import Desk
from mlops_assets.retraining.policy import BY_HAND
from mlops_assets.retraining.table import ATTEMPTS
from mlops_assets_tests.retraining.clock import HOUR, POLICY, Clock, project

if TYPE_CHECKING:
    from mlops_assets.retraining.table import Training

MINUTE = dt.timedelta(minutes=1)
FIRST = ("2013-01", "2013-02", "2013-03")


@pytest.fixture
def trained(clock: Clock) -> Clock:
    """Version 1 was trained on three months, hours ago."""
    for month in FIRST:
        clock.upload(month)
    assert clock.tick()
    clock.rest()
    clock.now += 5 * HOUR
    return clock


def last(clock: Clock) -> Training:
    return clock.rows()[-1]


def test_one_partition_is_not_enough_and_two_are(clock: Clock) -> None:
    clock.upload("2013-01")
    assert not clock.tick()
    clock.upload("2013-02")
    assert clock.tick()
    assert clock.champion() == "1"
    assert clock.reason().cause == "first"


def test_a_burst_is_one_training_and_rows_enough_are_another(trained: Clock) -> None:
    assert trained.ticks(3, HOUR) == 0
    trained.upload("2013-04", rows=89)
    assert trained.ticks(3, HOUR) == 0
    trained.upload("2013-05", rows=1)
    assert trained.ticks(3, HOUR) == 1
    assert (last(trained).cause, trained.champion()) == ("new_data", "2")


def test_other_content_is_new_and_the_same_content_is_not(trained: Clock) -> None:
    trained.upload("2013-01", "a")
    assert not trained.tick(HOUR)
    trained.upload("2013-01", "b")
    assert trained.tick(HOUR)


def test_what_arrives_during_a_training_is_not_forgotten(trained: Clock) -> None:
    run = trained.begin("training_set", "champion")
    trained.upload("2013-04")
    assert trained.ticks(2, HOUR) == 0
    assert "a training is under way" in trained.awaited().why
    trained.instance.report_run_failed(run)
    assert trained.tick(HOUR)


def test_features_on_the_way_are_waited_for(clock: Clock) -> None:
    clock.upload("2013-01")
    clock.upload("2013-02")
    run = clock.begin("features")
    assert not clock.tick()
    assert "features are being made" in clock.awaited().why
    clock.instance.report_run_failed(run)
    assert clock.tick()


@pytest.mark.parametrize("stage", ["training_set", "champion"])
def test_a_failed_training_is_not_asked_for_again_until_something_is_new(clock: Clock, stage: str) -> None:
    clock.breaks = stage
    clock.upload("2013-01")
    clock.upload("2013-02")
    assert clock.tick()
    assert clock.ticks(6, HOUR) == 0
    assert last(clock).outcome == "its run failed"
    assert not clock.told()[-1].passed
    clock.breaks = ""
    clock.upload("2013-03")
    assert clock.tick(HOUR)
    assert clock.champion() == "1"
    assert not clock.tick()
    assert clock.told()[-1].passed


def test_a_training_that_dagster_tries_again_is_not_over(clock: Clock) -> None:
    """Its process was killed: Dagster marks the run, and starts another for it a little later."""
    clock.breaks = "champion"
    clock.upload("2013-01")
    clock.upload("2013-02")
    assert clock.tick()
    lost = last(clock).run_id
    assert lost is not None
    clock.instance.add_run_tags(lost, {"dagster/will_retry": "true"})
    clock.rest()
    assert last(clock).ended_at is None
    again = clock.begin("training_set", "champion")
    clock.instance.add_run_tags(again.run_id, {"dagster/root_run_id": lost})
    clock.rest()
    assert last(clock).ended_at is None
    assert all(check.passed for check in clock.told())
    clock.promote(run=again.run_id)
    clock.instance.report_run_canceled(again)
    clock.rest()
    assert last(clock).outcome == "version 1 became the champion"


@pytest.mark.parametrize(
    ("stage", "name", "cause"),
    [
        ("drift", "feature_drift", "drift"),
        ("drift", "score_drift", "drift"),
        ("performance", "performance", "performance"),
    ],
)
def test_a_failed_check_of_the_champion_asks_for_a_training_once_there_are_rows(
    trained: Clock, stage: str, name: str, cause: str
) -> None:
    trained.check(stage, name, passed=False, about="1")
    assert trained.ticks(2, HOUR) == 0
    assert "Only 0 labelled rows are new" in trained.awaited().why
    trained.upload("2013-04", rows=1)
    assert trained.tick(HOUR)
    row = last(trained)
    assert (row.cause, row.outcome) == (cause, None)
    told = row.evidence[cause]
    assert (told["about"], told["observed"], told["allowed"]) == ("1", "5 of 19 columns moved", "3")
    assert told["check"] == f"{trained.project.name}/{stage}:{name}"
    assert told["evaluation"] > 0
    assert f"{cause.capitalize()} of version 1: 5 of 19 columns moved (allowed: 3)." in row.why
    assert not trained.tick(HOUR)
    assert last(trained).outcome == "version 2 became the champion"


def test_the_last_evaluation_counts_and_only_of_the_champion(trained: Clock) -> None:
    trained.upload("2013-04", rows=1)
    trained.drift(about="1")
    trained.drift(about="1", passed=True)
    assert not trained.tick(HOUR)
    trained.drift(about="7")
    assert not trained.tick(HOUR)
    trained.drift(about="1")
    assert trained.tick(HOUR)
    trained.upload("2013-05", rows=1)
    assert trained.ticks(5, HOUR) == 0  # version 2 is the champion now
    trained.promote("rollback", version="1")
    assert trained.tick(HOUR)


def test_both_checks_of_drift_are_one_cause_with_both_evaluations(trained: Clock) -> None:
    trained.drift(about="1")
    trained.check("drift", "score_drift", passed=False, about="1", observed="scores moved by 0.3")
    trained.upload("2013-04", rows=1)
    assert trained.tick(HOUR)
    told = last(trained).evidence["drift"]
    assert told["observed"] == "5 of 19 columns moved; scores moved by 0.3"
    assert told["also"]["check"].endswith("drift:score_drift")


def test_an_evaluation_that_is_under_way_does_not_hide_the_last_one(trained: Clock) -> None:
    from dagster._core.definitions.asset_checks.asset_check_evaluation import AssetCheckEvaluationPlanned

    trained.drift(about="1")
    trained.upload("2013-04", rows=1)
    run = trained.begin("champion")
    planned = AssetCheckEvaluationPlanned(asset_key=trained.key("drift"), check_name="feature_drift")
    trained.instance.report_dagster_event(
        dg.DagsterEvent("ASSET_CHECK_EVALUATION_PLANNED", "toy", event_specific_data=planned), run.run_id
    )
    trained.instance.report_run_canceled(run)
    assert trained.tick(HOUR)


def test_a_champion_that_is_not_fresh_is_trained_anew_with_any_new_row(trained: Clock) -> None:
    trained.upload("2013-04", rows=1)
    assert not trained.tick(HOUR)
    trained.stale_champion()
    assert trained.tick(HOUR)
    assert last(trained).cause == "freshness"
    trained.upload("2013-05", rows=1)
    assert trained.ticks(3, HOUR) == 0  # the daemon's word is of the version that was replaced


def test_new_code_is_trained_at_once_and_only_once(database: str) -> None:
    clock = Clock(project(families=(Boosting(),)), database)
    boosting = clock.project.families[0]
    code = reading.candidate_codes(clock.project)["boosting"]
    key = dg.AssetKey([clock.project.name, "candidates", "boosting"])

    def fitted(version: str) -> None:
        clock.report(dg.AssetMaterialization(key, tags={"dagster/code_version": version}))

    for month in FIRST:
        clock.upload(month)
    assert clock.tick()
    fitted(code)
    assert clock.ticks(3, HOUR) == 0
    fitted("0123456789ab")  # as if the last training had run another code
    clock.accepts = False
    assert clock.tick(HOUR)
    clock.rest()
    assert last(clock).cause == "code"
    assert f"candidates/{boosting.name} was trained by code 0123456789ab, now {code}" in last(clock).why
    assert clock.ticks(5, HOUR) == 0  # and should its candidate fail, it is not tried again
    clock.upload("2013-04", rows=1)
    assert clock.tick(HOUR)


def test_a_retired_champion_is_followed_by_a_training_of_its_own(trained: Clock) -> None:
    trained.accepts = False
    trained.upload("2013-04")
    assert trained.tick(HOUR)
    trained.rest()
    trained.promote("retirement", version="1")
    trained.accepts = True
    assert trained.tick(HOUR)
    assert (last(trained).cause, trained.champion()) == ("first", "2")


def test_a_training_by_hand_is_not_repeated_and_says_so(clock: Clock) -> None:
    clock.upload("2013-01")
    clock.upload("2013-02")
    clock.train(tags={"user": "Ada"})
    assert clock.ticks(3, HOUR) == 0
    row = last(clock)
    assert (row.cause, row.outcome) == (BY_HAND, "version 1 became the champion")
    assert row.why == (
        "Begun by hand by Ada. What the policy said then: There is no champion, and features of 2 partitions "
        "are there (200 rows)."
    )
    assert clock.reason().cause == BY_HAND


def test_a_failed_first_training_by_hand_is_not_repeated_either(clock: Clock) -> None:
    clock.accepts = False
    clock.upload("2013-01")
    clock.upload("2013-02")
    clock.train()
    assert clock.ticks(3, HOUR) == 0
    assert last(clock).outcome == "its run failed"


def test_a_person_who_runs_a_failed_training_again_does_it_for_the_same_reason(clock: Clock) -> None:
    clock.breaks = "champion"
    clock.upload("2013-01")
    clock.upload("2013-02")
    assert clock.tick()
    clock.ask()
    failed = last(clock)
    clock.breaks = ""
    again = clock.train(tags=_retry_tags(failed.run_id or ""))
    assert clock.reason().cause == "first"
    assert clock.reason().why.endswith("(Tried again.)")
    assert [row.run_id for row in clock.rows()] == [again]
    clock.rest()
    assert last(clock).outcome == "version 1 became the champion"


def _retry_tags(run_id: str) -> dict[str, str]:
    """What Dagster puts on a run that tries another one again."""
    return {"dagster/parent_run_id": run_id, "dagster/root_run_id": run_id}


# A decision is written down before Dagster hears of it.


def test_a_decision_that_the_daemon_died_of_is_taken_again(trained: Clock) -> None:
    trained.upload("2013-04")
    cursor = trained.cursor
    assert trained.ask() == {"training_set", "champion"}
    trained.cursor = cursor  # no run came of it
    assert len(trained.rows()) == 2
    assert trained.tick(MINUTE)
    assert [row.cause for row in trained.rows()] == ["first", "new_data"]
    assert (last(trained).attempt, trained.champion()) == (2, "2")


def test_a_decision_that_no_run_comes_of_is_not_taken_for_ever(trained: Clock) -> None:
    trained.upload("2013-04")
    asked = [bool(trained.ask()) for _ in range(ATTEMPTS + 3)]
    assert asked == [True] * ATTEMPTS + [False] * 3
    assert last(trained).outcome == f"Dagster made no run of it, {ATTEMPTS} times"


def test_a_decision_that_no_run_came_of_is_dropped_when_it_is_right_no_more(trained: Clock) -> None:
    trained.drift(about="1")
    trained.upload("2013-04", rows=1)
    assert trained.ask()
    trained.drift(about="1", passed=True)
    trained.now += MINUTE
    assert not trained.ask()
    assert [row.cause for row in trained.rows()] == ["first"]


def test_a_run_that_never_began_is_the_decisions_run_all_the_same(trained: Clock) -> None:
    trained.upload("2013-04")
    assert trained.ask()
    run = trained.begin("training_set", "champion", by_hand=False)
    assert not trained.tick(HOUR)
    trained.instance.report_run_failed(run)
    assert trained.ticks(3, HOUR) == 0
    assert (last(trained).run_id, last(trained).outcome) == (run.run_id, "its run failed")


def test_what_follows_a_training_set_is_asked_for_with_it_even_right_after_a_training(database: str) -> None:
    at_once = POLICY.model_copy(update={"cool_down": dt.timedelta(0)})
    clock = Clock(project(retraining=at_once), database)
    for month in FIRST:
        clock.upload(month)
    assert clock.tick()
    clock.upload("2013-04")
    assert [clock.tick(), clock.tick()] == [False, True]  # each asks for all stages, or for none


def test_while_nothing_happens_nothing_is_asked_of_the_tables(
    trained: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    settled: list[object] = []
    settle = Desk.settle
    monkeypatch.setattr(Desk, "settle", lambda *given: settled.append(given) or settle(*given))  # type: ignore[func-returns-value]
    seconds = dt.timedelta(seconds=1)
    trained.tick()  # what it says is an event itself
    trained.tick()
    settled.clear()
    assert trained.ticks(25, seconds) == 0
    assert len(settled) in (2, 3)
    trained.upload("2013-04")
    assert trained.tick()


def test_the_end_of_the_cool_down_is_not_slept_through(trained: Clock) -> None:
    trained.upload("2013-04")
    assert trained.tick()
    trained.rest()
    trained.upload("2013-05", rows=200)
    begun = last(trained).at
    trained.now = begun + HOUR - dt.timedelta(seconds=3)
    assert [trained.tick() for _ in range(3)] == [False, False, True]


def test_two_ticks_at_once_are_one(trained: Clock) -> None:
    from mlops_assets.resources.tables import engine_for, only_one

    trained.upload("2013-04")
    with only_one(engine_for(trained.url), f"retraining:{trained.project.name}"):
        assert not trained.tick(HOUR)
    assert trained.tick(HOUR)


# Storms.


@pytest.mark.parametrize("accepts", [True, False])
def test_a_drift_that_does_not_go_away_stays_within_cool_down_and_budget(
    trained: Clock,
    accepts: bool,  # noqa: FBT001 - a parameter of the test
) -> None:
    """For 28 hours the check fails of whoever is champion, and there are new rows all the time."""
    trained.accepts = accepts
    at: list[dt.datetime] = []
    for step in range(28 * 3):
        trained.drift(about=trained.champion() or "")
        trained.upload("2013-04", content=str(step), rows=1)
        if trained.tick(20 * MINUTE):
            at.append(trained.now)
    first = trained.rows()[0].at
    all_at = [first, *at]
    assert all(later - earlier >= POLICY.cool_down for earlier, later in pairwise(all_at))
    per_day = [sum(0 <= (t - s) / HOUR < 24 for s in all_at) for t in all_at]
    assert max(per_day) == POLICY.trainings_per_day
    keys = [row.key for row in trained.rows()]
    assert len(set(keys)) == len(keys) == len(all_at)
    assert (trained.champion() == "1") is not accepts
    assert "the 4 trainings of a day are used up until" in trained.awaited().why


def test_a_drift_that_does_not_go_away_without_new_rows_trains_never(trained: Clock) -> None:
    for _ in range(60):
        trained.drift(about="1")
        assert not trained.tick(HOUR)
    assert len(trained.rows()) == 1


# What a person sees.


def test_what_is_awaited_is_told_when_it_changes_and_only_then(trained: Clock) -> None:
    before = len(trained.told())
    trained.ticks(20, MINUTE)
    assert len(trained.told()) == before
    calm = trained.told()[-1]
    assert calm.passed
    assert "Waits for a sign that version 1 needs one" in (calm.description or "")
    trained.drift(about="1")
    trained.ticks(20, MINUTE)
    assert len(trained.told()) == before + 1
    assert "Drift of version 1" in (trained.told()[-1].description or "")
    since = trained.awaited().since
    trained.ticks(2, MINUTE)
    assert trained.awaited().since == since


def test_the_check_fails_when_a_training_did_not_help(trained: Clock) -> None:
    trained.accepts = False
    trained.drift(about="1")
    trained.upload("2013-04", rows=1)
    assert trained.tick(HOUR)
    assert trained.ticks(2, HOUR) == 0
    told = trained.told()[-1]
    assert not told.passed
    assert told.severity == dg.AssetCheckSeverity.WARN
    assert "deliver more labelled data" in str(told.metadata["what to do"].value)
    trained.drift(about="1", passed=True)
    trained.tick(HOUR)
    assert trained.told()[-1].passed
