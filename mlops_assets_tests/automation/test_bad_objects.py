"""Names that fit nowhere and files that break their contract: shown, passed by, healed."""

from __future__ import annotations

from typing import TYPE_CHECKING

import dagster as dg
import pytest
from dagster._core.storage.asset_check_execution_record import AssetCheckExecutionRecordStatus

from mlops_assets.automation.names import MAX_SHOWN, OBJECT_NAMES
from mlops_assets.resources.tables import Tables

if TYPE_CHECKING:
    from mlops_assets_tests.automation.world import World


def _told(world: World) -> dict[str, list[dg.AssetCheckEvaluation]]:
    found: dict[str, list[dg.AssetCheckEvaluation]] = {}
    for event in world.events:
        found.setdefault(event.asset_key.path[-1], []).append(event)
    return found


@pytest.mark.parametrize(
    ("name", "source", "reason"),
    [
        ("flights/2013-13.csv", "flights", "'2013-13' is not a month (YYYY-MM)"),
        ("flights/latest.csv", "flights", "'latest' is not a month"),
        ("flights/2013-1.csv", "flights", "'2013-1' is not written as YYYY-MM"),
        ("weather/2012-12.csv", "weather", "2012-12 is before the project's first partition, 2013-01"),
        ("weather/2014-01.csv", "weather", "2014-01 is after the project's last partition, 2013-12"),
        ("planes/2013-01.csv", "planes", "no source of toy has objects of this name"),
        ("weather/sub/2013-01.csv", "weather", "no source of toy has objects of this name"),
        ("foo.txt", "flights", "no source of toy has objects of this name"),
    ],
)
def test_a_name_without_a_place_is_a_failed_check_on_the_nearest_source(
    world: World, name: str, source: str, reason: str
) -> None:
    version = world.put(name)
    assert world.settle() == []
    failed = [event for event in world.events if not event.passed]
    assert [event.asset_key.path[-1] for event in failed] == [source]
    assert failed[0].check_name == OBJECT_NAMES
    assert f"toy/{name}: {reason}" in (failed[0].description or "")
    assert "Remedy: upload it" in (failed[0].description or "")
    table = failed[0].metadata["where"]
    assert isinstance(table, dg.TableMetadataValue)
    assert [record.data["version id"] for record in table.records] == [version]


def test_the_check_is_told_once_and_again_when_it_changes_and_the_rest_goes_on(world: World) -> None:
    world.put("flights/latest.csv")
    world.put("flights/2013-01.csv")
    assert [r.partition_key for r in world.settle()] == ["2013-01"]
    world.tick()
    assert [e.passed for e in _told(world)["flights"]] == [False]
    assert [e.passed for e in _told(world)["weather"]] == [True]
    world.put("flights/other.csv")
    world.settle()
    assert [e.metadata["objects"].value for e in _told(world)["flights"]] == [1, 2]
    for name in ("flights/latest.csv", "flights/other.csv"):
        world.delete(name)
    world.settle()
    assert [e.passed for e in _told(world)["flights"]] == [False, False, True]


def test_many_names_without_a_place_are_one_bounded_event(world: World) -> None:
    for number in range(MAX_SHOWN + 10):
        world.put(f"flights/file-{number:03}.csv")
    world.settle()
    (event,) = _told(world)["flights"]
    assert event.metadata["objects"].value == MAX_SHOWN + 10
    table = event.metadata["where"]
    assert isinstance(table, dg.TableMetadataValue)
    assert len(table.records) == MAX_SHOWN


def test_the_check_can_be_run_by_hand(world: World) -> None:
    world.put("flights/latest.csv")
    world.settle()
    keys = [dg.AssetCheckKey(dg.AssetKey(["toy", "raw", "flights"]), OBJECT_NAMES)]
    selection = dg.AssetSelection.checks(*keys)
    job = world.defs.resolve_implicit_global_asset_job_def().get_subset(
        asset_selection=set(), asset_check_selection=set(keys)
    )
    assert selection is not None
    result = job.execute_in_process(instance=world.instance)
    (evaluation,) = result.get_asset_check_evaluations()
    assert not evaluation.passed
    assert "toy/flights/latest.csv" in (evaluation.description or "")


def test_the_sensors_own_runs_leave_that_check_out(world: World) -> None:
    world.put("flights/2013-01.csv")
    (request,) = world.tick()
    assert {key.name for key in request.asset_check_keys or []} == {"contract"}


def test_an_object_gets_its_place_when_the_code_gives_it_one(world: World) -> None:
    world.put("flights/2013-01.csv")
    tables = Tables(url=world.tables.url)
    world.tick()
    with tables.engine.begin() as connection:
        connection.exec_driver_sql("update mlops.object_versions set state = 'unplaced', reason = 'old code'")
        connection.exec_driver_sql("delete from mlops.requests")
    assert len(world.settle()) == 1
    assert world.states() == {"flights/2013-01.csv": ["handled"]}


def test_a_broken_file_is_not_read_twice_the_rest_goes_on_and_a_corrected_one_heals(world: World) -> None:
    world.put("flights/2013-01.csv", "broken")
    for name in ("weather/2013-01.csv", "planes/planes.csv", "flights/2013-02.csv", "weather/2013-02.csv"):
        world.put(name)
    asked = world.settle()
    assert len(asked) == 2
    assert world.states()["flights/2013-01.csv"] == ["broken"]
    assert [p for p, _ in world.materialized("features")] == ["2013-02"]
    assert [p for p, _ in world.materialized("raw", "weather")] == ["2013-01", "2013-02"]
    key = dg.AssetCheckKey(dg.AssetKey(["toy", "raw", "flights"]), "contract")
    records = world.instance.event_log_storage.get_asset_check_execution_history(key, limit=10)
    assert AssetCheckExecutionRecordStatus.FAILED in [record.status for record in records]
    assert world.settle() == []

    world.put("flights/2013-01.csv", "x\n1\n")
    (request,) = world.settle()
    assert request.partition_key == "2013-01"
    assert sorted(p or "" for p, _ in world.materialized("features")) == ["2013-01", "2013-02"]


def test_a_broken_new_version_leaves_what_was_read_before_and_its_sister_goes_on(world: World) -> None:
    for name in ("flights/2013-01.csv", "weather/2013-01.csv", "planes/planes.csv"):
        world.put(name)
    world.settle()
    world.put("flights/2013-01.csv", "broken")
    world.put("weather/2013-01.csv", "x\n2\n")
    asked = world.settle()
    assert [sorted(key.path[-1] for key in r.asset_selection or []) for r in asked] == [
        ["features", "flights", "weather"],
        ["features"],
    ]
    assert len(world.materialized("features")) == 2
