"""A finished segment as Parquet: one object a day, by the same name and with the same content every time."""

from __future__ import annotations

import io
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from serving.prediction_log.objects import object_key, parquet_options
from serving.prediction_log.segment import day_name

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import pyarrow as pa

    from serving.prediction_log.rows import RowMaker

_DAY = 86_400_000_000


@dataclass
class Shipment:
    """One object, ready to be put."""

    key: str
    body: bytes
    rows: int


class _Day:
    """The rows of one day, written as they come: as a table only a group of them is in memory."""

    def __init__(self, schema: pa.Schema) -> None:
        import pyarrow.parquet as pq

        self.rows = 0
        self.first, self.last = 2**63, 0
        self.again = False
        self._out = io.BytesIO()
        self._writer: Any = pq.ParquetWriter(self._out, schema, **parquet_options(schema))

    def add(self, table: pa.Table) -> None:
        import pyarrow.compute as pc

        times = pc.min_max(table["time"])
        self.first = min(self.first, times["min"].value // 1000)
        self.last = max(self.last, times["max"].value // 1000)
        self.again = self.again or pc.max(table["attempt"]).as_py() > 1
        self.rows += table.num_rows
        self._writer.write_table(table)

    def finish(self) -> bytes:
        self._writer.close()
        return self._out.getvalue()


def shipments(maker: RowMaker, project_name: str, path: Path) -> list[Shipment]:
    """The objects of a segment; none if it holds no whole record of answers."""
    days: dict[str, _Day] = {}
    for table in maker.tables(path):
        for name, part in _by_day(table):
            if name not in days:
                days[name] = _Day(maker.schema)
            days[name].add(part)
    return [
        Shipment(
            object_key(project_name, name, (day.first, day.last), path.stem, again=day.again),
            day.finish(),
            day.rows,
        )
        for name, day in sorted(days.items())
    ]


def _by_day(table: pa.Table) -> Iterator[tuple[str, pa.Table]]:
    import pyarrow as pa
    import pyarrow.compute as pc

    days = pc.divide(table["time"].cast(pa.int64()), _DAY)
    numbers = sorted(pc.unique(days).to_pylist())
    for number in numbers:
        yield day_name(number), table if len(numbers) == 1 else table.filter(pc.equal(days, number))
