"""Data contracts of raw objects: what a file must hold, checked at the door.

``declare`` says what a contract is, ``problems`` what an error says, ``text`` turns an object's
bytes into cells, ``values`` turns cells into a typed, checked frame.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from mlops_assets.contracts.declare import Column, Contract
from mlops_assets.contracts.problems import ContractError, Found, Problem

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Column", "Contract", "ContractError", "Problem", "check_frame", "read_object", "repeated_rows"]


def read_object(
    data: bytes, contract: Contract, *, key: str, partition: str | None, duplicates: bool = True
) -> pd.DataFrame:
    """The typed rows of a raw CSV object, in the file's order and the contract's column order.

    ``key`` names the object in errors. ``partition`` is the one whose rows the object must hold, or
    None for an object without partitions. ``duplicates``: whether rows that repeat a key are refused here
    (a caller that looks at them itself uses ``repeated_rows``). Integers that may be missing, and
    numbers, are float64 with NaN; integers int64; text object with None; times datetime64[ns, UTC].

    Raises ``ContractError`` that names the object, and for each problem the line (1 is the header),
    the column and the remedy.
    """
    from mlops_assets.contracts.text import read_cells
    from mlops_assets.contracts.values import check_values, typed_frame

    found = Found(key)
    cells = read_cells(data, contract, found)
    found.raise_any()
    frame = typed_frame(cells, contract, found)
    found.raise_any()
    check_values(frame, contract, partition, found, duplicates=duplicates)
    found.raise_any()
    return frame


def repeated_rows(frame: pd.DataFrame, contract: Contract) -> tuple[list[Problem], int]:
    """The first rows that repeat the key of an earlier one, and how many there are."""
    from mlops_assets.contracts.values import check_duplicates

    found = Found("")
    check_duplicates(frame, contract, found)
    return found.kept, found.total


def check_frame(frame: pd.DataFrame, contract: Contract, *, key: str, partition: str | None) -> None:
    """Check the values of a frame that is typed already (one read back from Parquet, say).

    Lines are those of the CSV object the frame was read from. Raises ``ContractError``.
    """
    from mlops_assets.contracts.values import check_values

    found = Found(key)
    missing = [c.name for c in contract.columns if c.name not in frame.columns]
    for name in missing:
        found.add(Problem(None, name, "the column is missing", "write the frame with this code's contract"))
    found.raise_any()
    check_values(frame, contract, partition, found)
    found.raise_any()
