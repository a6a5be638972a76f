"""How many rows were answered, counted where no kill of the API process can lose it.

One small file a day and API process, written through a memory map: what was counted is in the page cache at
once. The process holds the file's lock; without one, the count is final.
"""

from __future__ import annotations

import fcntl
import logging
import mmap
import os
import struct
import time
from typing import TYPE_CHECKING

from serving.prediction_log.objects import Answered
from serving.prediction_log.segment import day_name

if TYPE_CHECKING:
    from pathlib import Path

_COUNTS = struct.Struct("<QQQ")
"""Requests, rows, rows that are not in the log."""

DAY = 86_400_000_000
RETRY_SECONDS = 1.0

logger = logging.getLogger(__name__)


class AnsweredCounts:
    """The API process's count of what it answered with 200, by day of arrival (UTC)."""

    def __init__(self, folder: Path, server: str) -> None:
        self._folder = folder
        self._server = server
        self._days: dict[int, _Day] = {}
        self._day: _Day
        self._begins = -DAY
        self.rows = 0
        self.unlogged_rows = 0

    def add(self, arrived: int, rows: int, *, unlogged: bool) -> None:
        """Count an answer to a request that arrived then (microseconds since 1970)."""
        self.rows += rows
        not_logged = rows if unlogged else 0
        self.unlogged_rows += not_logged
        if not self._begins <= arrived < self._begins + DAY:
            self._day = self._turn_to(arrived // DAY)
            self._begins = arrived // DAY * DAY
        self._day.add(rows, not_logged)

    def _turn_to(self, number: int) -> _Day:
        if number in self._days:
            return self._days[number]
        # Requests of yesterday may still be in flight; those of the day before cannot be.
        for old in [old for old in self._days if old < number - 1]:
            self._days.pop(old).close()
        day = self._days[number] = _Day(self._folder / f"{self._server}-{day_name(number)}")
        return day


class _Day:
    """One file. Where it cannot be made (a full disk), counts are kept until it can."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._new = path.with_name(f".new-{path.name}")
        self._requests = self._rows = self._unlogged = 0
        self._map: mmap.mmap | None = None
        self._file = -1
        self._next_try = 0.0
        self._open()

    def add(self, rows: int, unlogged: int) -> None:
        self._requests += 1
        self._rows += rows
        self._unlogged += unlogged
        if self._map is None:
            self._open()
        if self._map is not None:
            _COUNTS.pack_into(self._map, 0, self._requests, self._rows, self._unlogged)

    def _open(self) -> None:
        if time.monotonic() < self._next_try:
            return
        self._next_try = time.monotonic() + RETRY_SECONDS
        try:
            self._file = self._file if self._file >= 0 else os.open(self._new, os.O_RDWR | os.O_CREAT, 0o600)
            # Written, not only made longer: a map of a file with holes ends the process on a full disk.
            if os.pwrite(self._file, bytes(_COUNTS.size), 0) < _COUNTS.size:
                return
            # Named only once it is locked: without a lock it would be taken for final.
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            self._new.rename(self._path)
            self._map = mmap.mmap(self._file, _COUNTS.size)
        except OSError as error:
            logger.warning("%s cannot be written, counting in memory: %s", self._path, error)

    def close(self) -> None:
        if self._map is not None:
            self._map.close()
            os.close(self._file)


def read(path: Path) -> Answered:
    """What a file says now. Raises ``OSError``, ``struct.error`` if it was never begun."""
    server, _, day = path.name.partition("-")
    as_of = time.time()
    requests, rows, unlogged = _COUNTS.unpack(path.read_bytes())
    return Answered(server=server, day=day, requests=requests, rows=rows, unlogged_rows=unlogged, as_of=as_of)


def is_final(path: Path) -> bool:
    """Whether its API process is gone, or has turned to another day."""
    with path.open("rb") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True
