"""Sensors that fail, were stopped or no longer tick, as Dagster's daemon leaves them behind."""

from __future__ import annotations

import dataclasses
import time
from typing import TYPE_CHECKING

from dagster._core.scheduler.instigation import InstigatorStatus
from dagster._daemon.types import DaemonHeartbeat

from mlops_assets.alerts.tables import engine_for
from mlops_assets.alerts.ticks import Silence
from mlops_assets.execution.reaping import HEARTBEAT
from mlops_assets_tests.alerts.ticking import BROKEN, daemon
from mlops_assets_tests.alerts.world import Recorder, alerting, open_alerts

if TYPE_CHECKING:
    import dagster as dg
    import sqlalchemy as sa

FAILED, STOPPED, SILENT = (f"sensor/shop_watch:{what}" for what in ("failed", "stopped", "silent"))


def test_a_tick_that_fails_is_told_of_until_one_does_not(
    engine: sa.Engine, stored_instance: dg.DagsterInstance
) -> None:
    hook = Recorder()
    world = alerting(engine, stored_instance, {"webhook": hook})
    with daemon(stored_instance) as tick:
        tick()
        world.run()
        assert hook.taken == []
        BROKEN.append("the store does not answer")
        for _ in range(2):
            tick()
            world.run()
        assert hook.told == [("firing", FAILED)]
        told = hook.taken[0]
        assert "the store does not answer" in told.seen
        assert (told.project, told.owners, told.kind) == ("shop", ("team:shop",), "sensor")
        assert told.url.endswith("/sensors/shop_watch")
        BROKEN.clear()
        tick()
        world.run()
    assert hook.told == [("firing", FAILED), ("resolved", FAILED)]


def test_failures_while_nobody_looked_are_not_missed(
    engine: sa.Engine, stored_instance: dg.DagsterInstance
) -> None:
    hook = Recorder()
    with daemon(stored_instance) as tick:
        BROKEN.append("once")
        tick()
        BROKEN.clear()
        tick()
        tick()
        world = alerting(engine, stored_instance, {"webhook": hook})
        world.run()
        world.run()
    assert hook.told == [("firing", FAILED), ("resolved", FAILED)]


def test_a_stopped_sensor_is_told_of_until_it_runs_or_is_gone(
    engine: sa.Engine, stored_instance: dg.DagsterInstance
) -> None:
    hook = Recorder()
    world = alerting(engine, stored_instance, {"webhook": hook})

    def turn(status: InstigatorStatus) -> None:
        (state,) = stored_instance.all_instigator_state()
        stored_instance.update_instigator_state(state.with_status(status))

    with daemon(stored_instance) as tick:
        tick()
        turn(InstigatorStatus.STOPPED)
        world.run(["shop_watch"])
        world.run(["shop_watch"])
        assert [(one.notice, one.fingerprint, one.severity) for one in hook.taken] == [
            ("firing", STOPPED, "warning")
        ]
        turn(InstigatorStatus.RUNNING)
        world.run(["shop_watch"])
        assert hook.told[-1] == ("resolved", STOPPED)
        turn(InstigatorStatus.STOPPED)
        world.run(["shop_watch"])
        assert open_alerts(engine) == [STOPPED]
        world.run(["another"])
    assert open_alerts(engine) == []


def test_a_sensor_that_no_longer_ticks_is_told_of(
    engine: sa.Engine, stored_instance: dg.DagsterInstance
) -> None:
    hook = Recorder()
    world = alerting(engine, stored_instance, {"webhook": hook})
    with daemon(stored_instance) as tick:
        tick()
        (state,) = stored_instance.all_instigator_state()
        (last,) = stored_instance.get_ticks(state.instigator_origin_id, state.selector_id)
        # The clock of the daemon ran ahead: put the tick where it would be.
        stored_instance.update_tick(
            last._replace(tick_data=last.tick_data._replace(timestamp=time.time() - 3600))
        )
        brief = dataclasses.replace(world, silence=Silence(seconds=0.5, asleep=100))
        brief.run()
        assert hook.taken == []  # we just woke: so did the daemon
        time.sleep(0.7)
        brief.run()
        assert hook.told == [("firing", SILENT)]
        asleep = dataclasses.replace(world, silence=Silence(seconds=0.5, asleep=0.1))
        time.sleep(0.2)
        asleep.run()
        assert hook.told[-1] == ("resolved", SILENT)


def test_a_reaper_that_meets_errors_or_is_gone_is_told_of(
    engine: sa.Engine, stored_instance: dg.DagsterInstance
) -> None:
    hook = Recorder()
    world = alerting(engine, stored_instance, {"webhook": hook})
    brief = dataclasses.replace(world, silence=Silence(seconds=0.1, asleep=1000))

    def beat(seconds: float) -> None:
        at = time.time() + seconds
        stored_instance.add_daemon_heartbeat(DaemonHeartbeat(at, HEARTBEAT, "mlops"))

    world.run()  # there is none
    beat(-3600)
    world.run()
    assert hook.taken == []  # we just woke: so did the reaper
    time.sleep(0.2)
    brief.run()
    assert [one.title for one in hook.taken] == ["the reaper no longer does its work"]
    assert "kubectl logs deployment/reaper" in hook.taken[0].text
    beat(3600)
    brief.run()
    assert hook.told[-1] == ("resolved", "sensor/reaper:silent")


def test_a_fresh_database_knows_nothing(stored_instance: dg.DagsterInstance, database_url: str) -> None:
    engine = engine_for(database_url)
    assert alerting(engine, stored_instance, {"webhook": Recorder()}).run().open == 0
    engine.dispose()
