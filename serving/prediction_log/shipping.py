"""Brings the spool to the bucket: finished segments, then what was answered by the time they held it."""

from __future__ import annotations

import gc
import logging
import struct
from contextlib import suppress
from typing import TYPE_CHECKING

import msgspec

from serving.prediction_log import answered, convert, objects, record
from serving.prediction_log.record import Drops
from serving.prediction_log.rows import GROUP_ROWS, RowMaker
from serving.prediction_log.segment import finished, records

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from mlops_assets.project import Project
    from serving.prediction_log.bucket import Lake
    from serving.prediction_log.objects import Answered
    from serving.prediction_log.spool import Spool

logger = logging.getLogger(__name__)


class Shipping:
    """One spool's way to the bucket. Whatever ends it midway, it is done again, with the same result."""

    def __init__(self, project: Project, spool: Spool, lake: Callable[[], Lake]) -> None:
        """``lake`` is called when there is something to ship: it costs a second of imports."""
        self._project = project
        self._spool = spool
        self._make_lake = lake
        self._lake: Lake | None = None
        self._maker: RowMaker | None = None
        self._told: dict[str, Answered] = {}
        self._pending: _Pending | None = None
        self.shipped_rows = 0

    def ship(self) -> None:
        """Ship all that is finished. Raises what the client raises."""
        counts = self._pending or self._count()
        self._pending = counts
        segments = self._spool.segments()
        for path in segments:
            with finished(path) as free:
                if free:
                    self._ship_segment(path)
        if counts and counts.segments.isdisjoint(self._spool.segments()):
            self._tell(counts)
            self._pending = None

    def forget_lake(self) -> None:
        """Make a new client at the next need: the address or the keys may have changed."""
        self._lake = None

    @property
    def lake(self) -> Lake:
        if self._lake is None:
            self._lake = self._make_lake()
        return self._lake

    @property
    def maker(self) -> RowMaker:
        if self._maker is None:
            self._maker = RowMaker(self._project)
            # What is imported by now stays: looking through it again and again for what does not was a
            # third of the cost of shipping a row; looking through a table's rows before it is made, a tenth.
            gc.freeze()
            gc.set_threshold(20 * GROUP_ROWS)
        return self._maker

    def _ship_segment(self, path: Path) -> None:
        if (drops := _drops(path)) is not None:
            self._ship_drops(path.stem, drops)
        else:
            for shipment in convert.shipments(self.maker, self._project.name, path):
                self.lake.client.put_object(Bucket=self.lake.bucket, Key=shipment.key, Body=shipment.body)
                self.shipped_rows += shipment.rows
        path.unlink()

    def _ship_drops(self, segment: str, drops: Drops) -> None:
        for day, rows in drops.rows.items():
            counts = objects.Dropped(segment=segment, day=day, rows=rows)
            objects.put_dropped(self.lake.client, self.lake.bucket, self._project.name, counts)

    def _count(self) -> _Pending:
        """What was answered until now, and the segments of which some hold it."""
        found, final = [], set()
        for path in sorted(self._spool.answered_folder.glob("[!.]*")):
            with suppress(OSError, struct.error):
                last = answered.is_final(path)  # asked first: what is counted later, counts next time
                counts = answered.read(path)
                if last:
                    final.add(path)
                if last or self._told.get(path.name) != _undated(counts):
                    found.append((path, counts))
        return _Pending(found, final, set(self._spool.segments()))

    def _tell(self, pending: _Pending) -> None:
        for path, counts in pending.found:
            objects.put_answered(self.lake.client, self.lake.bucket, self._project.name, counts)
            self._told[path.name] = _undated(counts)
            if path in pending.final:
                path.unlink(missing_ok=True)
                del self._told[path.name]


class _Pending:
    """Counts that may be told once ``segments`` are gone."""

    def __init__(self, found: list[tuple[Path, Answered]], final: set[Path], segments: set[Path]) -> None:
        self.found = found
        self.final = final
        self.segments = segments


def _undated(counts: Answered) -> Answered:
    return msgspec.structs.replace(counts, as_of=0.0)


def _drops(path: Path) -> Drops | None:
    """What is left of a segment that was dropped; None if it was not."""
    for kind, payload in records(path):
        return msgspec.json.decode(payload, type=Drops) if kind == record.DROPPED else None
    return None
