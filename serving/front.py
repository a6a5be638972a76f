"""``POST /predict`` in the API process: straight from ASGI to the model's process and back.

No framework stands in this path; everything else goes on to LitServe's FastAPI app.
"""

from __future__ import annotations

import hmac
import re
import uuid
from time import perf_counter
from typing import TYPE_CHECKING, Any

from serving.config import MAX_BODY
from serving.decoding import RequestError, error_body

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable

    from serving.link import Link
    from serving.metrics import Metrics

    Scope = dict[str, Any]
    Message = dict[str, Any]
    Receive = Callable[[], Awaitable[Message]]
    Send = Callable[[Message], Awaitable[None]]
    App = Callable[[Scope, Receive, Send], Awaitable[None]]

PATH = "/predict"
_SANE_ID = re.compile(rb"[A-Za-z0-9._:-]{1,32}")
_TYPE = (b"content-type", b"application/json")
_HEADERS = {
    401: (b"www-authenticate", b"Bearer"),
    405: (b"allow", b"POST"),
    503: (b"retry-after", b"1"),
}


class Front:
    """The outermost ASGI app."""

    def __init__(self, app: App, link: Link, metrics: Metrics, api_key: str | None) -> None:
        self._app = app
        self._link = link
        self._metrics = metrics
        self._key = api_key.encode() if api_key else None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["path"] == PATH:
            await self._predict(scope, receive, send)
        else:
            await self._app(scope, receive, send)

    async def _predict(self, scope: Scope, receive: Receive, send: Send) -> None:
        started = perf_counter()
        headers: list[tuple[bytes, bytes]] = scope["headers"]
        request_id = _request_id(headers)
        try:
            self._admit(scope["method"], headers)
            status, rows, answer = await self._link.ask(request_id, await _body(receive))
        except RequestError as error:
            status, rows = error.status, 0
            answer = error_body(str(error), request_id.decode(), error.row, error.field)
        except ConnectionResetError:  # the client went away: nobody is there to be answered
            return
        head = [_TYPE, (b"content-length", b"%d" % len(answer)), (b"x-request-id", request_id)]
        if status in _HEADERS:
            head.append(_HEADERS[status])
        await send({"type": "http.response.start", "status": status, "headers": head})
        await send({"type": "http.response.body", "body": answer})
        self._metrics.answered(status, rows, perf_counter() - started)

    def _admit(self, method: str, headers: Iterable[tuple[bytes, bytes]]) -> None:
        """Raise ``RequestError`` (405, 401) unless it is a POST that carries the key, if there is one."""
        if method != "POST":
            raise RequestError(405, f"{PATH} takes POST")
        if self._key is None:
            return
        for name, value in headers:
            given = value if name == b"x-api-key" else None
            if name == b"authorization" and value[:7].lower() == b"bearer ":
                given = value[7:].strip()
            if given is not None and hmac.compare_digest(given, self._key):
                return
        raise RequestError(401, "send the API key as X-API-Key, or as Authorization: Bearer")


def _request_id(headers: Iterable[tuple[bytes, bytes]]) -> bytes:
    for name, value in headers:
        if name == b"x-request-id" and _SANE_ID.fullmatch(value):
            return value
    return uuid.uuid4().hex.encode()


async def _body(receive: Receive) -> bytes:
    """The whole body; raises ``RequestError`` (413) past ``MAX_BODY``."""
    message = await receive()
    if message["type"] == "http.disconnect":
        raise ConnectionResetError
    body: bytes = message.get("body", b"")
    if message.get("more_body"):
        parts, size = [body], len(body)
        while message.get("more_body"):
            message = await receive()
            if message["type"] == "http.disconnect":
                raise ConnectionResetError
            parts.append(message.get("body", b""))
            size += len(parts[-1])
            if size > MAX_BODY:
                break
        body = b"".join(parts)
    if len(body) > MAX_BODY:
        raise RequestError(413, f"the body is larger than {MAX_BODY:,} bytes; send fewer rows a request")
    return body
