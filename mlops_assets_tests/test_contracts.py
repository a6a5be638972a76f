"""Every broken kind of file is refused with its object, line, column and remedy."""

from __future__ import annotations

import gzip
import io
import time

import numpy as np
import pandas as pd
import pytest

from mlops_assets.contracts import Column, Contract, ContractError, Problem, check_frame, read_object
from mlops_assets.projects.flight_delays.schema import FLIGHTS, PLANES, WEATHER
from mlops_assets.sample_data import month_objects, planes_object

KEY = "shop/sales/2013-01.csv"
CONTRACT = Contract(
    columns=(
        Column(name="year", type="integer", minimum=2000, maximum=2100, description="Year"),
        Column(name="month", type="integer", minimum=1, maximum=12, description="Month"),
        Column(name="shop", type="text", pattern="[A-Z]{2}", description="Shop"),
        Column(name="kind", type="text", allowed=("big", "small"), description="Kind", nullable=True),
        Column(name="at", type="time", description="When"),
        Column(name="count", type="integer", description="Pieces", minimum=0, nullable=True),
        Column(name="price", type="number", description="Price", minimum=0, maximum=100, nullable=True),
    ),
    key=("shop", "at"),
    partition_by=("year", "month"),
)
HEADER = "year,month,shop,kind,at,count,price"
ROWS = [
    "2013,1,AA,big,2013-01-01T10:00:00Z,3,1.5",
    "2013,1,AB,NA,2013-01-01T11:00:00Z,,NA",
    "2013,1,AC,small,2013-01-01T12:00:00Z,0,100",
]


def text(*rows: str, header: str = HEADER) -> bytes:
    return "\n".join([header, *rows]).encode() + b"\n"


def problems(data: bytes, partition: str | None = "2013-01") -> tuple[Problem, ...]:
    with pytest.raises(ContractError) as caught:
        read_object(data, CONTRACT, key=KEY, partition=partition)
    assert caught.value.key == KEY
    assert str(caught.value).startswith(f"{KEY} breaks its contract in ")
    for problem in caught.value.problems:
        assert problem.remedy
        assert str(problem) in str(caught.value)
    return caught.value.problems


def only(data: bytes, partition: str | None = "2013-01") -> Problem:
    (problem,) = problems(data, partition)
    return problem


def test_a_good_object_is_read_in_its_types() -> None:
    frame = read_object(text(*ROWS), CONTRACT, key=KEY, partition="2013-01")
    assert [str(dtype) for dtype in frame.dtypes] == [
        *("int64", "int64", "object", "object", "datetime64[ns, UTC]", "float64", "float64")
    ]
    assert frame["shop"].tolist() == ["AA", "AB", "AC"]
    assert frame["kind"].tolist() == ["big", None, "small"]
    assert frame["at"][1] == pd.Timestamp("2013-01-01T11:00:00Z")
    np.testing.assert_array_equal(frame["count"], [3, np.nan, 0])
    np.testing.assert_array_equal(frame["price"], [1.5, np.nan, 100])


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(b"\xef\xbb\xbf" + text(*ROWS), id="byte order mark"),
        pytest.param(text(*ROWS).replace(b"\n", b"\r\n"), id="Windows line ends"),
        pytest.param(text(*ROWS).rstrip(), id="no line end at the end"),
        pytest.param(text(*ROWS) + b"\n\n", id="blank lines at the end"),
        pytest.param(text(*ROWS).replace(b"big", b'"big"'), id="quotes"),
    ],
)
def test_the_same_rows_written_another_way_are_the_same(data: bytes) -> None:
    expected = read_object(text(*ROWS), CONTRACT, key=KEY, partition="2013-01")
    pd.testing.assert_frame_equal(read_object(data, CONTRACT, key=KEY, partition="2013-01"), expected)


def test_columns_may_come_in_any_order() -> None:
    cells = [row.split(",") for row in [HEADER, *ROWS]]
    turned = "\n".join(",".join(reversed(row)) for row in cells).encode()
    expected = read_object(text(*ROWS), CONTRACT, key=KEY, partition="2013-01")
    pd.testing.assert_frame_equal(read_object(turned, CONTRACT, key=KEY, partition="2013-01"), expected)


@pytest.mark.parametrize("data", [b"", b"\n", b" \r\n \n"])
def test_an_empty_object(data: bytes) -> None:
    problem = only(data)
    assert "empty" in problem.what or "blank" in problem.what
    assert "export" in problem.remedy


def test_a_header_without_rows() -> None:
    assert only(text()) == Problem(
        1,
        None,
        "the file has a header but no rows",
        "export the rows and upload the corrected file under the same name",
    )


def parquet() -> bytes:
    buffer = io.BytesIO()
    pd.DataFrame({"a": [1]}).to_parquet(buffer)
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("data", "said"),
    [
        pytest.param(gzip.compress(text(*ROWS)), "gzip", id="gzip"),
        pytest.param(b"PK\x03\x04" + bytes(30), "ZIP", id="zip"),
        pytest.param(parquet(), "Parquet", id="parquet"),
        pytest.param(text(*ROWS).decode().encode("utf-16"), "UTF-16", id="UTF-16 with a mark"),
        pytest.param(text(*ROWS).decode().encode("utf-16-le"), "UTF-16", id="UTF-16 without a mark"),
        pytest.param(bytes(range(256)) * 4, "binary", id="bytes"),
    ],
)
def test_what_is_not_text_in_utf8(data: bytes, said: str) -> None:
    problem = only(data)
    assert said in problem.what
    assert problem.line == 1
    assert "UTF-8" in problem.remedy or "CSV" in problem.remedy


def test_a_nul_in_the_midst_says_its_line() -> None:
    problem = only(text(ROWS[0], ROWS[1].replace("AB", "A\0"), ROWS[2]))
    assert problem.line == 3
    assert "NUL" in problem.what


def test_latin_1_says_line_column_and_byte() -> None:
    data = text(ROWS[0], ROWS[1].replace("AB", "ÄB")).decode().encode("latin-1")
    problem = only(data)
    assert (problem.line, problem.column) == (3, "shop")
    assert "0xc4" in problem.what
    assert "Latin-1" in problem.what
    assert f"byte {data.index(0xC4) + 1} " in problem.what


def test_other_separators_are_named() -> None:
    assert "semicolons" in only(text(*ROWS).replace(b",", b";")).what
    assert "tabs" in only(text(*ROWS).replace(b",", b"\t")).what


def test_ragged_rows_say_their_lines() -> None:
    found = problems(text(ROWS[0], "2013,1,AB", ROWS[1], ROWS[2] + ",9", ""))
    assert [problem.line for problem in found] == [3, 5]
    assert found[0].what == "the line has 3 cells, the header has 7"
    assert found[1].what == "the line has 8 cells, the header has 7"


def test_a_blank_line_among_the_rows() -> None:
    problem = only(text(ROWS[0], "", ROWS[1]))
    assert problem.line == 3
    assert "blank" in problem.what


def test_an_open_quote_says_its_line() -> None:
    problem = only(text(ROWS[0], ROWS[1].replace("AB", '"AB'), ROWS[2]))
    assert problem.line == 3
    assert "quotation mark" in problem.what


def test_wrong_columns_are_named_with_the_likely_one() -> None:
    found = problems(text(*ROWS, header=HEADER.replace("price", "prices")))
    assert [(p.line, p.column) for p in found] == [(1, "price"), (1, "prices")]
    assert "rename 'prices' to 'price'" in found[0].remedy


def test_missing_extra_and_repeated_columns() -> None:
    fewer = [row.rsplit(",", 1)[0] for row in [HEADER, *ROWS]]
    problem = only("\n".join(fewer).encode())
    assert (problem.column, problem.what) == ("price", "the column is missing")
    problem = only("\n".join(row + ",x" for row in [HEADER, *ROWS]).encode())
    assert (problem.column, problem.what) == ("x", "the column is not in the contract")
    problem = only("\n".join([HEADER + ",shop", *(row + ",AA" for row in ROWS)]).encode())
    assert (problem.column, problem.what) == ("shop", "the column is there twice")


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(b'{"rows": [' + b'{"year": 2013}, ' * 20_000 + b"]}", id="JSON on one line"),
        pytest.param(b"<html>\n<body>403 Forbidden</body>\n</html>", id="an error page"),
        pytest.param(
            ("year," + ",".join(f"c{n}" for n in range(20_000))).encode() + b"\n1", id="a wide file"
        ),
        pytest.param(b"year,month\n", id="another file's header"),
    ],
)
def test_another_kind_of_text(data: bytes) -> None:
    started = time.monotonic()
    assert {problem.line for problem in problems(data)} == {1}
    assert time.monotonic() - started < 1  # seen: 0.03 s


def test_lines_that_end_in_carriage_returns_alone() -> None:
    assert "line feed" in only(text(*ROWS).replace(b"\n", b"\r")).what
    problem = only(text(ROWS[0], ROWS[1].replace("AB", "A\rB")))
    assert problem.line == 3
    assert "carriage return" in problem.what


def test_no_damage_gets_through_as_another_error() -> None:
    """Bytes changed, cut and doubled at random: the object is read, or refused by its contract."""
    rng = np.random.default_rng(0)
    good = text(*ROWS)
    refused: list[ContractError] = []
    for _ in range(200):
        data = bytearray(good)
        for _ in range(rng.integers(1, 4)):
            at = int(rng.integers(len(data)))
            change = rng.integers(3)
            if change == 0:
                data[at] = int(rng.integers(256))
            elif change == 1:
                del data[at : at + int(rng.integers(1, 20))]
            else:
                data[at:at] = rng.choice(list(b',"\n\r;\0NA9'), size=2).astype(np.uint8).tobytes()
        try:
            read_object(bytes(data), CONTRACT, key=KEY, partition="2013-01")
        except ContractError as error:
            refused.append(error)
    assert len(refused) > 150
    assert all(error.total >= len(error.problems) > 0 for error in refused)


def test_no_header_at_all() -> None:
    problem = only("\n".join(ROWS).encode())
    assert problem.line == 1
    assert "no header" in problem.what
    assert HEADER in problem.remedy


@pytest.mark.parametrize(
    ("position", "cell", "column", "said"),
    [
        (0, "MMXIII", "year", "'MMXIII' is not a whole number"),
        (0, "2013.5", "year", "'2013.5' is not a whole number"),
        (4, "noon", "at", "'noon' is not a time"),
        (5, "1e99", "count", "'1e99' is not a whole number"),
        (6, "1,5".replace(",", "."), "price", ""),
        (6, "cheap", "price", "'cheap' is not a number"),
        (6, "inf", "price", "'inf' is not a number"),
        (6, " 1.5", "price", "' 1.5' is not a number"),
        (6, "0x10", "price", "'0x10' is not a number"),
        (5, " 1", "count", "' 1' is not a whole number"),
        (5, "99999999999999999999", "count", "'99999999999999999999' is not a whole number"),
        (4, "9999-99-99", "at", "'9999-99-99' is not a time"),
        (6, "nan", "price", "'nan' is not a number"),
        (0, "", "year", "the value is missing"),
        (2, "NA", "shop", "the value is missing"),
        (4, "", "at", "the value is missing"),
        (6, "100.5", "price", "100.5 is not in the range 0 to 100"),
        (6, "-1", "price", "-1 is not in the range 0 to 100"),
        (5, "-1", "count", "-1 is not at least 0"),
        (2, "aa", "shop", "'aa' is not text of the pattern [A-Z]{2}"),
        (3, "huge", "kind", "'huge' is not one of big, small"),
    ],
)
def test_a_wrong_value_says_line_column_and_value(position: int, cell: str, column: str, said: str) -> None:
    cells = ROWS[1].split(",")
    cells[position] = cell
    data = text(ROWS[0], ",".join(cells), ROWS[2])
    if not said:
        read_object(data, CONTRACT, key=KEY, partition="2013-01")
        return
    problem = only(data, partition=None)
    assert (problem.line, problem.column) == (3, column)
    assert problem.what.startswith(said)


def test_duplicate_rows_name_both_lines() -> None:
    problem = only(text(*ROWS, ROWS[1]))
    assert problem.line == 5
    assert "repeats line 3" in problem.what
    assert "shop=AB" in problem.what


def test_rows_of_another_month_are_named() -> None:
    data = text(ROWS[0], ROWS[1].replace("2013,1", "2013,2"), ROWS[2])
    problem = only(data)
    assert (problem.line, problem.column) == (3, "month")
    assert problem.what == "the row belongs to 2013-02, the file is that of 2013-01"
    read_object(data, CONTRACT, key=KEY, partition=None)
    assert len(problems(data, partition="2013-02")) == 2


def test_many_problems_are_counted_and_the_first_are_told() -> None:
    rows = [f"2013,1,x{n},big,2013-01-01T10:00:00Z,1,{200 + n}" for n in range(500)]
    with pytest.raises(ContractError) as caught:
        read_object(text(*rows), CONTRACT, key=KEY, partition="2013-01")
    assert caught.value.total == 1000
    assert len(caught.value.problems) == 10
    assert {problem.column for problem in caught.value.problems} == {"shop", "price"}
    assert "and 990 more" in str(caught.value)


def test_a_frame_read_back_is_checked_the_same() -> None:
    frame = read_object(text(*ROWS), CONTRACT, key=KEY, partition="2013-01")
    check_frame(frame, CONTRACT, key=KEY, partition="2013-01")
    with pytest.raises(ContractError, match="line 3, column price: 200 is not in the range"):
        check_frame(frame.assign(price=[1.0, 200.0, 1.0]), CONTRACT, key=KEY, partition="2013-01")
    with pytest.raises(ContractError, match="column price: the column is missing"):
        check_frame(frame.drop(columns="price"), CONTRACT, key=KEY, partition="2013-01")


def test_a_contract_that_contradicts_itself_is_refused() -> None:
    with pytest.raises(ValueError, match="'nothing' is named by key"):
        Contract(columns=CONTRACT.columns, key=("nothing",))
    with pytest.raises(ValueError, match="two columns share a name"):
        Contract(columns=CONTRACT.columns * 2, key=())
    with pytest.raises(ValueError, match="partition_by needs integer columns"):
        Contract(columns=CONTRACT.columns, key=(), partition_by=("shop",))
    with pytest.raises(ValueError, match="a range needs type integer or number"):
        Column(name="x", type="text", minimum=1, description="x")
    with pytest.raises(ValueError, match="need type text"):
        Column(name="x", type="integer", allowed=("1",), description="x")


def test_real_files_keep_their_contracts_and_are_read_fast() -> None:
    objects = {**month_objects("2013-02"), **planes_object()}
    weather = read_object(objects["weather/2013-02.csv"], WEATHER, key="weather", partition="2013-02")
    planes = read_object(objects["planes/planes.csv"], PLANES, key="planes", partition=None)
    started = time.monotonic()
    flights = read_object(objects["flights/2013-02.csv"], FLIGHTS, key="flights", partition="2013-02")
    assert time.monotonic() - started < 2  # seen: 0.03 s; the bound is for a busy machine
    assert (len(flights), len(weather), len(planes)) == (24951, 2010, 3322)
    assert flights["arr_delay"].isna().sum() == 1340


def test_a_month_under_another_months_name_is_refused() -> None:
    data = month_objects("2013-02")["flights/2013-02.csv"]
    with pytest.raises(ContractError) as caught:
        read_object(data, FLIGHTS, key="flight_delays/flights/2013-03.csv", partition="2013-03")
    assert caught.value.total == 24951
