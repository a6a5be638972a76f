"""``GET /predictions/{request_id}``: the shipper's process looks, so that /predict goes on undisturbed.

A request is one line of JSON over a Unix socket, the reply is all that follows: the HTTP status, a space,
and the body.
"""

from __future__ import annotations

import asyncio
import datetime as dt
import logging
import re
import socketserver
import threading
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import msgspec

from serving.prediction_log import reader
from serving.prediction_log.schema import RECEIVED, USED

if TYPE_CHECKING:
    from pathlib import Path

    from mlops_assets.project import Project
    from serving.prediction_log.shipping import Shipping
    from serving.prediction_log.spool import Spool

PATH = "/predictions/"
SECONDS = 30.0
AT_ONCE = 4
NAME = "lookup.sock"
_DAY = re.compile(r"\d{4}-\d\d-\d\d")

logger = logging.getLogger(__name__)


class Asked(msgspec.Struct):
    """``day``: ISO, where to look; None: everywhere that is likely."""

    request_id: str
    day: str | None = None


def bad_day(day: str | None) -> str | None:
    """What is wrong with ``?day=``, None if nothing is."""
    if day is None:
        return None
    with suppress(ValueError):
        if _DAY.fullmatch(day):
            dt.date.fromisoformat(day)
            return None
    return f"day={day} is no date: give it as YYYY-MM-DD (UTC)"


async def ask(address: Path, request_id: str, day: str | None) -> tuple[int, bytes]:
    """HTTP status and body, from the shipper's process; ``OSError`` or ``TimeoutError`` if it is not."""
    async with asyncio.timeout(SECONDS):
        source, sink = await asyncio.open_unix_connection(str(address))
        try:
            sink.write(msgspec.json.encode(Asked(request_id, day)) + b"\n")
            await sink.drain()
            status, _, body = (await source.read()).partition(b" ")
        finally:
            sink.close()
    if not body:
        raise ConnectionResetError("it ended in the middle of an answer")
    return int(status), body


def serve(address: Path, project: Project, spool: Spool, shipping: Shipping) -> None:
    """Answer look-ups in threads, from now on."""
    address.unlink(missing_ok=True)
    free = threading.BoundedSemaphore(AT_ONCE)

    class Handler(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            asked = msgspec.json.decode(self.rfile.readline(), type=Asked)
            with free:
                try:
                    status, body = look_up(project, spool, shipping, asked)
                except Exception as error:  # noqa: BLE001 - whatever the object store's client raises
                    logger.warning("request %s could not be looked up: %s", asked.request_id, error)
                    status, body = _error(503, asked, f"the prediction log cannot be read now: {error}")
            with suppress(OSError):  # who asked has gone
                self.wfile.write(b"%d " % status + body)

    server = socketserver.ThreadingUnixStreamServer(str(address), Handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, name="lookup", daemon=True).start()


def look_up(project: Project, spool: Spool, shipping: Shipping, asked: Asked) -> tuple[int, bytes]:
    """HTTP status and body. What is not shipped yet is looked at first: it is shipped before it goes."""
    rows = in_spool(spool, shipping, asked.request_id)
    if not rows:
        lake = shipping.lake
        rows = reader.find(lake.client, lake.bucket, project, asked.request_id, asked.day)
    if not rows:
        return _error(404, asked, _not_found(asked))
    answer = {"request_id": asked.request_id, "predictions": [_prediction(row) for row in rows]}
    return 200, msgspec.json.encode(answer)


def in_spool(spool: Spool, shipping: Shipping, request_id: str) -> list[dict[str, Any]]:
    """The request's rows that are not shipped yet."""
    name = request_id.encode()
    padded = name.ljust(32, b"\0")
    rows: list[dict[str, Any]] = []
    for path in reversed(spool.segments()):
        with suppress(FileNotFoundError):
            if name in path.read_bytes():
                rows += shipping.maker.rows_of(path, lambda head: head.request_id == padded)
    return reader.newest_rows(rows)


def _prediction(row: dict[str, Any]) -> dict[str, Any]:
    """A row as the answer has it: what was received and used as objects of their own."""
    nested: dict[str, dict[str, Any]] = {RECEIVED: {}, USED: {}}
    plain: dict[str, Any] = {}
    for name, value in row.items():
        prefix = next((prefix for prefix in nested if name.startswith(prefix)), None)
        if prefix is None:
            plain[name] = value
        else:
            nested[prefix][name.removeprefix(prefix)] = value
    return {
        **{name: plain[name] for name in ("row", "time", "version", "training_set")},
        **{prefix.rstrip("."): values for prefix, values in nested.items()},
        **{name: plain[name] for name in ("probability", "label", "unknown", "latency_seconds", "answer_id")},
    }


def _not_found(asked: Asked) -> str:
    if asked.day:
        return f"no request {asked.request_id} was answered on {asked.day} (UTC)"
    if reader.time_of_id(asked.request_id) is not None:
        return f"no request {asked.request_id} is in the prediction log"
    return (
        f"no request {asked.request_id} was answered in the last {reader.LOOK_BACK_DAYS} days, as far as the "
        f"newest {reader.MOST_OBJECTS:,} objects of the log say; if it is older, add ?day=YYYY-MM-DD"
    )


def _error(status: int, asked: Asked, message: str) -> tuple[int, bytes]:
    return status, msgspec.json.encode({"error": message, "request_id": asked.request_id})
