"""Traffic that counts every answer and every failure, against a server that has both."""

from __future__ import annotations

import json
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, ClassVar

import pytest

from mlops_assets.demo.flights import Request
from mlops_assets.demo.traffic import SLOW, SLOW_FROM, Clock, Traffic

if TYPE_CHECKING:
    from collections.abc import Iterator


class Endpoint(BaseHTTPRequestHandler):
    """Answers as the endpoint does; what is asked for says how: ``version``, ``status``, ``rows``."""

    protocol_version = "HTTP/1.1"
    seen: ClassVar[list[tuple[int, str | None]]] = []

    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.seen.append((asked["number"], self.headers.get("X-API-Key")))
        if asked.get("hang_up"):
            self.close_connection = True
            return
        model = {"project": "p", "version": asked.get("version", "1")}
        answer = {
            "predictions": [{}] * asked.get("rows", 2),
            "model": model,
            "request_id": str(asked["number"]),
        }
        body = json.dumps(answer).encode()
        self.send_response(asked.get("status", 200))
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def url() -> Iterator[str]:
    Endpoint.seen.clear()
    server = ThreadingHTTPServer(("127.0.0.1", 0), Endpoint)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    thread.join()
    server.server_close()


def requests(count: int, **asked: object) -> list[Request]:
    return [
        Request(number / count, 2, json.dumps({"number": number, **asked}).encode())
        for number in range(count)
    ]


def test_every_answer_is_counted_by_version(url: str) -> None:
    with Traffic(url, "secret") as traffic:
        traffic.send(requests(40), 0.1).result(20)
        traffic.send(requests(10, version="2"), 0.1).result(20)
    tally = traffic.tally
    assert (tally.requests, tally.failed, tally.failures) == (50, 0, [])
    rows = {version: sum(n for (_, v), n in tally.copy().items() if v == version) for version in ("1", "2")}
    assert rows == {"1": 80, "2": 20}
    assert set(tally.last) == {"1", "2"}
    assert sorted(number for number, _ in Endpoint.seen) == sorted([*range(40), *range(10)])
    assert {key for _, key in Endpoint.seen} == {"secret"}


@pytest.mark.parametrize(
    ("asked", "why"),
    [({"status": 503}, "503"), ({"rows": 1}, "1 predictions for 2 flights"), ({"hang_up": True}, "Error")],
)
def test_what_is_not_answered_as_it_should_be_has_failed(
    url: str, asked: dict[str, object], why: str
) -> None:
    with Traffic(url) as traffic:
        traffic.send(requests(5, **asked), 0.05).result(20)
    assert (traffic.tally.requests, traffic.tally.failed) == (5, 5)
    assert why in traffic.tally.failures[0]
    assert traffic.tally.rows == {}


def test_a_server_that_is_gone_is_a_failure_too() -> None:
    with Traffic("http://127.0.0.1:9") as traffic:
        traffic.send(requests(3), 0.05).result(20)
    assert traffic.tally.failed == 3


def test_requests_keep_to_their_time(url: str) -> None:
    with Traffic(url) as traffic:
        began = time.monotonic()
        traffic.send(requests(10), 1.0).result(20)
        took = time.monotonic() - began
    assert 0.85 < took < 5


def test_closing_stops_what_is_not_sent_yet(url: str) -> None:
    with Traffic(url) as traffic:
        sending = traffic.send(requests(1000), 600)
        time.sleep(0.3)
    sending.result(5)
    assert 0 < traffic.tally.requests < 1000
    assert traffic.tally.failed == 0


def test_the_last_part_of_a_month_passes_slowly_while_the_platform_is_at_work() -> None:
    now, slow = [0.0], [True]
    clock = Clock(100, lambda: slow[0], lambda: now[0])
    now[0] = 100 * SLOW_FROM + 1
    before = clock.place()
    assert before == pytest.approx(SLOW_FROM + 0.01)
    now[0] += SLOW
    assert clock.place() == pytest.approx(before + 0.01)
    slow[0] = False
    now[0] += 1
    assert clock.place() == pytest.approx(before + 0.02)
