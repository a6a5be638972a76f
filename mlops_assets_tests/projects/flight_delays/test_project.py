"""The declaration of flight_delays, and what its requests may hold."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import msgspec
import pytest

from mlops_assets.catalog import PROJECTS, get_project
from mlops_assets.projects.flight_delays.instance import Flight
from mlops_assets_tests.projects.flight_delays.data import PROJECT, features

EXAMPLE = dict(PROJECT.endpoint.example)
NULLABLE = {
    *("plane_year", "plane_seats", "temperature", "dew_point", "humidity", "wind_direction"),
    *("wind_speed", "wind_gust", "precipitation", "pressure", "visibility"),
}


def decode(**changes: Any) -> Flight:
    instance = {name: value for name, value in {**EXAMPLE, **changes}.items() if value is not ...}
    return msgspec.json.decode(msgspec.json.encode([instance]), type=list[Flight])[0]


def test_the_catalog_finds_it() -> None:
    assert get_project("flight_delays") is PROJECT
    assert PROJECT in PROJECTS
    with pytest.raises(KeyError, match="there is no project 'trains'; there are: flight_delays"):
        get_project("trains")


def test_the_example_is_a_real_flight() -> None:
    frame = features("2013-04")
    found = frame[
        (frame["carrier"] == EXAMPLE["carrier"])
        & (frame["origin"] == EXAMPLE["origin"])
        & (frame["dest"] == EXAMPLE["dest"])
        & (frame["scheduled_departure"] == EXAMPLE["scheduled_departure"])
    ].to_dict("records")
    assert len(found) == 1
    for name, value in EXAMPLE.items():
        assert found[0][name] == (value if isinstance(value, str) else pytest.approx(value, rel=1e-3))
    assert found[0]["late"] == 1


def test_the_choices_are_the_datas() -> None:
    frame = features("2013-08")
    for field, choices in PROJECT.endpoint.choices.items():
        assert set(frame[field]) <= set(choices)
        assert EXAMPLE[field] in choices
        assert list(choices) == sorted(choices)


def test_every_field_must_be_given() -> None:
    decode()
    for field in Flight.__struct_fields__:
        with pytest.raises(msgspec.ValidationError, match=f"missing required field `{field}`"):
            decode(**{field: ...})


def test_what_may_be_null() -> None:
    for field in Flight.__struct_fields__:
        if field in NULLABLE:
            assert getattr(decode(**{field: None}), field) is None
        else:
            with pytest.raises(msgspec.ValidationError, match=rf"got `null` - at `\$\[0\]\.{field}`"):
                decode(**{field: None})


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"delay": 3}, "unknown field `delay`"),
        ({"carrier": "Delta"}, r"\$\[0\]\.carrier"),
        ({"origin": "jfk"}, r"\$\[0\]\.origin"),
        ({"distance": 0}, r"`int` >= 1 - at `\$\[0\]\.distance`"),
        ({"distance": "far"}, r"\$\[0\]\.distance"),
        ({"humidity": 101}, r"`float` <= 100.0 - at `\$\[0\]\.humidity`"),
        ({"wind_speed": 1048.36}, r"\$\[0\]\.wind_speed"),
        ({"scheduled_departure": "2013-04-19 15:45"}, r"\$\[0\]\.scheduled_departure"),
        ({"scheduled_departure": "2013-04-19T24:00"}, r"\$\[0\]\.scheduled_departure"),
        ({"scheduled_arrival": "2013-02-30T10:00"}, r"`scheduled_arrival` is no date .* at `\$\[0\]`"),
    ],
)
def test_a_request_that_is_wrong_is_told_where(changes: dict[str, Any], said: str) -> None:
    with pytest.raises(msgspec.ValidationError, match=said):
        decode(**changes)


def test_the_schema_tells_units_and_bounds() -> None:
    fields = msgspec.json.schema(Flight)["$defs"]["Flight"]["properties"]
    assert fields["distance"]["minimum"] == 1
    assert "miles" in fields["distance"]["description"]
    assert "Fahrenheit" in fields["temperature"]["anyOf"][0]["description"]
    assert {"type": "null"} in fields["temperature"]["anyOf"]
    assert all(field in str(fields) for field in Flight.__struct_fields__)


def test_declaring_imports_nothing_heavy() -> None:
    code = (
        "import sys, mlops_assets.catalog; heavy = 'torch sklearn mlflow dagster onnx pyarrow.csv'.split(); "
        "print([name for name in heavy if name in sys.modules])"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"
