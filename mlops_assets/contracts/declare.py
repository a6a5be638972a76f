"""What a contract declares: the columns of a file, its key, and where a row says its partition."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

ColumnType = Literal["integer", "number", "text", "time"]


@dataclass(frozen=True, kw_only=True)
class Column:
    """One column.

    ``minimum`` and ``maximum`` are inclusive and for integers and numbers; ``allowed`` (the only
    values) and ``pattern`` (of the whole value) are for text.
    """

    name: str
    type: ColumnType
    description: str
    nullable: bool = False
    minimum: float | None = None
    maximum: float | None = None
    allowed: tuple[str, ...] | None = None
    pattern: str | None = None

    def __post_init__(self) -> None:
        numeric = self.type in ("integer", "number")
        if not numeric and (self.minimum is not None or self.maximum is not None):
            raise ValueError(f"column {self.name}: a range needs type integer or number, not {self.type}")
        if self.type != "text" and (self.allowed is not None or self.pattern is not None):
            raise ValueError(f"column {self.name}: allowed and pattern need type text, not {self.type}")
        if self.pattern is not None:
            re.compile(self.pattern)

    @property
    def range_text(self) -> str:
        """The allowed range for people, such as ``0 to 23``; empty without one."""
        low = "" if self.minimum is None else f"{self.minimum:g}"
        high = "" if self.maximum is None else f"{self.maximum:g}"
        if low and high:
            return f"{low} to {high}"
        return f"at least {low}" if low else f"at most {high}" if high else ""


@dataclass(frozen=True, kw_only=True)
class Contract:
    """What a file must hold.

    ``key``: columns whose values together occur once in a file. ``partition_by``: integer columns
    that say the partition of a row, from the largest unit on: ``("year", "month")`` for partitions
    such as ``2013-01``; empty where the object has no partition. ``nulls``: the spellings of a
    missing value, beside the empty cell.
    """

    columns: tuple[Column, ...]
    key: tuple[str, ...]
    partition_by: tuple[str, ...] = ()
    nulls: tuple[str, ...] = ("NA",)

    def __post_init__(self) -> None:
        names = self.names
        if len(set(names)) != len(names):
            raise ValueError(f"two columns share a name: {names}")
        for name in (*self.key, *self.partition_by):
            if name not in names:
                raise ValueError(f"{name!r} is named by key or partition_by but is no column: {names}")
        for name in self.partition_by:
            if self.column(name).type != "integer" or self.column(name).nullable:
                raise ValueError(
                    f"partition_by needs integer columns without missing values, {name!r} is not"
                )

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(c.name for c in self.columns)

    def column(self, name: str) -> Column:
        """The column called ``name``; ``KeyError`` if there is none."""
        return {c.name: c for c in self.columns}[name]
