"""``POST /predict`` in the API process: straight from ASGI to the model's process and back.

No framework stands in this path; everything else goes on to LitServe's FastAPI app.
"""

from __future__ import annotations

from time import perf_counter, time_ns
from typing import TYPE_CHECKING, Any

from serving import frames
from serving.bounds import MAX_BODY
from serving.decoding import RequestError, error_body
from serving.request_id import request_id

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from serving.keys import Key
    from serving.link import Link
    from serving.metrics import Metrics
    from serving.prediction_log.answered import AnsweredCounts

    Scope = dict[str, Any]
    Message = dict[str, Any]
    Receive = Callable[[], Awaitable[Message]]
    Send = Callable[[Message], Awaitable[None]]
    App = Callable[[Scope, Receive, Send], Awaitable[None]]

PATH = "/predict"
_TYPE = (b"content-type", b"application/json")
_HEADERS = {
    401: (b"www-authenticate", b"Bearer"),
    405: (b"allow", b"POST"),
    503: (b"retry-after", b"1"),
}


class Front:
    """The outermost ASGI app."""

    def __init__(
        self, app: App, link: Link, metrics: Metrics, key: Key, counts: AnsweredCounts | None
    ) -> None:
        """``counts``: where answers are counted, by which the prediction log is held complete."""
        self._app = app
        self._link = link
        self._metrics = metrics
        self._key = key
        self._counts = counts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["path"] == PATH:
            await self._predict(scope, receive, send)
        else:
            await self._app(scope, receive, send)

    async def _predict(self, scope: Scope, receive: Receive, send: Send) -> None:
        started = perf_counter()
        arrived = time_ns() // 1000
        headers: list[tuple[bytes, bytes]] = scope["headers"]
        name = request_id(headers, arrived)
        try:
            self._admit(scope["method"], headers)
            status, rows, answer = await self._link.ask(name, await _body(receive), arrived)
        except RequestError as error:
            status, rows = error.status, 0
            answer = error_body(str(error), name.decode(), error.row, error.field)
        except ConnectionResetError:  # the client went away: nobody is there to be answered
            return
        unlogged, status = status & frames.UNLOGGED, status & ~frames.UNLOGGED
        head = [_TYPE, (b"content-length", b"%d" % len(answer)), (b"x-request-id", name)]
        if status in _HEADERS:
            head.append(_HEADERS[status])
        await send({"type": "http.response.start", "status": status, "headers": head})
        await send({"type": "http.response.body", "body": answer})
        self._metrics.answered(status, rows, perf_counter() - started)
        if status == 200 and self._counts is not None:
            self._counts.add(arrived, rows, unlogged=bool(unlogged))

    def _admit(self, method: str, headers: list[tuple[bytes, bytes]]) -> None:
        """Raise ``RequestError`` (405, 401) unless it is a POST that carries the key, if there is one."""
        if method != "POST":
            raise RequestError(405, f"{PATH} takes POST")
        self._key.check(headers)


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
