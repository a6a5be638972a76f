"""What the API process knows of the log: its size, how shipping goes, what was answered."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import msgspec

from serving.prediction_log.answered import AnsweredCounts
from serving.prediction_log.status import LogStatus, ShipperNote

if TYPE_CHECKING:
    from pathlib import Path

    from serving.prediction_log.spool import Size, Spool

LATE_SECONDS = 60.0
"""Rows that wait longer than this, or a shipper that is silent for longer, are not as it should be."""


class LogHealth(msgspec.Struct, frozen=True, kw_only=True):
    """The prediction log, as ``/health`` has it.

    ``behind``: nothing could be shipped for a minute; answers are logged on the disk. ``at_bound``: the disk
    is full, or the spool at its bound: ``refusing`` requests, or dropping rows, or answering unlogged, as
    set. ``error``: why. ``waiting_*``: what is not shipped yet, and since when.
    """

    status: Literal["ok", "behind", "at_bound"]
    refusing: bool = False
    error: str | None = None
    waiting_bytes: int = 0
    waiting_seconds: float | None = None


@dataclass(frozen=True)
class LogFigures:
    """What metrics tell of the log. Rows are counted since the start of their process or spool."""

    size: Size
    note: ShipperNote | None
    rows: int
    unlogged_rows: int

    @property
    def shipper_up(self) -> bool:
        """Whether the shipper speaks, and has no error."""
        return self.note is not None and self.note.error is None and time.time() - self.note.at < LATE_SECONDS

    @property
    def waiting_seconds(self) -> float | None:
        return None if self.size.oldest is None else max(time.time() - self.size.oldest, 0.0)


class LogView:
    """The API process's view of one endpoint's log."""

    def __init__(self, spool: Spool, server: bytes, lookup: Path) -> None:
        """``server``: the API process's own id; ``lookup``: the socket of the shipper's look-ups."""
        self.counts = AnsweredCounts(spool.answered_folder, server.hex())
        self.lookup = lookup
        self._spool = spool

    def figures(self) -> LogFigures:
        """The figures now; looks at the disk."""
        try:
            note = msgspec.json.decode(self._spool.shipper_note.read_bytes(), type=ShipperNote)
        except (OSError, msgspec.MsgspecError):
            note = None
        return LogFigures(self._spool.size(), note, self.counts.rows, self.counts.unlogged_rows)


def log_health(figures: LogFigures, status: LogStatus) -> LogHealth:
    """How the log is, from its figures and what the model's process last said of it."""
    note, waiting = figures.note, figures.waiting_seconds
    late = waiting is not None and waiting > LATE_SECONDS
    error = status.problem or (note.error if note else None)
    if error is None and late and not figures.shipper_up:
        error = "the shipper says nothing"
    return LogHealth(
        status="at_bound" if status.problem else "behind" if late and not figures.shipper_up else "ok",
        refusing=status.refusing,
        error=error,
        waiting_bytes=figures.size.bytes,
        waiting_seconds=None if waiting is None else round(waiting, 1),
    )
