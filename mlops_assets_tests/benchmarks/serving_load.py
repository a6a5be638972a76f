"""A load generator that costs little: raw HTTP/1.1 on asyncio, request bytes made beforehand.

As a process of its own: ``python -m mlops_assets_tests.benchmarks.serving_load`` with a ``Plan`` as JSON
on stdin; it prints a ``Result`` as JSON. Each connection asks again as soon as it has its answer.
"""

from __future__ import annotations

import asyncio
import contextlib
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import cast

import msgspec
import uvloop

ROOT = Path(__file__).parents[2]


class Plan(msgspec.Struct, kw_only=True):
    """What to send, how many at once, and for how long; ``pause`` seconds after each answer."""

    port: int
    path: str
    body: str
    connections: int = 32
    seconds: float = 3.0
    warmup: float = 0.5
    pause: float = 0.0
    headers: dict[str, str] = {}

    @property
    def request(self) -> bytes:
        """The request's bytes."""
        head = {
            "Host": f"127.0.0.1:{self.port}",
            "Content-Type": "application/json",
            "Content-Length": str(len(self.body.encode())),
            **self.headers,
        }
        lines = "".join(f"{name}: {value}\r\n" for name, value in head.items())
        return f"POST {self.path} HTTP/1.1\r\n{lines}\r\n".encode() + self.body.encode()


class Result(msgspec.Struct):
    """``failed``: answers other than 200, and connections that broke."""

    answered: int
    failed: int
    seconds: float
    p50_ms: float
    p99_ms: float

    @property
    def rate(self) -> float:
        """Answers a second."""
        return self.answered / self.seconds


class Load:
    """One run of a plan in this process; ``bodies`` holds what was answered if ``keep``."""

    def __init__(self, plan: Plan, *, keep: bool = False) -> None:
        self.plan = plan
        self.request = plan.request
        self.bodies: list[bytes] | None = [] if keep else None
        self.latencies: list[float] = []
        self.failures: list[str] = []
        self.stopping = False
        self._loop: asyncio.AbstractEventLoop | None = None
        self._enough = asyncio.Event()

    def stop(self) -> None:
        """End the run before its time, from any thread."""
        assert self._loop is not None, "it is not running"
        self._loop.call_soon_threadsafe(self._enough.set)

    async def run(self) -> Result:
        """Warm up, measure, and wait for the answers still due."""
        loop = self._loop = asyncio.get_running_loop()
        pairs = [
            await loop.create_connection(lambda: _Connection(self), "127.0.0.1", self.plan.port)
            for _ in range(self.plan.connections)
        ]
        await asyncio.sleep(self.plan.warmup)
        self.latencies.clear()
        failed_before = len(self.failures)
        started = time.perf_counter()
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._enough.wait(), self.plan.seconds)
        took = time.perf_counter() - started
        answered = len(self.latencies)
        failed = len(self.failures) - failed_before
        self.stopping = True
        await asyncio.wait([connection.idle for _, connection in pairs], timeout=30)
        for transport, _ in pairs:
            transport.close()
        ordered = sorted(self.latencies[:answered]) or [0.0]
        p99 = ordered[min(len(ordered) - 1, int(len(ordered) * 0.99))]
        return Result(answered, failed, took, statistics.median(ordered) * 1000, p99 * 1000)


class _Connection(asyncio.Protocol):
    def __init__(self, load: Load) -> None:
        self._load = load
        self._buffer = b""
        self.idle: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._ask()

    def _ask(self) -> None:
        if self._load.stopping:
            self._rest()
            return
        self._sent = time.perf_counter()
        self._transport.write(self._load.request)

    def data_received(self, data: bytes) -> None:
        buffer = self._buffer = self._buffer + data if self._buffer else data
        end = buffer.find(b"\r\n\r\n")
        if end < 0:
            return
        head = buffer[:end].lower()
        at = head.index(b"content-length:") + 15
        line_end = head.find(b"\r", at)
        size = int(head[at : line_end if line_end > 0 else len(head)])
        if len(buffer) < end + 4 + size:
            return
        self._buffer = b""
        self._answered(int(buffer[9:12]), buffer[end + 4 :])

    def _answered(self, status: int, body: bytes) -> None:
        load = self._load
        load.latencies.append(time.perf_counter() - self._sent)
        if status != 200:
            load.failures.append(f"{status} {body[:200].decode(errors='replace')}")
        elif load.bodies is not None:
            load.bodies.append(body)
        if load.plan.pause:
            asyncio.get_running_loop().call_later(load.plan.pause, self._ask)
        else:
            self._ask()

    def connection_lost(self, exc: Exception | None) -> None:
        if not self._load.stopping:
            self._load.failures.append(f"the connection was closed ({exc})")
        self._rest()

    def _rest(self) -> None:
        if not self.idle.done():
            self.idle.set_result(None)


def drive(plan: Plan) -> Result:
    """Run ``plan`` in a process of its own."""
    command = [sys.executable, "-m", "mlops_assets_tests.benchmarks.serving_load"]
    done = subprocess.run(
        command, input=msgspec.json.encode(plan), stdout=subprocess.PIPE, check=True, cwd=ROOT
    )
    return msgspec.json.decode(done.stdout, type=Result)


def main() -> None:
    plan = msgspec.json.decode(sys.stdin.buffer.read(), type=Plan)
    result = uvloop.run(Load(plan).run())
    sys.stdout.buffer.write(msgspec.json.encode(result))


if __name__ == "__main__":
    main()
