"""What is wrong with a request is said with its row and field."""

from __future__ import annotations

import json
from typing import Annotated, Any, Literal

import msgspec
import pytest

from mlops_assets.catalog import get_project
from mlops_assets_tests.serving import toy
from mlops_assets_tests.serving.harness import trip
from serving.bounds import MAX_ROWS
from serving.decoding import RequestDecoder, RequestError
from serving.fields import fields_of


@pytest.fixture(scope="module")
def decoder() -> RequestDecoder:
    return RequestDecoder(toy.Trip)


def body(*rows: Any) -> bytes:
    return json.dumps({"instances": list(rows)}).encode()


def without(name: str) -> dict[str, Any]:
    return {key: value for key, value in trip().items() if key != name}


def test_rows_come_as_instances_with_their_defaults(decoder: RequestDecoder) -> None:
    first, second = decoder.decode(body(trip(), trip(carrier="B6", hot=1, weekend=True)))
    as_dict = msgspec.structs.asdict
    assert as_dict(first) == as_dict(toy.Trip(carrier="AA", distance=700.0, hour=8))
    assert as_dict(second) == as_dict(toy.Trip(carrier="B6", distance=700.0, hour=8, weekend=True, hot=1.0))


@pytest.mark.parametrize(
    ("data", "status", "row", "field", "words"),
    [
        (body(trip(), trip(extra=1)), 422, 1, "extra", r"instances\[1\]\.extra: .*; it takes carrier"),
        (body(trip(), trip(), without("hour")), 422, 2, "hour", r"\[2\]\.hour: Required field is missing"),
        (body(trip(distance="700")), 422, 0, "distance", r"\[0\]\.distance: Expected `float`, got `str`"),
        (body(trip(distance=True)), 422, 0, "distance", "got `bool`"),
        (body(trip(hour=8.5)), 422, 0, "hour", "Expected `int`, got `float`"),
        (body(trip(carrier=None)), 422, 0, "carrier", "Expected `str`, got `null`"),
        (body(trip(), 3), 422, 1, None, r"instances\[1\]: Expected `object`, got `int`"),
        (body(trip(), trip(distance=float("nan"))), 422, 1, "distance", r"\[1\]\.distance: NaN is not"),
        (body(trip(hot=float("-inf"))), 422, 0, "hot", "Infinity is not a number"),
        (body(trip()).replace(b"700.0", b"1e999"), 422, 0, "distance", "out of range"),
        (body(), 422, None, None, "0 rows; send at least one"),
        (body(*[trip()] * (MAX_ROWS + 1)), 422, None, None, "1001 rows; a request takes 1000"),
        (b'{"instances": {}}', 422, None, None, "instances: Expected `array`"),
        (b'{"rows": []}', 422, None, "rows", "unknown field; it takes instances"),
        (b"{}", 422, None, "instances", "Required field is missing"),
        (b"[]", 422, None, None, 'a request is {"instances"'),
        (b"", 400, None, None, "not JSON"),
        (b'{"instances": [', 400, None, None, "not JSON"),
        (b'{"instances": []} {}', 400, None, None, "not JSON"),
        (b"\xff\xfe\x00", 400, None, None, "not JSON"),
        (b"[" * 100_000, 422, None, None, "Expected `object`"),
        (b'{"instances":' + b"[" * 100_000, 422, 0, None, "Expected `object`, got `array`"),
        (b"carrier=AA&distance=3", 400, None, None, "not JSON"),
    ],
)  # fmt: skip
def test_the_error_names_what_and_where(
    decoder: RequestDecoder, data: bytes, status: int, row: int | None, field: str | None, words: str
) -> None:
    with pytest.raises(RequestError, match=words) as caught:
        decoder.decode(data)
    assert (caught.value.status, caught.value.row, caught.value.field) == (status, row, field)


def test_the_most_rows_are_taken(decoder: RequestDecoder) -> None:
    assert len(decoder.decode(body(*[trip()] * MAX_ROWS))) == MAX_ROWS


class Checked(msgspec.Struct, kw_only=True):
    """Texts with rules of their own, and a rule across fields."""

    code: Annotated[str, msgspec.Meta(pattern="^[A-Z]{2}$")]
    maybe: Annotated[str, msgspec.Meta(min_length=2)] | None = None
    kind: Literal["a", "b"] = "a"
    day: str

    def __post_init__(self) -> None:
        if self.code == "ZZ" and self.kind == "b":
            raise ValueError("ZZ has no kind b")


@pytest.mark.parametrize(
    ("changes", "field"),
    [({"code": "aa"}, "code"), ({"maybe": "x"}, "maybe"), ({"kind": "c"}, "kind"), ({"code": 3}, "code")],
)
def test_rules_of_text_fields_hold_although_each_text_is_checked_once(
    changes: dict[str, Any], field: str
) -> None:
    decoder = RequestDecoder(Checked)
    good = {"code": "AB", "day": "x"}
    for _ in range(2):
        assert len(decoder.decode(body(good, {**good, "maybe": "xy", "kind": "b"}))) == 2
        with pytest.raises(RequestError) as caught:
            decoder.decode(body(good, {**good, **changes}))
        assert (caught.value.row, caught.value.field) == (1, field)


def test_a_struct_s_own_check_is_said_too() -> None:
    with pytest.raises(RequestError, match=r"instances\[0\]: ZZ has no kind b"):
        RequestDecoder(Checked).decode(body({"code": "ZZ", "day": "x", "kind": "b"}))


def test_the_flights_example_is_taken_and_its_mistakes_are_named() -> None:
    project = get_project("flight_delays")
    decoder = RequestDecoder(project.features.instance)
    example = dict(project.endpoint.example)
    (row,) = decoder.decode(body(example))
    assert msgspec.structs.asdict(row) == example
    with pytest.raises(RequestError, match=r"instances\[0\]\.scheduled_departure") as caught:
        decoder.decode(body({**example, "scheduled_departure": "tomorrow"}))
    assert caught.value.field == "scheduled_departure"


def test_a_field_that_no_form_can_fill_is_refused() -> None:
    class Bad(msgspec.Struct):
        items: list[int]

    with pytest.raises(TypeError, match="field items"):
        fields_of(Bad)
