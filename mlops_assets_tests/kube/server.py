"""The API over HTTP on loopback: what ``kubernetes.client`` and ``kubectl get`` ask for, and no more."""

from __future__ import annotations

import contextlib
import json
import re
import socket
import struct
import threading
from collections import Counter
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlsplit

from mlops_assets_tests.kube.objects import KINDS, RefusedError

if TYPE_CHECKING:
    from collections.abc import Callable

    from mlops_assets_tests.kube.faults import RequestFault
    from mlops_assets_tests.kube.objects import Object, Objects

_PATH = re.compile(r"/(?:api/v1|apis/batch/v1)(?:/namespaces/([^/]+))?/([a-z]+)(?:/([^/]+))?(?:/([a-z]+))?")
_NAMESPACE = re.compile(r"/api/v1/namespaces(?:/([^/]+))?")
_RESET = struct.pack("ii", 1, 0)


class ApiServer:
    """Serves ``objects``; pods' logs are read by ``log``.

    ``requests`` counts what was asked for, by verb and kind.
    """

    def __init__(self, objects: Objects, log: Callable[[Object], bytes]) -> None:
        self.objects = objects
        self.log = log
        self.faults: list[RequestFault] = []
        self.requests: Counter[str] = Counter()
        self.lock = threading.Lock()
        self._http = _Http(("127.0.0.1", 0), _Handler)
        self._http.api = self
        self._thread = threading.Thread(target=self._http.serve_forever, kwargs={"poll_interval": 0.1})

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self._http.server_port}"

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._http.shutdown()
        self._http.server_close()
        self._thread.join()

    def fault_for(self, verb: str, path: str, body: bytes) -> RequestFault | None:
        """What is to go wrong with a request; called once for each."""
        with self.lock:
            return next((fault for fault in self.faults if fault.is_for(verb, path, body)), None)


class _Http(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128
    api: ApiServer

    def handle_error(self, *_: Any) -> None:
        """A client that has hung up is no news."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: _Http

    def do_GET(self) -> None:
        self._answer("GET", self._get)

    def do_POST(self) -> None:
        self._answer("POST", self._post)

    def do_PATCH(self) -> None:
        self._answer("PATCH", self._patch)

    def do_DELETE(self) -> None:
        self._answer("DELETE", self._delete)

    def log_message(self, *_: Any) -> None:
        """Nothing: faults keep what happened to them."""

    def _answer(self, verb: str, do: Callable[[], tuple[int, Any]]) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self.body: Object = json.loads(body) if body else {}
        url = urlsplit(self.path)
        self.query = {name: values[-1] for name, values in parse_qs(url.query).items()}
        self.namespace, self.kind, self.name, self.part = _parts(url.path)
        self.server.api.requests[f"{verb} {self.kind}{f'/{self.part}' if self.part else ''}"] += 1
        fault = self.server.api.fault_for(verb, self.path, body)
        if fault is None or fault.done:
            answer = self._done(do)
        if fault is not None:
            if fault.status is None:
                self._reset()
                return
            reason = fault.reason or HTTPStatus(fault.status).phrase.replace(" ", "")
            answer = fault.status, _status(fault.status, reason, fault.message)
        self._send(*answer, retry_after=fault.retry_after if fault else None)

    def _done(self, do: Callable[[], tuple[int, Any]]) -> tuple[int, Any]:
        try:
            with self.server.api.objects.held():
                code, answer = do()
                return code, answer if isinstance(answer, bytes) else json.dumps(answer).encode()
        except RefusedError as error:
            return error.code, _status(error.code, error.reason, str(error))

    def _get(self) -> tuple[int, Any]:
        objects = self.server.api.objects
        if self.part == "log":
            return 200, self._log(objects.get("pods", self.namespace or "", self.name or ""))
        if self.name:
            return 200, objects.get(self.kind, self.namespace or "", self.name)
        found = objects.find(
            self.kind,
            self.namespace,
            self.query.get("labelSelector", ""),
            self.query.get("fieldSelector", ""),
        )
        version, kind = KINDS[self.kind]
        return 200, {"apiVersion": version, "kind": f"{kind}List", "metadata": {}, "items": found}

    def _post(self) -> tuple[int, Any]:
        if self.part == "eviction":
            return self._delete()
        return 201, self.server.api.objects.create(self.kind, self.namespace or "", self.body)

    def _patch(self) -> tuple[int, Any]:
        objects = self.server.api.objects
        found = objects.get(self.kind, self.namespace or "", self.name or "")
        _merge(found, self.body)
        objects.touch(found)
        return 200, found

    def _delete(self) -> tuple[int, Any]:
        objects = self.server.api.objects
        wanted = self.query | (self.body.get("deleteOptions") or self.body)
        grace = wanted.get("gracePeriodSeconds")
        options: dict[str, Any] = {
            "propagation": wanted.get("propagationPolicy", ""),
            "grace": None if grace is None else float(grace),
        }
        if self.name:
            gone = objects.delete(self.kind, self.namespace or "", self.name, **options)
            if self.kind == "pods":
                return 200, gone
            return 200, {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success"}
        listed = self._get()[1]
        for held in listed["items"]:
            objects.delete(self.kind, held["metadata"]["namespace"], held["metadata"]["name"], **options)
        return 200, listed

    def _log(self, pod: Object) -> bytes:
        container = (pod["status"].get("containerStatuses") or [{}])[0]
        if "waiting" in container.get("state", {"waiting": {}}):
            name = pod["metadata"]["name"]
            raise RefusedError(400, "BadRequest", f'container in pod "{name}" is waiting to start')
        lines = self.server.api.log(pod).splitlines(keepends=True)
        tail = self.query.get("tailLines")
        return b"".join(lines[-int(tail) :] if tail else lines)

    def _send(self, code: int, answer: bytes, retry_after: int | None) -> None:
        self.send_response(code)
        plain = self.part == "log" and code == HTTPStatus.OK
        self.send_header("Content-Type", "text/plain" if plain else "application/json")
        self.send_header("Content-Length", str(len(answer)))
        if retry_after is not None:
            self.send_header("Retry-After", str(retry_after))
        self.end_headers()
        self.wfile.write(answer)

    def _reset(self) -> None:
        """End the connection in the middle of it: the client sees "connection reset by peer"."""
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
        self.close_connection = True
        with contextlib.suppress(OSError):
            self.connection.close()
            self.rfile.close()


def _parts(path: str) -> tuple[str | None, str, str | None, str | None]:
    if found := _NAMESPACE.fullmatch(path):
        return None, "namespaces", found.group(1), None
    found = _PATH.fullmatch(path)
    if found is None or found.group(2) not in KINDS:
        return None, "nothing", "nothing", None
    namespace, kind, name, part = found.groups()
    return namespace, kind, name, part


def _merge(into: Object, patch: Object) -> None:
    """A JSON merge patch."""
    for name, value in patch.items():
        if value is None:
            into.pop(name, None)
        elif isinstance(value, dict) and isinstance(into.get(name), dict):
            _merge(into[name], value)
        else:
            into[name] = value


def _status(code: int, reason: str, message: str) -> bytes:
    told = {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure"}
    return json.dumps({**told, "message": message, "reason": reason, "code": code}).encode()
