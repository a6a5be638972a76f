"""Real flights as requests: whole months, in order, and as the endpoint takes them."""

from __future__ import annotations

import json

import msgspec
import pandas as pd
import pytest

from mlops_assets.catalog import get_project
from mlops_assets.demo.flights import Request, requests_of
from mlops_assets.sample_data import month_objects

PROJECT = get_project("flight_delays")


@pytest.fixture(scope="module")
def requests() -> list[Request]:
    return requests_of(PROJECT, "2013-04")


def rows(requests: list[Request]) -> list[dict[str, object]]:
    return [row for request in requests for row in json.loads(request.body)["instances"]]


def test_every_scheduled_flight_of_the_month_is_asked_about_once(requests: list[Request]) -> None:
    scheduled = month_objects("2013-04")["flights/2013-04.csv"].count(b"\n") - 1
    assert sum(request.rows for request in requests) == len(rows(requests)) == scheduled


def test_they_are_in_the_order_in_which_the_flights_leave(requests: list[Request]) -> None:
    assert [r.place for r in requests] == sorted(r.place for r in requests)
    assert requests[0].place >= 0
    assert requests[-1].place < 1
    hours = [str(row["scheduled_departure"])[:13] for row in rows(requests)]
    assert hours == sorted(hours)


def test_a_request_is_about_one_origin_and_hour(requests: list[Request]) -> None:
    for request in requests[::50]:
        asked = json.loads(request.body)["instances"]
        assert len({(row["origin"], row["scheduled_departure"][:13]) for row in asked}) == 1


def test_the_endpoint_takes_each_row_as_it_is(requests: list[Request]) -> None:
    body = b"[" + b",".join(msgspec.json.encode(row) for row in rows(requests)) + b"]"
    assert len(msgspec.json.decode(body, type=list[PROJECT.features.instance])) > 28_000  # type: ignore[name-defined]


def test_rows_are_those_that_a_training_would_see(requests: list[Request]) -> None:
    """The same fields and values as the features of the month have, but for cancelled flights."""
    from mlops_assets.demo.flights import _scheduled

    asked = pd.DataFrame(rows(requests))
    built = _scheduled(PROJECT, "2013-04")
    assert asked["temperature"].mean() == pytest.approx(built["temperature"].mean())
    assert asked["plane_year"].isna().sum() == built["plane_year"].isna().sum() > 0
