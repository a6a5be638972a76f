"""Each object version exactly once, whatever happens to the objects."""

from __future__ import annotations

from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import TYPE_CHECKING

from mlops_assets.automation.ledger import VERSIONS_TAG, Ledger
from mlops_assets.automation.plan import Limits

if TYPE_CHECKING:
    import dagster as dg

    from mlops_assets_tests.automation.world import World

JANUARY = ("flights/2013-01.csv", "weather/2013-01.csv", "planes/planes.csv")


def _assets(request: dg.RunRequest) -> set[str]:
    return {"/".join(key.path[1:]) for key in request.asset_selection or []}


def test_a_complete_month_is_one_run_with_the_shared_object_and_features(world: World) -> None:
    versions = {name: world.put(name) for name in JANUARY}
    (request,) = world.settle()
    assert request.partition_key == "2013-01"
    assert _assets(request) == {"raw/flights", "raw/weather", "raw/planes", "features"}
    assert all(version in request.tags[VERSIONS_TAG] for version in versions.values())
    assert [p for p, _ in world.materialized("features")] == ["2013-01"]
    assert world.states() == {name: ["handled"] for name in JANUARY}


def test_many_objects_in_the_same_second_are_each_read_once(world: World) -> None:
    names = [f"{source}/2013-{month:02}.csv" for source in ("flights", "weather") for month in range(1, 13)]
    with ThreadPoolExecutor(16) as threads:
        list(threads.map(world.put, [*names, "planes/planes.csv"]))
    world.settle()
    seconds = Counter(row.last_modified for row in world.rows())
    assert max(seconds.values()) > 5, "the store did not write several in one second"
    assert world.states() == {name: ["handled"] for name in [*names, "planes/planes.csv"]}
    for source in ("flights", "weather"):
        assert Counter(p for p, _ in world.materialized("raw", source)).most_common(1)[0][1] == 1
    assert len(world.materialized("raw", "planes")) == 1
    assert len(world.materialized("features")) == 12


def test_objects_that_arrive_out_of_order_are_all_found(world: World) -> None:
    for name in ("flights/2013-06.csv", "weather/2013-06.csv", "planes/planes.csv"):
        world.put(name)
    world.settle()
    for name in ("weather/2013-02.csv", "flights/2013-02.csv"):
        world.put(name)
    world.settle()
    assert [p for p, _ in world.materialized("features")] == ["2013-06", "2013-02"]


def test_other_content_is_read_once_more_and_features_follow(world: World) -> None:
    for name in JANUARY:
        world.put(name)
    world.settle()
    version = world.put("flights/2013-01.csv", "x\n2\n")
    (request,) = world.settle()
    assert _assets(request) == {"raw/flights", "features"}
    assert version in request.tags[VERSIONS_TAG]
    assert [text for _, text in world.materialized("raw", "flights")] == ["x\n1\n", "x\n2\n"]
    assert world.states()["flights/2013-01.csv"] == ["handled", "handled"]


def test_the_same_content_again_is_nothing_to_do(world: World) -> None:
    first = {name: world.put(name) for name in JANUARY}
    world.settle()
    again = {name: world.put(name) for name in JANUARY}
    assert set(first.values()).isdisjoint(again.values()), "the store made no new versions"
    assert world.settle() == []
    assert {row.version_id for row in world.rows()} == set(first.values())


def test_content_that_returns_after_another_is_new(world: World) -> None:
    for name in JANUARY:
        world.put(name)
    world.settle()
    for text in ("x\n2\n", "x\n1\n"):
        world.put("flights/2013-01.csv", text)
        assert len(world.settle()) == 1
    assert [text for _, text in world.materialized("raw", "flights")] == ["x\n1\n", "x\n2\n", "x\n1\n"]
    assert len(world.materialized("features")) == 3


def test_only_the_newest_of_several_versions_is_read(world: World) -> None:
    world.put("flights/2013-01.csv", "x\n1\n")
    world.evaluate()
    world.put("flights/2013-01.csv", "x\n2\n")
    world.settle()
    assert [text for _, text in world.materialized("raw", "flights")] in (["x\n2\n"], ["x\n1\n", "x\n2\n"])


def test_deleting_takes_nothing_back_and_putting_back_repeats_nothing(world: World) -> None:
    for name in JANUARY:
        world.put(name)
    world.settle()
    world.delete("flights/2013-01.csv")
    assert world.settle() == []
    assert [row.key for row in world.rows() if not row.current] == ["toy/flights/2013-01.csv"]
    world.put("flights/2013-01.csv")
    assert world.settle() == []
    assert world.states()["flights/2013-01.csv"] == ["handled", "handled"]
    world.put("flights/2013-01.csv", "x\n2\n")
    assert len(world.settle()) == 1
    assert [text for _, text in world.materialized("raw", "flights")] == ["x\n1\n", "x\n2\n"]


def test_materializing_by_hand_what_was_read_before_builds_nothing_anew(world: World) -> None:
    for name in JANUARY:
        world.put(name)
    world.settle()
    world.delete("flights/2013-01.csv")
    world.settle()
    world.put("flights/2013-01.csv")
    world.settle()
    ledger = Ledger(world.tables)
    weather = ledger.newest(world.project, world.project.source("weather"), "2013-01")
    assert weather is not None
    ledger.mark_handled(weather, "by hand")
    assert world.settle() == []


def test_an_object_deleted_before_it_was_read_is_not_asked_for(world: World) -> None:
    world.limits = replace(world.limits, patience=3600)
    world.__post_init__()
    world.put("flights/2013-01.csv")
    assert world.tick() == []
    world.delete("flights/2013-01.csv")
    assert world.settle() == []
    assert world.states() == {"flights/2013-01.csv": ["deleted"]}


def test_a_version_that_comes_back_because_a_newer_was_removed_is_read_again(world: World) -> None:
    world.put("flights/2013-01.csv", "x\n1\n")
    world.settle()
    newer = world.put("flights/2013-01.csv", "x\n2\n")
    world.settle()
    world.client.delete_object(Bucket=world.bucket, Key="toy/flights/2013-01.csv", VersionId=newer)
    assert len(world.settle()) == 1
    assert [text for _, text in world.materialized("raw", "flights")] == ["x\n1\n", "x\n2\n", "x\n1\n"]


def test_a_new_shared_object_has_all_features_built_anew(world: World) -> None:
    for month in ("2013-01", "2013-02"):
        world.put(f"flights/{month}.csv")
        world.put(f"weather/{month}.csv")
    world.put("planes/planes.csv")
    world.settle()
    world.put("planes/planes.csv", "x\n2\n")
    asked = [(request.partition_key, _assets(request)) for request in world.settle()]
    assert asked == [(None, {"raw/planes"}), ("2013-01", {"features"}), ("2013-02", {"features"})]


def test_features_wait_for_all_sources_but_reading_does_not_wait_for_ever(world: World) -> None:
    world.limits = Limits(patience=3600)
    world.__post_init__()
    world.put("planes/planes.csv")
    world.put("flights/2013-01.csv")
    assert world.tick() == []
    world.limits = Limits(patience=0)
    world.__post_init__()
    assert {frozenset(_assets(r)) for r in world.settle()} == {
        frozenset({"raw/flights"}),
        frozenset({"raw/planes"}),
    }
    world.put("weather/2013-01.csv")
    assert [_assets(r) for r in world.settle()] == [{"raw/weather", "features"}]


def test_a_partition_has_one_run_at_a_time(world: World) -> None:
    world.put("flights/2013-01.csv", "x\n1\n")
    (first,) = world.tick()
    world.put("flights/2013-01.csv", "x\n2\n")
    second = world.tick()
    assert [r.run_key for r in second] == [first.run_key], "a second run beside the first"
    world.execute(first)
    world.settle()
    assert [text for _, text in world.materialized("raw", "flights")] == ["x\n1\n", "x\n2\n"]


def test_requests_are_bounded(world: World) -> None:
    world.limits = replace(world.limits, runs_per_tick=2, open_runs=3)
    world.__post_init__()
    for month in range(1, 7):
        world.put(f"flights/2013-{month:02}.csv")
    first, second, third = world.tick(), world.tick(), world.tick()
    # Dagster never heard of the open ones, so they are asked for again, with the same keys.
    keys = [[r.partition_key for r in asked] for asked in (first, second, third)]
    assert keys == [
        ["2013-01", "2013-02"],
        ["2013-01", "2013-02", "2013-03"],
        ["2013-01", "2013-02", "2013-03"],
    ]
    world.settle()
    assert len(world.materialized("raw", "flights")) == 6


def test_a_run_that_fails_is_tried_three_times_and_a_new_version_begins_anew(world: World) -> None:
    world.put("flights/2013-01.csv", "crash")
    asked = world.settle()
    assert [r.run_key for r in asked] == [asked[0].run_key, f"{asked[0].run_key}/2", f"{asked[0].run_key}/3"]
    assert [row.state for row in world.asked()] == ["failed"] * 3
    assert world.states() == {"flights/2013-01.csv": ["seen"]}
    world.put("flights/2013-01.csv", "x\n1\n")
    assert len(world.settle()) == 1
    assert world.states() == {"flights/2013-01.csv": ["superseded", "handled"]}


def test_a_failed_run_is_not_tried_again_at_once(world: World) -> None:
    world.limits = Limits(patience=0, backoff=3600)
    world.__post_init__()
    world.put("flights/2013-01.csv", "crash")
    assert len(world.settle()) == 1


def test_what_a_failed_run_did_read_is_not_read_again(world: World) -> None:
    world.put("flights/2013-01.csv", "crash")
    world.put("weather/2013-01.csv")
    world.put("planes/planes.csv")
    world.settle()
    assert len(world.materialized("raw", "weather")) == 1
    assert len(world.materialized("raw", "planes")) == 1
    assert world.states()["flights/2013-01.csv"] == ["seen"]


def test_the_shared_object_goes_alone_after_the_run_it_rode_with_was_lost(world: World) -> None:
    for name in JANUARY:
        world.put(name)
    (request,) = world.tick()
    world.lose(request)
    asked = world.settle()
    assert [_assets(r) for r in asked] == [{"raw/planes"}, {"raw/flights", "raw/weather", "features"}]
    assert len(world.materialized("features")) == 1


def test_a_run_that_a_person_canceled_is_not_tried_again(world: World) -> None:
    world.put("flights/2013-01.csv", "crash")
    (request,) = world.tick()
    run = world.execute(request).dagster_run
    world.instance.report_run_canceled(world.instance.get_run_by_id(run.run_id) or run)
    assert world.settle() == []
    assert [row.state for row in world.asked()] == ["canceled"]


def test_materializing_by_hand_reads_the_newest_version(world: World) -> None:
    world.put("flights/2013-01.csv", "broken")
    world.settle()
    source = world.project.source("flights")
    seen = Ledger(world.tables).object_for(world.project, source, "2013-01", {})
    assert (seen.key, seen.state) == ("toy/flights/2013-01.csv", "broken")


def test_a_cursor_that_is_lost_or_damaged_repeats_nothing(world: World) -> None:
    for name in JANUARY:
        world.put(name)
    world.settle()
    for cursor in (
        None,
        "",
        "{",
        '"x"',
        '{"position": {"nonsense": 1}}',
        '{"position": {"after": "gone", "met": 5}}',
    ):
        world.cursor = cursor
        world.forget_process()
        assert world.settle() == []
    assert len(world.rows()) == 3
