"""The shipper's process: ``python -m serving.prediction_log``, started by the server, one for each.

It ships until its standard input ends (the server has stopped), then once more, and ends. Killed, it is
started again and loses nothing: what is not shipped is still in the spool.
"""

from __future__ import annotations

import argparse
import logging
import os
import select
import signal
import sys
import time
from pathlib import Path

import msgspec

from serving.config import LOG_FORMAT, load_project
from serving.lifeline import die_with
from serving.prediction_log import lookup
from serving.prediction_log.bucket import open_lake
from serving.prediction_log.shipping import Shipping
from serving.prediction_log.spool import Spool
from serving.prediction_log.status import ShipperNote

LOOK_SECONDS = 0.5
LONGEST_WAIT = 15.0
"""Seconds between two tries while the bucket cannot be written."""

LAST_SECONDS = 10.0
"""How long a stopping server's shipper tries to ship the rest."""

NICE = 10

logger = logging.getLogger("serving.prediction_log")


class Shipper:
    """Ships one spool, again and again."""

    def __init__(self, spool: Spool, shipping: Shipping) -> None:
        self._spool = spool
        self._shipping = shipping
        self._error: str | None = None
        self._failures = 0
        self._before = _last_word(spool)

    def run(self) -> None:
        """Until standard input ends."""
        wait = 0.0
        while not _over(wait):
            wait = self.step()
        deadline = time.monotonic() + LAST_SECONDS
        # Several times, since what was answered is told after the segments that hold it are gone. If it
        # fails twice now, the bucket is down, and all of it waits for the next start.
        self._failures = 0
        while self._left() and self._failures < 2 and time.monotonic() < deadline:
            self.step()

    def _left(self) -> bool:
        return bool(self._spool.segments()) or any(self._spool.answered_folder.glob("[!.]*"))

    def step(self) -> float:
        """Ship what is there; the seconds until the next try."""
        try:
            self._shipping.ship()
        except Exception as error:  # noqa: BLE001 - whatever the client calls "down"; the spool keeps it
            self._failures += 1
            self._say(_first_line(error))
            self._shipping.forget_lake()
            return min(LOOK_SECONDS * 2.0**self._failures, LONGEST_WAIT)
        self._failures = 0
        self._say(None)
        return LOOK_SECONDS

    def _say(self, error: str | None) -> None:
        if error != self._error:
            logger.warning("nothing can be shipped: %s", error) if error else logger.info("shipping again")
        self._error = error
        shipped = self._before + self._shipping.shipped_rows
        note = ShipperNote(at=time.time(), error=error, shipped_rows=shipped)
        part = self._spool.shipper_note.with_suffix(".part")
        try:
            part.write_bytes(msgspec.json.encode(note))
            part.replace(self._spool.shipper_note)
        except OSError as problem:  # a full disk must not keep it from being emptied
            logger.debug("no note could be left: %s", problem)


def _last_word(spool: Spool) -> int:
    try:
        return msgspec.json.decode(spool.shipper_note.read_bytes(), type=ShipperNote).shipped_rows
    except (OSError, msgspec.MsgspecError):
        return 0


def _over(seconds: float) -> bool:
    """Wait; whether the server has stopped meanwhile."""
    ready, _, _ = select.select([sys.stdin], [], [], seconds)
    return bool(ready)


def _first_line(error: Exception) -> str:
    return f"{type(error).__name__}: {(str(error).splitlines() or [''])[0][:300]}"


def main() -> int:
    """Ship; the process's exit status."""
    parser = argparse.ArgumentParser(prog="python -m serving.prediction_log", description=__doc__)
    parser.add_argument("--project", required=True)
    parser.add_argument("--spool", type=Path, required=True)
    parser.add_argument("--lookup", type=Path, required=True, help="Unix socket to answer look-ups on")
    parser.add_argument("--parent", type=int, required=True)
    given = parser.parse_args()
    die_with(given.parent)
    # A signal to the whole group is for the server: it says by closing the pipe that all is written.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    logging.basicConfig(level=logging.INFO, format=LOG_FORMAT)
    os.nice(NICE)
    project = load_project(given.project)
    spool = Spool(given.spool)
    shipping = Shipping(project, spool, open_lake)
    lookup.serve(given.lookup, project, spool, shipping)
    Shipper(spool, shipping).run()
    return 0


if __name__ == "__main__":
    sys.exit(main())
