"""The folder in which answers lie until they are shipped.

segments/<time>-<writer>-<number>.segment    records, see ``record``; one writer each
answered/<server>-<day>                      what was answered, see ``answered``
shipper.json                                 the shipper's last word
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import msgspec

from serving.prediction_log.segment import SUFFIX, drop, finished

if TYPE_CHECKING:
    from pathlib import Path


class Size(msgspec.Struct, frozen=True):
    """What lies there. ``oldest``: when the oldest segment was begun, seconds since 1970, if any."""

    segments: int = 0
    bytes: int = 0
    oldest: float | None = None


class Spool:
    """One endpoint's spool."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.segments_folder = folder / "segments"
        self.answered_folder = folder / "answered"
        self.shipper_note = folder / "shipper.json"

    def prepare(self) -> None:
        """Make the folders, clear away files that were never begun. Only the server's start may do so."""
        for folder in (self.segments_folder, self.answered_folder):
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            for left in folder.glob(".new-*"):
                left.unlink(missing_ok=True)

    def segments(self) -> list[Path]:
        """All segments, oldest first; the last may be still open."""
        return sorted(self.segments_folder.glob(f"*{SUFFIX}"))

    def size(self) -> Size:
        """How much lies there now."""
        found, total = 0, 0
        oldest = ""
        for path in self.segments():
            try:
                total += path.stat().st_size
            except FileNotFoundError:
                continue
            found += 1
            oldest = oldest or path.name
        return Size(found, total, begun_at(oldest) if oldest else None)

    def drop_oldest(self) -> int | None:
        """Drop the oldest finished segment that holds rows: their number, None if there is none.

        Raises ``OSError``.
        """
        for path in self.segments():
            with finished(path) as free:
                if free and (rows := drop(path)):
                    return rows
        return None


def segment_name(writer: str, number: int) -> str:
    """The name of a segment that ``writer`` begins now."""
    return f"{time.time_ns() // 1_000_000:013d}-{writer}-{number:06d}"


def begun_at(name: str) -> float:
    """When the segment of that name was begun, seconds since 1970."""
    return int(name.partition("-")[0]) / 1000
