"""Live traffic: requests in order of time over several connections, and a tally of every answer.

It runs in a thread of its own, so that whoever watches the platform meanwhile does not hold it up.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Self

import httpx

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from concurrent.futures import Future

    from mlops_assets.demo.flights import Request

CONNECTIONS = 4
TIMEOUT_SECONDS = 30.0
TICK_SECONDS = 0.02
SLOW = 25.0
"""How much slower the last part of a month passes while something is awaited: requests become few, but
there are some for minutes."""
SLOW_FROM = 0.75
FAILURES_KEPT = 20


@dataclass
class Tally:
    """What came of the requests. Written by the traffic's thread, read by any.

    ``rows``: (second since 1970, version) -> rows answered. ``failures``: what went wrong, the first
    ``FAILURES_KEPT``. ``last``: version -> request id of its last answer.
    """

    requests: int = 0
    failed: int = 0
    rows: Counter[tuple[int, str]] = field(default_factory=Counter)
    failures: list[str] = field(default_factory=list)
    slowest: float = 0.0
    last: dict[str, str] = field(default_factory=dict)

    def answered(self, version: str, rows: int, request_id: str, seconds: float) -> None:
        self.requests += 1
        self.rows[int(time.time()), version] += rows
        self.slowest = max(self.slowest, seconds)
        self.last[version] = request_id

    def fail(self, why: str) -> None:
        self.requests += 1
        self.failed += 1
        if len(self.failures) < FAILURES_KEPT:
            self.failures.append(f"{time.strftime('%H:%M:%S')} {why}")

    def copy(self) -> dict[tuple[int, str], int]:
        """``rows`` as they are now, while more are counted."""
        return dict(self.rows)


class Traffic:
    """Sends months of requests to ``url``. Leave by ``close`` or a ``with`` block."""

    def __init__(self, url: str, key: str | None = None, connections: int = CONNECTIONS) -> None:
        self.tally = Tally()
        self._url, self._connections = f"{url}/predict", connections
        self._headers = {"Content-Type": "application/json"} | ({"X-API-Key": key} if key else {})
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="traffic", daemon=True)
        self._thread.start()
        self._stopped = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def send(
        self, requests: Sequence[Request], seconds: float, slow: Callable[[], bool] = lambda: False
    ) -> Future[None]:
        """Begin to send ``requests`` within ``seconds``, each at its place; done when all are answered.

        ``slow`` is asked during the last part: as long as it is true, time passes more slowly. A request
        that is not answered with 200 is counted as failed and not sent again.
        """
        return asyncio.run_coroutine_threadsafe(self._send(requests, Clock(seconds, slow)), self._loop)

    def close(self) -> None:
        """Stop sending; what was sent is still answered."""
        self._stopped = True
        if self._thread.is_alive():
            asyncio.run_coroutine_threadsafe(self._drain(), self._loop).result(TIMEOUT_SECONDS + 5)
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join()
            self._loop.close()

    async def _send(self, requests: Sequence[Request], clock: Clock) -> None:
        # A short queue: when the endpoint is slow, time waits for it, and nothing piles up.
        queue: asyncio.Queue[Request | None] = asyncio.Queue(self._connections)
        limits = httpx.Limits(max_connections=self._connections)
        async with httpx.AsyncClient(limits=limits, timeout=TIMEOUT_SECONDS, headers=self._headers) as client:
            workers = [asyncio.create_task(self._work(client, queue)) for _ in range(self._connections)]
            for request in requests:
                while not self._stopped and clock.place() < request.place:  # noqa: ASYNC110 - time passes
                    await asyncio.sleep(TICK_SECONDS)
                if self._stopped:
                    break
                await queue.put(request)
            for _ in workers:
                await queue.put(None)
            await asyncio.gather(*workers)

    async def _work(self, client: httpx.AsyncClient, queue: asyncio.Queue[Request | None]) -> None:
        while (request := await queue.get()) is not None:
            await self._ask(client, request)

    async def _ask(self, client: httpx.AsyncClient, request: Request) -> None:
        began = time.monotonic()
        try:
            answer = await client.post(self._url, content=request.body)
            if answer.status_code != httpx.codes.OK:
                self.tally.fail(f"{answer.status_code}: {answer.text[:200]}")
                return
            said = answer.json()
        except (httpx.HTTPError, ValueError) as error:
            self.tally.fail(repr(error))
            return
        rows = len(said["predictions"])
        if rows != request.rows:
            self.tally.fail(f"{rows} predictions for {request.rows} flights")
            return
        self.tally.answered(
            str(said["model"]["version"]), rows, str(said["request_id"]), time.monotonic() - began
        )

    async def _drain(self) -> None:
        mine = asyncio.current_task()
        await asyncio.gather(*(t for t in asyncio.all_tasks() if t is not mine), return_exceptions=True)


class Clock:
    """How far a month has passed, from 0 to 1 and on; ``slow`` may stretch its last part."""

    def __init__(
        self, seconds: float, slow: Callable[[], bool], now: Callable[[], float] = time.monotonic
    ) -> None:
        self._seconds, self._slow, self._now = seconds, slow, now
        self._place, self._seen = 0.0, now()

    def place(self) -> float:
        now = self._now()
        step = (now - self._seen) / self._seconds
        self._place += step / SLOW if self._place > SLOW_FROM and self._slow() else step
        self._seen = now
        return self._place
