"""A finished segment as Parquet: one object a day, by the same name and with the same content every time."""

from __future__ import annotations

import io
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from serving.prediction_log.objects import PARQUET, object_key

if TYPE_CHECKING:
    from pathlib import Path

    import pyarrow as pa

    from serving.prediction_log.rows import RowMaker

GROUP_ROWS = 16_384
"""Rows of a row group: that many are in memory as a table, the rest as Parquet."""


@dataclass
class Shipment:
    """One object, ready to be put."""

    key: str
    body: bytes
    rows: int


@dataclass
class _Day:
    writer: Any
    out: io.BytesIO
    waiting: list[pa.Table] = field(default_factory=list)
    waiting_rows: int = 0
    rows: int = 0
    first: int = 2**63
    last: int = 0
    again: bool = False

    def add(self, table: pa.Table) -> None:
        import pyarrow as pa
        import pyarrow.compute as pc

        times = pc.min_max(table["time"].cast(pa.int64()))
        self.first = min(self.first, times["min"].as_py() // 1000)
        self.last = max(self.last, times["max"].as_py() // 1000)
        self.again = self.again or pc.max(table["attempt"]).as_py() > 1
        self.waiting.append(table)
        self.waiting_rows += table.num_rows
        self.rows += table.num_rows
        if self.waiting_rows >= GROUP_ROWS:
            self.flush()

    def flush(self) -> None:
        import pyarrow as pa

        if self.waiting:
            self.writer.write_table(pa.concat_tables(self.waiting))
            self.waiting, self.waiting_rows = [], 0


def shipments(maker: RowMaker, project_name: str, path: Path) -> list[Shipment]:
    """The objects of a segment; none if it holds no whole record of answers."""
    import pyarrow.parquet as pq

    days: dict[str, _Day] = {}
    for table in maker.tables(path):
        for day, part in _by_day(table):
            if day not in days:
                out = io.BytesIO()
                days[day] = _Day(pq.ParquetWriter(out, maker.schema, **PARQUET), out)
            days[day].add(part)
    made = []
    for day, found in sorted(days.items()):
        found.flush()
        found.writer.close()
        key = object_key(project_name, day, (found.first, found.last), path.stem, again=found.again)
        made.append(Shipment(key, found.out.getvalue(), found.rows))
    return made


def _by_day(table: pa.Table) -> list[tuple[str, pa.Table]]:
    import pyarrow as pa
    import pyarrow.compute as pc

    from serving.prediction_log.segment import day_name

    days = pc.divide(table["time"].cast(pa.int64()), 86_400_000_000)
    numbers = sorted(pc.unique(days).to_pylist())
    if len(numbers) == 1:
        return [(day_name(numbers[0]), table)]
    return [(day_name(number), table.filter(pc.equal(days, number))) for number in numbers]
