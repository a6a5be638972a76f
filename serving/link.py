"""The API process's end of the socket to the model's process."""

from __future__ import annotations

import asyncio
import logging
import secrets
from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

import msgspec

from serving import frames
from serving.decoding import RequestError
from serving.holder import Status
from serving.prediction_log.status import LogStatus

if TYPE_CHECKING:
    from pathlib import Path

RECONNECT_SECONDS = 0.05
SWEEP_SECONDS = 0.25
MOST_WAITING = 4096
"""Requests in flight; more are told to come back later, before memory runs out."""

MOST_BYTES = 256 * 1024 * 1024

logger = logging.getLogger(__name__)
Answered = tuple[int, int, bytes]
"""HTTP status (and ``frames.UNLOGGED``), rows answered, body."""


@dataclass(slots=True)
class _Waiting:
    future: asyncio.Future[Answered]
    asked: tuple[int, bytes, int]
    """Number, id, when it arrived."""

    body: bytes
    deadline: float
    sent: int = 0


class Link:
    """Asks the model's process, and asks a restarted one again: predicting twice does no harm."""

    def __init__(self, address: Path, answer_seconds: float) -> None:
        self._address = address
        self._answer_seconds = answer_seconds
        self._waiting: dict[int, _Waiting] = {}
        self._bytes = 0
        self._number = 0
        self._outbox: list[bytes] = []
        self._wire: asyncio.Transport | None = None
        self._tasks: list[asyncio.Task[None]] = []
        self.status: Status | None = None
        """What the model's process last said; None while there is no such process."""
        self.log = LogStatus()
        """What it last said of the prediction log."""
        self.dropped_rows = 0
        """Rows that the prediction log dropped at its bound, since the start."""
        self.server = secrets.token_bytes(8)
        """This process's own id: with a request's number it names the request for ever."""

    def start(self) -> None:
        """Connect in the background, and again whenever the connection is lost."""
        self._tasks = [asyncio.create_task(self._connect()), asyncio.create_task(self._sweep())]

    def stop(self) -> None:
        """Close the connection, which lets the model's process go."""
        for task in self._tasks:
            task.cancel()
        if self._wire is not None:
            self._wire.close()

    @property
    def in_flight(self) -> int:
        return len(self._waiting)

    def ask(self, request_id: bytes, body: bytes, arrived: int) -> asyncio.Future[Answered]:
        """The answer to ``body``, when it comes; ``arrived``: microseconds since 1970.

        Raises ``RequestError`` (503) if too many wait already; the future raises it if none comes in time.
        """
        if len(self._waiting) >= MOST_WAITING or self._bytes + len(body) > MOST_BYTES:
            raise RequestError(503, f"{len(self._waiting)} requests are waiting already; try again later")
        self._number += 1
        loop = asyncio.get_running_loop()
        asked = (self._number, request_id, arrived)
        waiting = _Waiting(loop.create_future(), asked, body, loop.time() + self._answer_seconds)
        self._waiting[self._number] = waiting
        self._bytes += len(body)
        if self._wire is not None:
            self._send(waiting, loop)
        return waiting.future

    def _send(self, waiting: _Waiting, loop: asyncio.AbstractEventLoop) -> None:
        waiting.sent += 1
        if not self._outbox:
            loop.call_soon(self._flush)
        number, request_id, arrived = waiting.asked
        head = frames.ASK.pack(len(waiting.body), number, request_id, self.server, arrived, waiting.sent)
        self._outbox.append(head + waiting.body)

    def _flush(self) -> None:
        if self._wire is not None and self._outbox:
            self._wire.write(b"".join(self._outbox) if len(self._outbox) > 1 else self._outbox[0])
        self._outbox.clear()

    def connected(self, wire: asyncio.Transport) -> None:
        """The model's process has spoken: send all that waits; what a lost one had is asked once more."""
        self._wire = wire
        loop = asyncio.get_running_loop()
        for number, waiting in list(self._waiting.items()):
            if waiting.sent > 1:
                # It was there at two deaths of the model's process: it may be what kills it.
                self._finish(number, RequestError(500, "the model's process ended twice on this request"))
            else:
                self._send(waiting, loop)

    def disconnected(self) -> None:
        self._wire = None
        self._outbox.clear()
        self.status = None
        self.log = LogStatus()  # the next model's process finds out by itself

    def received(self, wire: asyncio.Transport, number: int, status: int, rows: int, body: bytes) -> None:
        """One frame of the model's process."""
        if status == frames.STATUS:
            self.status = msgspec.json.decode(body, type=Status)
            if self._wire is None:
                self.connected(wire)
            return
        if status == frames.LOG:
            self.log = msgspec.json.decode(body, type=LogStatus)
            self.dropped_rows += self.log.dropped_rows
            return
        self._finish(number, (status, rows, body))

    def _finish(self, number: int, outcome: Answered | RequestError) -> None:
        waiting = self._waiting.pop(number, None)
        if waiting is None:
            return
        self._bytes -= len(waiting.body)
        if waiting.future.done():  # the client went away
            return
        if isinstance(outcome, RequestError):
            waiting.future.set_exception(outcome)
        else:
            waiting.future.set_result(outcome)

    async def _connect(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            try:
                _, wire = await loop.create_unix_connection(lambda: _Wire(self), str(self._address))
            except OSError:
                await asyncio.sleep(RECONNECT_SECONDS)
                continue
            if await wire.ended:
                logger.warning("the model's process went away; %d requests wait for the next", self.in_flight)
            await asyncio.sleep(RECONNECT_SECONDS)

    async def _sweep(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(SWEEP_SECONDS)
            now = loop.time()
            for number in [number for number, waiting in self._waiting.items() if waiting.deadline < now]:
                late = f"the model's process gave no answer in {self._answer_seconds:g} s"
                self._finish(number, RequestError(503, late))


class _Wire(asyncio.Protocol):
    """One connection."""

    def __init__(self, link: Link) -> None:
        self._link = link
        self._reader = frames.FrameReader(frames.ANSWER)
        self.ended: asyncio.Future[bool] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        wire = cast("asyncio.Transport", transport)  # uvloop's is one, but does not inherit from it
        wire.set_write_buffer_limits(high=frames.LARGEST)
        # Nothing is sent before the first status: the kernel connects to a process that is being
        # killed as well, and what is sent there would count as lost with it.
        self._wire = wire

    def data_received(self, data: bytes) -> None:
        received, wire = self._link.received, self._wire
        for (number, status, rows), body in self._reader.feed(data):
            received(wire, number, status, rows, body)

    def connection_lost(self, exc: Exception | None) -> None:
        del exc
        spoke = self._link.status is not None
        self._link.disconnected()
        if not self.ended.done():
            self.ended.set_result(spoke)
