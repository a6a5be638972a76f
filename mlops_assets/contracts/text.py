"""From an object's bytes to cells: encoding, CSV structure and header."""

from __future__ import annotations

import csv
import difflib
import io
import re
from typing import TYPE_CHECKING

from mlops_assets.contracts.problems import MAX_PER_KIND, Found, Problem

if TYPE_CHECKING:
    import pyarrow as pa

    from mlops_assets.contracts.declare import Contract

_AGAIN = "upload the corrected file under the same name"
_MAGIC = {
    b"PK\x03\x04": "a ZIP archive or Excel workbook",
    b"\x1f\x8b": "gzip-compressed",
    b"PAR1": "a Parquet file",
    b"SQLite format 3": "an SQLite database",
    b"\x89PNG": "a PNG picture",
    b"%PDF": "a PDF document",
}
_UTF16_MARKS = (b"\xff\xfe", b"\xfe\xff")
_UTF8_MARK = b"\xef\xbb\xbf"


def read_cells(data: bytes, contract: Contract, found: Found) -> pa.Table | None:
    """All cells as text (null where missing), one row a line; None if ``found`` got a problem."""
    if not data.strip():
        what = "the object is empty (0 bytes)" if not data else "the object holds only blank lines"
        found.add(Problem(None, None, what, f"export the file again and {_AGAIN}"))
        return None
    data = data.removeprefix(_UTF8_MARK).rstrip(b"\r\n")
    if not (_is_text(data, found) and _is_utf8(data, found) and _lines_end(data, found)):
        return None
    if not (_header_fits(data, contract, found) and _quotes_close(data, found)):
        return None
    if not _no_blank_lines(data, found):
        return None
    if data.count(b"\n") == 0:
        found.add(Problem(1, None, "the file has a header but no rows", f"export the rows and {_AGAIN}"))
        return None
    return _parse(data, contract, found)


def _is_text(data: bytes, found: Found) -> bool:
    kind = next((kind for magic, kind in _MAGIC.items() if data.startswith(magic)), None)
    if kind is not None:
        what, remedy = f"the object is {kind}, not CSV text", f"export plain CSV in UTF-8 and {_AGAIN}"
    elif data.startswith(_UTF16_MARKS):
        what, remedy = "the text is UTF-16, not UTF-8", f"save the file as UTF-8 and {_AGAIN}"
    elif (at := data.find(b"\0")) >= 0:
        line = data.count(b"\n", 0, at) + 1
        found.add(
            Problem(
                line,
                None,
                f"byte {at + 1} is a NUL: the object is binary or UTF-16 text, not CSV text in UTF-8",
                f"export plain CSV in UTF-8 and {_AGAIN}",
            )
        )
        return False
    else:
        return True
    found.add(Problem(1, None, what, remedy))
    return False


def _is_utf8(data: bytes, found: Found) -> bool:
    try:
        data.decode()
    except UnicodeDecodeError as error:
        start = data.rfind(b"\n", 0, error.start) + 1
        header = data.partition(b"\n")[0].decode("latin-1").strip().split(",")
        position = data.count(b",", start, error.start)
        found.add(
            Problem(
                data.count(b"\n", 0, error.start) + 1,
                header[position] if start and position < len(header) else None,
                f"byte {error.start + 1} (0x{data[error.start]:02x}) is not UTF-8; "
                "the text looks like Latin-1 or Windows-1252, or the object is binary",
                f"save the file as UTF-8 and {_AGAIN}",
            )
        )
        return False
    return True


def _lines_end(data: bytes, found: Found) -> bool:
    alone = re.search(rb"\r(?!\n)", data)
    if alone is None:
        return True
    line = data.count(b"\n", 0, alone.start()) + 1
    what = (
        f"byte {alone.start() + 1} is a carriage return that ends no line, or lines end without a line feed"
    )
    found.add(Problem(line, None, what, f"end lines with a line feed and {_AGAIN}"))
    return False


def _header_fits(data: bytes, contract: Contract, found: Found) -> bool:
    line = data.partition(b"\n")[0].decode()
    try:
        names = next(csv.reader([line.strip("\r")]), [])
    except csv.Error:  # a line of hundreds of kilobytes: some other kind of text
        names = []
    if len(names) == 1 and len(contract.columns) > 1:
        for mark, word in ((";", "semicolons"), ("\t", "tabs"), ("|", "bars")):
            if mark in line:
                what = f"the columns are separated by {word}, not commas"
                found.add(Problem(1, None, what, f"export with commas and {_AGAIN}"))
                return False
    missing = [name for name in contract.names if name not in names]
    if len(missing) == len(contract.columns):
        what = f"the first line is no header of this contract: {line.strip()[:80]!r}"
        remedy = f"make {','.join(contract.names)!r} the first line and {_AGAIN}"
        found.add(Problem(1, None, what, remedy))
        return False
    known = set(contract.names)
    extra = [name for name in names if name not in known]
    twice = [name for name in contract.names if names.count(name) > 1]
    _report_columns(missing, extra, twice, found)
    return not (missing or extra or twice)


def _report_columns(missing: list[str], extra: list[str], twice: list[str], found: Found) -> None:
    shown = extra[:MAX_PER_KIND]  # a stranger's file may have thousands of columns
    for name in missing:
        near = difflib.get_close_matches(name, shown, n=1)
        hint = f"rename {near[0]!r} to {name!r}" if near else f"export the column {name!r} too"
        found.add(Problem(1, name, "the column is missing", f"{hint} and {_AGAIN}"))
    what, remedy = (
        "the column is not in the contract",
        f"leave it out, or add it to the contract, and {_AGAIN}",
    )
    found.add(*(Problem(1, name[:60], what, remedy) for name in shown), total=len(extra))
    for name in twice:
        found.add(Problem(1, name, "the column is there twice", f"leave one out and {_AGAIN}"))


def _quotes_close(data: bytes, found: Found) -> bool:
    if b'"' not in data:
        return True
    broken = [n for n, line in enumerate(data.split(b"\n"), start=1) if line.count(b'"') % 2]
    what = "a quotation mark is opened and not closed on the line"
    problems = [
        Problem(n, None, what, f"close it, or double it inside a value, and {_AGAIN}") for n in broken
    ]
    found.add(*problems)
    return not broken


def _no_blank_lines(data: bytes, found: Found) -> bool:
    # pyarrow would take a blank line for a row of missing values, or skip it and shift all lines.
    if b"\n\n" not in data and b"\n\r\n" not in data:
        return True
    blank = [n for n, line in enumerate(data.split(b"\n"), start=1) if not line.strip(b"\r")]
    found.add(*(Problem(n, None, "the line is blank", f"leave it out and {_AGAIN}") for n in blank))
    return False


def _parse(data: bytes, contract: Contract, found: Found) -> pa.Table | None:
    import pyarrow as pa
    from pyarrow import csv as arrow_csv

    ragged: list[tuple[int, int]] = []  # (line, cells)

    def note(row: arrow_csv.InvalidRow) -> str:
        ragged.append((int(row.number), int(row.actual_columns)))
        return "skip"

    # One thread, one block: only then does pyarrow number the rows that it refuses.
    whole = arrow_csv.ReadOptions(use_threads=False, block_size=max(len(data) + 1, 1 << 16))
    structure = arrow_csv.ParseOptions(ignore_empty_lines=False, invalid_row_handler=note)
    as_text = arrow_csv.ConvertOptions(
        column_types=dict.fromkeys(contract.names, pa.string()),
        null_values=["", *contract.nulls],
        strings_can_be_null=True,
        quoted_strings_can_be_null=True,
    )
    try:
        table = arrow_csv.read_csv(io.BytesIO(data), whole, structure, as_text)
    except pa.ArrowInvalid as error:  # what is wrong beyond all that is told apart above
        found.add(
            Problem(None, None, f"the CSV cannot be read: {error}", f"export the file again and {_AGAIN}")
        )
        return None
    remedy = f"quote values that hold commas, or complete the line, and {_AGAIN}"
    width = len(contract.columns)
    for line, cells in ragged:
        found.add(Problem(line, None, f"the line has {cells} cells, the header has {width}", remedy))
    return None if ragged else table
