"""Segments: the files of the spool. One process appends to one, and holds its lock meanwhile.

A segment that nobody holds locked is finished, however its writer ended. Its name begins with the time it
was begun, so that names sort by age; a file gets it only after it is locked.
"""

from __future__ import annotations

import fcntl
import os
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

import msgspec

from serving.prediction_log import record
from serving.prediction_log.record import Drops

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

SUFFIX = ".segment"


class ShortWriteError(OSError):
    """The file system took only a part."""


class OpenSegment:
    """The segment that is being written. A write that fails leaves what was there before it."""

    def __init__(self, folder: Path, name: str) -> None:
        """Raises ``OSError`` if the file cannot be made."""
        self.path = folder / f"{name}{SUFFIX}"
        self.begun = time.monotonic()
        self.size = 0
        made = folder / f".new-{name}"
        self._file = os.open(made, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX)
            made.rename(self.path)
        except OSError:
            os.close(self._file)
            made.unlink(missing_ok=True)
            raise

    def append(self, data: bytes, *, sync: bool = False) -> None:
        """Write ``data`` at the end; raises ``OSError``, and then nothing of it is left."""
        try:
            written = os.pwrite(self._file, data, self.size)
            if written < len(data):
                raise ShortWriteError(
                    f"only {written} of {len(data)} bytes could be written: the disk is full"
                )
            if sync:
                os.fdatasync(self._file)
        except OSError:
            # The rest of a record that was begun is no whole record, so a reader would stop there.
            os.ftruncate(self._file, self.size)
            raise
        self.size += len(data)

    def has_room(self, size: int) -> bool:
        """Whether ``size`` more bytes can be written now."""
        before = self.size
        try:
            self.append(bytes(size))
        except OSError:
            return False
        os.ftruncate(self._file, before)
        self.size = before
        return True

    def close(self) -> None:
        """Give it up: from here on it may be shipped."""
        if self.size == 0:
            self.path.unlink(missing_ok=True)
        os.close(self._file)


@contextmanager
def finished(path: Path) -> Iterator[bool]:
    """Hold a segment's lock, and whether that was possible: it is finished, and nobody else ships it."""
    try:
        file = os.open(path, os.O_RDONLY)
    except FileNotFoundError:
        yield False
        return
    try:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
        else:
            yield path.exists()
    finally:
        os.close(file)


def records(path: Path) -> Iterator[tuple[int, memoryview]]:
    """The whole records of a segment, in order: kind and payload. A torn end is left out.

    Raises ``FileNotFoundError`` if it was shipped meanwhile.
    """
    data = path.read_bytes()
    at = 0
    while (found := record.unseal(data, at)) is not None:
        kind, payload = found
        yield kind, payload
        if kind == record.DROPPED:
            return
        at += record.HEAD.size + len(payload)


def drop(path: Path) -> int:
    """Replace what the segment holds by how many rows that was; the number of rows.

    Needs no room on the disk, and a crash in the middle leaves either all of the rows or their number.
    Raises ``OSError``.
    """
    counts: dict[tuple[int, bytes], int] = {}
    for kind, payload in records(path):
        if kind == record.DROPPED:
            return 0
        if kind == record.BATCH:
            record.count_rows(payload, counts)
    days: dict[str, dict[str, int]] = {}
    for (day, server), rows in counts.items():
        days.setdefault(day_name(day), {})[server.hex()] = rows
    stone = record.seal(record.DROPPED, msgspec.json.encode(Drops(days)))
    file = os.open(path, os.O_WRONLY)
    try:
        os.pwrite(file, stone, 0)
        os.ftruncate(file, len(stone))
    finally:
        os.close(file)
    return sum(counts.values())


def day_name(days: int) -> str:
    """ISO date of a day counted from 1970-01-01."""
    return time.strftime("%Y-%m-%d", time.gmtime(days * 86_400))
