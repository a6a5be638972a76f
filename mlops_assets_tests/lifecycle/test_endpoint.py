"""The endpoint asset waits for the version that the champion is, and says what it saw instead."""

from __future__ import annotations

import json
import threading
import time
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING

import dagster as dg
import pytest

from mlops_assets.lifecycle.endpoint import wait_for_version
from mlops_assets_tests.services import free_port

if TYPE_CHECKING:
    from collections.abc import Iterator


@contextmanager
def server(*versions: str | None) -> Iterator[str]:
    """Answers ``/info`` with each of ``versions`` in turn, and with the last from then on."""
    left = list(versions)

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            version = left[0]
            if self.path == "/info" and len(left) > 1:
                left.pop(0)
            body = json.dumps({"version": version} if self.path == "/info" else {"status": "told"}).encode()
            self.send_response(200 if version else 503)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None: ...

    httpd = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=httpd.serve_forever, args=(0.05,))
    thread.start()
    try:
        yield f"http://127.0.0.1:{httpd.server_port}"
    finally:
        httpd.shutdown()
        thread.join()
        httpd.server_close()


def test_it_answers_with_the_version_at_once() -> None:
    with server("7") as url:
        assert wait_for_version(url, "7", 5)["version"] == "7"


def test_it_waits_until_the_version_is_swapped_in() -> None:
    with server(None, "6", "6", "7") as url:
        assert wait_for_version(url, "7", 10)["version"] == "7"


@pytest.mark.parametrize(("serving", "said"), [("6", "version 6"), (None, "version None")])
def test_another_version_fails_within_the_time_out_and_is_named(serving: str | None, said: str) -> None:
    with server(serving) as url:
        began = time.monotonic()
        with pytest.raises(dg.Failure) as caught:
            wait_for_version(url, "7", 0.5)
        assert 0.5 <= time.monotonic() - began < 5
        message = caught.value.description or ""
        for word in (url, "version 7", "0.5 s", said, "told"):
            assert word in message, message


def test_nobody_there_fails_within_the_time_out_and_is_said() -> None:
    url = f"http://127.0.0.1:{free_port()}"
    with pytest.raises(dg.Failure, match=r"did not answer with version 7 within 0\.5 s.*ConnectError"):
        wait_for_version(url, "7", 0.5)
