"""Which runs a tick asks for: complete partitions at once, the rest when it is time."""

from __future__ import annotations

from typing import Any

import pytest

from mlops_assets.automation.plan import Limits, OpenRun, Pending, Plan, Request, View, make_plan

LIMITS = Limits(patience=10, shared_patience=100)
SOURCES = frozenset({"flights", "weather", "planes"})


def _new(source: str, partition: str = "2013-01", age: float = 0.0, seq: int = 1) -> Pending:
    return Pending(seq, source, partition, f"toy/{source}/{partition}", f"v{seq}", age)


def _plan(*pending: Pending, **known: Any) -> Plan:
    empty: dict[str, Any] = {"handled": {}, "due": {}, "open": []}
    return make_plan(View("toy", SOURCES, pending, **{**empty, **known}), LIMITS)


def _short(plan: Plan) -> list[tuple[str, list[str], bool]]:
    """(partition, sources read, whether features are built) of each request."""
    return [(r.partition, sorted(r.versions), r.inputs is not None) for r in plan.requests]


ALL = ["flights", "planes", "weather"]
PLANES_READ = {"": {"planes": 7}}


def test_the_shared_object_rides_along_with_one_partition_and_the_others_wait_for_it() -> None:
    plan = _plan(
        _new("planes", ""),
        *(_new(source, month) for source in ("flights", "weather") for month in ("2013-02", "2013-01")),
    )
    assert _short(plan) == [("2013-01", ALL, True)]
    assert plan.waiting == {"2013-02": "a new object shared by all partitions"}


def test_after_such_a_run_failed_the_shared_object_goes_alone() -> None:
    plan = _plan(_new("planes", ""), _new("flights"), _new("weather"), ride=False)
    assert _short(plan) == [("", ["planes"], False)]
    assert set(plan.waiting) == {"2013-01"}


def test_partitions_go_on_as_soon_as_the_shared_object_was_read_though_its_run_goes_on() -> None:
    plan = _plan(
        _new("flights", "2013-02"),
        _new("weather", "2013-02"),
        handled=PLANES_READ,
        open=[OpenRun("2013-01", shared=True)],
    )
    assert _short(plan) == [("2013-02", ["flights", "weather"], True)]


def test_nothing_rides_twice() -> None:
    february = [_new("planes", ""), _new("flights", "2013-02"), _new("weather", "2013-02")]
    assert _short(_plan(*february, open=[OpenRun("2013-01", shared=True)])) == []


@pytest.mark.parametrize(("age", "asked"), [(9.0, []), (10.0, [("2013-01", ["flights"], False)])])
def test_an_incomplete_partition_waits_for_a_while(age: float, asked: list[object]) -> None:
    assert _short(_plan(_new("flights", age=age), handled=PLANES_READ)) == asked


def test_the_other_source_of_a_partition_may_have_been_read_before() -> None:
    plan = _plan(_new("flights"), handled={**PLANES_READ, "2013-01": {"weather": 3}})
    assert _short(plan) == [("2013-01", ["flights"], True)]


def test_the_shared_object_waits_with_a_partition_that_it_may_ride_with() -> None:
    waiting = _plan(_new("planes", ""), _new("flights", age=1))
    assert _short(waiting) == []
    assert set(waiting.waiting) == {"", "2013-01"}
    assert _short(_plan(_new("planes", ""), _new("flights", age=11))) == [
        ("", ["planes"], False),
        ("2013-01", ["flights"], False),
    ]
    assert _short(_plan(_new("planes", ""))) == [("", ["planes"], False)]


def test_features_that_are_due_wait_for_a_newer_shared_object_but_not_for_ever() -> None:
    due = {"2013-01": "abc"}
    assert _short(_plan(due=due)) == [("2013-01", [], True)]
    assert _short(_plan(_new("planes", "", age=99), due=due, open=[OpenRun("", shared=True)])) == []
    held = _plan(_new("planes", "", age=100), due=due, open=[OpenRun("", shared=True)])
    assert _short(held) == [("2013-01", [], True)]


def test_a_partition_whose_run_is_open_waits() -> None:
    plan = _plan(_new("flights", age=99), handled=PLANES_READ, open=[OpenRun("2013-01", shared=False)])
    assert (plan.requests, plan.waiting) == ([], {"2013-01": "its run"})


def test_the_same_work_has_the_same_name_and_other_work_another() -> None:
    one = Request("toy", "2013-01", {"flights": _new("flights", seq=1)}, "in")
    assert one.base == Request("toy", "2013-01", {"flights": _new("flights", seq=1, age=5)}, "in").base
    others = [
        Request("toy", "2013-01", {"flights": _new("flights", seq=2)}, "in"),
        Request("toy", "2013-01", {"flights": _new("flights", seq=1)}, None),
        Request("toy", "2013-02", {"flights": _new("flights", seq=1)}, "in"),
        Request("two", "2013-01", {"flights": _new("flights", seq=1)}, "in"),
    ]
    assert len({one.base, *(other.base for other in others)}) == 5
