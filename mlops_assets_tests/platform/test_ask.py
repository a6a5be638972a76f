from __future__ import annotations

import io
import json
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import TYPE_CHECKING, Any

import pytest

from mlops_assets.catalog import get_project
from mlops_assets.platform.ask import AskError, predict, request_body
from mlops_assets.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

PROJECT = get_project("flight_delays")


@pytest.mark.parametrize("text", ['{"a": 1}', '[{"a": 1}]', '{"instances": [{"a": 1}]}'])
def test_one_a_list_or_a_whole_request(text: str) -> None:
    assert request_body(text) == {"instances": [{"a": 1}]}


def test_from_a_file_and_from_stdin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "one.json"
    file.write_text('{"a": 1}')
    assert request_body(f"@{file}") == {"instances": [{"a": 1}]}
    monkeypatch.setattr("sys.stdin", io.StringIO('[{"a": 1}, {"a": 2}]'))
    assert request_body("-") == {"instances": [{"a": 1}, {"a": 2}]}


@pytest.mark.parametrize(
    ("text", "why"), [("{a: 1}", "not JSON"), ("7", "JSON object"), ("@gone.json", "no file")]
)
def test_what_is_no_request_is_said(text: str, why: str) -> None:
    with pytest.raises(AskError, match=why):
        request_body(text)


class _Endpoint(BaseHTTPRequestHandler):
    """Answers what the test says, after checking the key as the real endpoint does."""

    status, body = 200, b"{}"

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        known = self.headers.get("X-API-Key") == "the-key-of-tests"
        body = self.body if known else json.dumps({"error": "no key"}).encode()
        self.send_response(self.status if known else 401)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *arguments: Any) -> None:
        pass


@pytest.fixture
def port() -> Iterator[int]:
    server = HTTPServer(("127.0.0.1", 0), _Endpoint)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server.server_port - PROJECT.endpoint.port_offset
    server.shutdown()
    server.server_close()


def _settings(port: int, key: str | None = "the-key-of-tests") -> Settings:
    return Settings(_env_file=None, endpoint_base_port=port, endpoint_api_key=key)


def test_the_answer_and_the_key(port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_Endpoint, "body", b'{"predictions": [1]}')
    assert predict(_settings(port), PROJECT, '{"a": 1}') == {"predictions": [1]}
    with pytest.raises(AskError, match=r"401: no key .*MLOPS_ENDPOINT_API_KEY"):
        predict(_settings(port, key=None), PROJECT, '{"a": 1}')


def test_a_refusal_is_readable(port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_Endpoint, "status", 422)
    monkeypatch.setattr(_Endpoint, "body", b'{"error": "row 0: field origin is missing"}')
    with pytest.raises(AskError, match="422: row 0: field origin is missing"):
        predict(_settings(port), PROJECT, '{"a": 1}')
    monkeypatch.setattr(_Endpoint, "status", 503)
    with pytest.raises(AskError, match="no champion"):
        predict(_settings(port), PROJECT, '{"a": 1}')


def test_an_endpoint_that_is_down_is_said_to_be() -> None:
    with pytest.raises(AskError, match="mlops status"):
        predict(_settings(1), PROJECT, '{"a": 1}')
