"""Check evaluations, freshness and runs become alerts: each once, none missed."""

import time

import dagster as dg
import pytest
import sqlalchemy as sa

from mlops_assets.alerts import sources
from mlops_assets.alerts.store import Store
from mlops_assets.alerts.tables import alerts
from mlops_assets_tests.alerts.world import CONTEXT, Recorder, alerting, evaluate, open_alerts, routing

VOLUME = "check/shop/raw:volume"


def test_a_failed_check_is_told_once_and_its_end_with_how_long_it_took(
    engine: sa.Engine, instance: dg.DagsterInstance
) -> None:
    hook = Recorder()
    world = alerting(engine, instance, {"webhook": hook})
    for _ in range(3):
        evaluate(instance, passed=False)
        world.run()
    assert hook.told == [("firing", VOLUME)]
    told = hook.taken[0]
    assert (told.seen, told.allowed, told.remedy) == ("3 rows", "at least 100 rows", "upload it all")
    assert (told.project, told.group, told.asset, told.owners) == ("shop", "shop", "shop/raw", ("team:shop",))
    assert told.url == "http://dagster.test/assets/shop/raw?view=checks"
    time.sleep(1.1)
    evaluate(instance, passed=True)
    assert world.run().open == 0
    assert hook.told == [("firing", VOLUME), ("resolved", VOLUME)]
    duration = hook.taken[1].duration
    assert duration is not None
    assert 1 <= duration.total_seconds() < 60
    assert "RESOLVED after" in hook.taken[1].headline


def test_a_real_check_of_a_real_run_is_told_of(engine: sa.Engine, instance: dg.DagsterInstance) -> None:
    fine = {"it": False}

    @dg.asset(key=["shop", "raw"], check_specs=[dg.AssetCheckSpec("volume", asset=["shop", "raw"])])
    def raw() -> dg.MaterializeResult:
        result = dg.AssetCheckResult(
            passed=fine["it"], check_name="volume", severity=dg.AssetCheckSeverity.WARN
        )
        return dg.MaterializeResult(check_results=[result])

    hook = Recorder()
    world = alerting(engine, instance, {"webhook": hook})
    dg.materialize([raw], instance=instance)
    world.run()
    assert [(one.fingerprint, one.severity) for one in hook.taken] == [(VOLUME, "warning")]
    fine["it"] = True
    dg.materialize([raw], instance=instance)
    world.run()
    assert hook.told[-1] == ("resolved", VOLUME)


def test_a_good_month_does_not_end_the_alert_about_a_bad_one(
    engine: sa.Engine, instance: dg.DagsterInstance
) -> None:
    months = dg.StaticPartitionsDefinition(["03", "04", "05"])
    key, fine = dg.AssetKey(["shop", "raw"]), {"it": False}

    @dg.asset(
        key=key,
        partitions_def=months,
        check_specs=[dg.AssetCheckSpec("volume", asset=key, partitions_def=months)],
    )
    def raw() -> dg.MaterializeResult:
        return dg.MaterializeResult(check_results=[dg.AssetCheckResult(passed=fine["it"])])

    hook = Recorder()
    world = alerting(engine, instance, {"webhook": hook})
    for month, passed in (("03", False), ("04", True), ("05", False), ("03", True)):
        fine["it"] = passed
        dg.materialize([raw], instance=instance, partition_key=month)
        world.run()
    assert hook.told == [("firing", VOLUME)]
    assert hook.taken[0].title.endswith("failed (03)")
    dg.materialize([raw], instance=instance, partition_key="05")
    world.run()
    assert hook.told == [("firing", VOLUME), ("resolved", VOLUME)]


def test_a_thousand_at_once_while_nobody_looked_are_all_told(
    engine: sa.Engine, instance: dg.DagsterInstance
) -> None:
    hook = Recorder()
    world = alerting(engine, instance, {"webhook": hook})
    world.run()
    for number in range(1100):
        evaluate(instance, f"check_{number}", passed=False)
    evaluate(instance, "check_7", passed=True)
    deadline = time.monotonic() + 60
    while world.run().pending and time.monotonic() < deadline:
        pass
    assert len(open_alerts(engine)) == 1099
    assert len({one.key for one in hook.taken}) == len(hook.taken) == 1101


def test_an_event_that_becomes_visible_late_is_not_missed(
    engine: sa.Engine, instance: dg.DagsterInstance
) -> None:
    """Ids are given before they can be seen: here the lower one is seen after the higher one."""
    evaluate(instance, "early", passed=False)
    evaluate(instance, "late", passed=False)
    hidden = instance.event_log_storage
    read = hidden.get_event_records
    first = min(one.storage_id for one in sources.read(instance, 0))

    def without_the_first(*args: object, **kwargs: object) -> object:
        return [one for one in read(*args, **kwargs) if one.storage_id != first]  # type: ignore[arg-type]

    world = alerting(engine, instance, {"webhook": Recorder()})
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(hidden, "get_event_records", without_the_first)
        world.run()
    assert open_alerts(engine) == ["check/shop/raw:late"]
    world.run()
    assert open_alerts(engine) == ["check/shop/raw:late", "check/shop/raw:early"]


def test_what_is_settled_is_not_read_again(
    engine: sa.Engine, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    evaluate(instance, passed=False)
    monkeypatch.setattr(sources, "SETTLED", -1.0)

    def once() -> int:
        def store(connection: sa.Connection) -> Store:
            return Store(connection, routing("log"), ["log"])

        return sources.collect_events(instance, engine.begin, store, CONTEXT)

    assert once() == 1
    assert once() == 0


def test_reading_the_end_of_the_log_again_repeats_nothing(
    engine: sa.Engine, instance: dg.DagsterInstance
) -> None:
    hook = Recorder()
    world = alerting(engine, instance, {"webhook": hook})
    world.run()
    for passed in (False, True, False, True):
        evaluate(instance, passed=passed)
    for _ in range(3):
        world.run()
    assert [notice for notice, _ in hook.told] == ["firing", "resolved", "firing", "resolved"]


def test_of_what_went_before_only_what_still_lasts_is_told(
    engine: sa.Engine, instance: dg.DagsterInstance
) -> None:
    hook = Recorder()
    world = alerting(engine, instance, {"webhook": hook})
    evaluate(instance, "old", passed=False)
    evaluate(instance, "lasting", passed=False)
    evaluate(instance, "old", passed=True)
    world.run()
    assert hook.told == [("firing", "check/shop/raw:lasting")]
    evaluate(instance, "short", passed=False)
    evaluate(instance, "short", passed=True)
    world.run()
    assert hook.told[1:] == [("firing", "check/shop/raw:short"), ("resolved", "check/shop/raw:short")]


def test_worse_is_news(engine: sa.Engine, instance: dg.DagsterInstance) -> None:
    hook = Recorder()
    world = alerting(engine, instance, {"webhook": hook})
    evaluate(instance, passed=False, severity=dg.AssetCheckSeverity.WARN)
    world.run()
    evaluate(instance, passed=False)
    world.run()
    assert [(one.notice, one.severity) for one in hook.taken] == [
        ("firing", "warning"),
        ("reminder", "error"),
    ]


def test_a_failed_run_is_over_when_its_assets_are_made(
    engine: sa.Engine, instance: dg.DagsterInstance
) -> None:
    broken = {"a", "b"}

    def asset(name: str) -> dg.AssetsDefinition:
        @dg.asset(key=["shop", name])
        def made() -> None:
            if name in broken:
                raise ValueError(f"{name} has no rows")

        return made

    both = [asset("a"), asset("b")]
    job = dg.define_asset_job("all_of_it", selection=dg.AssetSelection.all())
    defs = dg.Definitions(assets=both, jobs=[job])

    def run(*names: str) -> None:
        keys = [dg.AssetKey(["shop", name]) for name in names]
        defs.resolve_job_def("all_of_it").execute_in_process(
            instance=instance, asset_selection=keys, raise_on_error=False
        )

    hook = Recorder()
    world = alerting(engine, instance, {"webhook": hook})
    run("a", "b")
    run("a", "b")
    world.run()
    assert [one.notice for one in hook.taken] == ["firing"]
    told = hook.taken[0]
    assert told.kind == "run"
    assert told.title == "run of shop/a, shop/b failed"
    assert "has no rows" in told.seen
    assert told.owners == ("team:shop",)
    assert told.url.startswith("http://dagster.test/runs/")
    broken.clear()
    run("a")
    assert world.run().open == 1  # b is still missing
    run("b")
    assert world.run().open == 0
    assert hook.taken[-1].notice == "resolved"


def test_a_run_that_failed_is_over_when_its_own_partition_is_made(
    engine: sa.Engine, instance: dg.DagsterInstance
) -> None:
    broken = {"03"}

    @dg.asset(key=["shop", "raw"], partitions_def=dg.StaticPartitionsDefinition(["03", "04"]))
    def raw(context: dg.AssetExecutionContext) -> None:
        if context.partition_key in broken:
            raise ValueError(context.partition_key)

    def run(month: str) -> None:
        job = dg.Definitions(assets=[raw], jobs=[dg.define_asset_job("it", [raw])]).resolve_job_def("it")
        job.execute_in_process(instance=instance, partition_key=month, raise_on_error=False)
        world.run()

    hook = Recorder()
    world = alerting(engine, instance, {"webhook": hook})
    run("03")
    run("04")
    assert [one.notice for one in hook.taken] == ["firing"]
    broken.clear()
    run("03")
    assert [one.notice for one in hook.taken] == ["firing", "resolved"]


def test_a_run_that_dagster_starts_again_is_not_told_of(
    engine: sa.Engine, stored_instance: dg.DagsterInstance
) -> None:
    @dg.op
    def breaks() -> None:
        raise ValueError("for good")

    @dg.job(tags={"dagster/max_retries": "0"})
    def broken() -> None:
        breaks()

    @dg.job(tags={"dagster/max_retries": "1", "dagster/retry_on_asset_or_op_failure": "true"})
    def retried() -> None:
        breaks()

    hook = Recorder()
    world = alerting(engine, stored_instance, {"webhook": hook})
    retried.execute_in_process(instance=stored_instance, raise_on_error=False)
    world.run()
    assert hook.taken == []
    broken.execute_in_process(instance=stored_instance, raise_on_error=False)
    world.run()
    assert [one.title for one in hook.taken] == ["run of broken failed"]


def test_freshness_that_fails_is_told_and_its_return_too(
    engine: sa.Engine, instance: dg.DagsterInstance
) -> None:
    from dagster._core.definitions.freshness import FreshnessState, FreshnessStateChange

    def change(old: FreshnessState, new: FreshnessState) -> None:
        key = dg.AssetKey(["shop", "raw"])
        instance._report_runless_asset_event(
            FreshnessStateChange(
                key=key, new_state=new, previous_state=old, state_change_timestamp=time.time()
            )
        )

    hook = Recorder()
    world = alerting(engine, instance, {"webhook": hook})
    change(FreshnessState.UNKNOWN, FreshnessState.PASS)
    change(FreshnessState.PASS, FreshnessState.FAIL)
    world.run()
    assert [(one.notice, one.kind, one.severity) for one in hook.taken] == [("firing", "freshness", "error")]
    change(FreshnessState.FAIL, FreshnessState.PASS)
    world.run()
    assert hook.taken[-1].notice == "resolved"


def test_a_process_killed_before_the_cursor_is_written_repeats_nothing(
    engine: sa.Engine, instance: dg.DagsterInstance
) -> None:
    evaluate(instance, passed=False)
    world = alerting(engine, instance, {"webhook": Recorder()})

    class Killed(BaseException):
        pass

    def killed(*_: object) -> None:
        raise Killed

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sources, "_settled", killed)
        with pytest.raises(Killed):
            world.run()
    assert open_alerts(engine) == []
    world.run()
    assert open_alerts(engine) == [VOLUME]
    with engine.connect() as connection:
        assert connection.execute(sa.select(sa.func.count()).select_from(alerts)).scalar() == 1
