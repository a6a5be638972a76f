"""The model's process: LitServe's verbs, and the loop that calls them with all requests that wait."""

from __future__ import annotations

import logging
import os
import signal
import socket
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import litserve as ls
import msgspec
import numpy as np
from litserve.callbacks import EventTypes
from litserve.loops import LitLoop

from serving import frames
from serving.config import LOG_FORMAT, load_project
from serving.decoding import RequestDecoder, RequestError, error_body, misfit_column
from serving.fields import Columns
from serving.holder import Holder, Served
from serving.lifeline import die_with
from serving.store import Store

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from litserve.callbacks import CallbackRunner

    from serving.config import Config
    from serving.predictor import Predicted

READ_BYTES = 256 * 1024
BATCH_ROWS = 1024
"""Rows after which a batch is closed: those that wait behind it must not wait for ever."""

LARGE_ROWS = 256
"""Rows from which a batch is predicted in a thread of its own: while the model runs, which needs no
GIL, the next requests are decoded, and small ones are answered. Below it, the hand-over costs more."""

SWITCH_SECONDS = 0.0005
"""The GIL's interval: a thread that comes back from the model is not to wait 5 ms for it."""

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Asked:
    """A request that was decoded."""

    number: int
    request_id: str
    rows: Sequence[msgspec.Struct]


class EndpointAPI(ls.LitAPI):  # type: ignore[misc]
    """LitServe's verbs for any project: decode a request, predict a batch, encode each answer."""

    def __init__(self, config: Config, address: Path) -> None:
        """``address``: the Unix socket on which the API process finds this one."""
        super().__init__(loop=BatchLoop())
        self.config = config
        self.address = address
        self.parent = os.getpid()

    def setup(self, device: str) -> None:
        """Load the last good version from the local store and follow the champion from there on."""
        del device
        die_with(self.parent)
        logging.basicConfig(level=logging.INFO, format=LOG_FORMAT)
        project = load_project(self.config.project)
        instance = project.features.instance
        self.row = row_type(project.endpoint.positive)
        self.decoder = RequestDecoder(instance)
        self.columns = Columns(instance)
        self.channel = Channel(self.address)
        self.large = ThreadPoolExecutor(1, thread_name_prefix="large")
        sys.setswitchinterval(SWITCH_SECONDS)
        self.holder = Holder(Store(self.config.store), project, changed=self._tell)
        self.holder.start()

    def _tell(self) -> None:
        self.channel.send(status_frame(self.holder))

    def decode_request(self, request: bytes, **_: Any) -> Sequence[msgspec.Struct]:
        """The rows of a body; raises ``RequestError``."""
        return self.decoder.decode(request)

    def predict(self, x: Served, **kwargs: Any) -> Predicted:
        """Predict ``rows`` with the version ``x``; raises ``ValueError`` for values no column can hold."""
        return x.predictor.predict_canonical(self.columns.of(kwargs["rows"]))

    def encode_response(self, output: Answer, **_: Any) -> bytes:
        """The JSON of one answer."""
        return output.encode()


@dataclass(frozen=True)
class Answer:
    """A request's part of a batch's predictions: a row for each of its own."""

    served: Served
    request_id: str
    rows: list[Any]

    def encode(self) -> bytes:
        """The answer's JSON."""
        body = {
            "predictions": self.rows,
            "model": msgspec.Raw(self.served.model_json),
            "request_id": self.request_id,
        }
        return msgspec.json.encode(body)


def row_type(label: str) -> type[msgspec.Struct]:
    """A row of an answer; ``label`` names the positive class, ``unknown`` is only there if some are."""
    unknown = ("unknown", list[str] | msgspec.UnsetType, msgspec.UNSET)
    return msgspec.defstruct("Row", [(label, bool), ("probability", float), unknown])


def split(
    served: Served, predicted: Predicted, batch: Sequence[Asked], row: type[msgspec.Struct]
) -> list[Answer]:
    """Each request's part of what one run of the model predicted for all of them."""
    positive = (predicted.probability >= served.loaded.threshold).tolist()
    rows: list[Any] = list(map(row, positive, predicted.probability.tolist()))
    for name, marks in predicted.unknown.items():
        if marks.any():
            for number in np.flatnonzero(marks).tolist():
                earlier = rows[number].unknown
                rows[number].unknown = [name] if earlier is msgspec.UNSET else [*earlier, name]
    answers, start = [], 0
    for asked in batch:
        end = start + len(asked.rows)
        answers.append(Answer(served, asked.request_id, rows[start:end]))
        start = end
    return answers


def status_frame(holder: Holder) -> bytes:
    body = msgspec.json.encode(holder.status)
    return frames.ANSWER.pack(len(body), 0, frames.STATUS, 0) + body


class Channel:
    """The socket to the API process. Sending is safe from several threads."""

    def __init__(self, address: Path) -> None:
        address.unlink(missing_ok=True)
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(address))
        self._listener.listen(1)
        self._lock = threading.Lock()
        self._peer: socket.socket | None = None
        self._stopping = False
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.signal(signal.SIGTERM, self._stop)

    def _stop(self, _number: int, _frame: Any) -> None:
        """Go once the API process has gone: it may be draining requests that this process must answer."""
        if self._peer is None:
            os._exit(0)
        self._stopping = True
        signal.signal(signal.SIGALRM, lambda *_: os._exit(0))
        signal.alarm(60)

    def accept(self, first: bytes) -> socket.socket:
        """The API process's next connection; ``first`` is sent on it at once."""
        if self._stopping:
            os._exit(0)
        peer, _ = self._listener.accept()
        with self._lock:
            self._peer = peer
            peer.sendall(first)
        return peer

    def send(self, data: bytes) -> None:
        """Send to the API process, if it is connected."""
        with self._lock:
            if self._peer is not None:
                try:
                    self._peer.sendall(data)
                except OSError:
                    logger.debug("the API process went away; it will ask again")

    def close(self) -> None:
        with self._lock:
            if self._peer is not None:
                self._peer.close()
            self._peer = None
        if self._stopping:
            os._exit(0)


class BatchLoop(LitLoop):  # type: ignore[misc]
    """Answers whatever has arrived in one run of the model; LitServe calls ``run`` for ever."""

    def run(  # noqa: PLR0913 - LitServe's signature
        self,
        lit_api: EndpointAPI,
        device: str,
        worker_id: int,
        request_queue: Any,
        transport: Any,
        workers_setup_status: Any,
        callback_runner: CallbackRunner,
    ) -> None:
        """Serve one connection of the API process, to its end."""
        del device, worker_id, request_queue, transport, workers_setup_status
        peer = lit_api.channel.accept(status_frame(lit_api.holder))
        reader = frames.FrameReader(frames.ASK)
        try:
            while data := peer.recv(READ_BYTES):
                self._answer_all(lit_api, reader, data, callback_runner)
        except (OSError, frames.FrameError) as error:
            logger.warning("the API process's connection ended: %s", error)
        finally:
            lit_api.channel.close()

    def _answer_all(
        self, api: EndpointAPI, reader: frames.FrameReader, data: bytes, callbacks: CallbackRunner
    ) -> None:
        batch: list[Asked] = []
        done: list[bytes] = []
        rows = 0
        for (number, request_id), body in reader.feed(data):
            name = request_id.rstrip(b"\0").decode("ascii")  # type: ignore[attr-defined]
            try:
                asked = Asked(number, name, api.decode_request(body))
            except RequestError as error:
                done.append(refuse(number, name, error))
                continue
            batch.append(asked)
            rows += len(asked.rows)
            if rows >= BATCH_ROWS:
                self._answer(api, batch, done, callbacks)
                batch, done, rows = [], [], 0
        self._answer(api, batch, done, callbacks)

    def _answer(
        self, api: EndpointAPI, batch: list[Asked], done: list[bytes], callbacks: CallbackRunner
    ) -> None:
        """Send ``done``, and the answers to ``batch`` as soon as they are there."""
        if sum(len(asked.rows) for asked in batch) >= LARGE_ROWS:
            api.large.submit(lambda: api.channel.send(b"".join(answer(api, batch, callbacks))))
        elif batch:
            done += answer(api, batch, callbacks)
        if done:
            api.channel.send(b"".join(done))


def answer(api: EndpointAPI, batch: Sequence[Asked], callbacks: CallbackRunner) -> list[bytes]:
    """The frames that answer ``batch``, all by the version that is in use now."""
    served = api.holder.current
    if served is None:
        error = RequestError(503, "no model is loaded yet: there is no champion, or it cannot be reached")
        return [refuse(asked.number, asked.request_id, error) for asked in batch]
    rows = batch[0].rows if len(batch) == 1 else [row for asked in batch for row in asked.rows]
    try:
        callbacks.trigger_event(EventTypes.BEFORE_PREDICT.value, lit_api=api)
        predicted = api.predict(served, rows=rows)
        callbacks.trigger_event(EventTypes.AFTER_PREDICT.value, lit_api=api)
    except Exception as error:  # noqa: BLE001 - a project's transform may raise anything
        if len(batch) > 1:  # one request's rows must not fail the others'
            return [frame for asked in batch for frame in answer(api, [asked], callbacks)]
        return [refuse(batch[0].number, batch[0].request_id, _failure(api, rows, error))]
    return [
        _frame(asked.number, 200, len(asked.rows), api.encode_response(part))
        for asked, part in zip(batch, split(served, predicted, batch, api.row), strict=True)
    ]


def _failure(api: EndpointAPI, rows: Sequence[msgspec.Struct], error: Exception) -> RequestError:
    if isinstance(error, OverflowError):
        return misfit_column(rows, [field.name for field in api.columns.fields], error)
    logger.error("a prediction failed", exc_info=error)
    return RequestError(500, "the model failed on these rows; the server's log says why")


def refuse(number: int, request_id: str, error: RequestError) -> bytes:
    """The frame that answers a request with an error."""
    return _frame(number, error.status, 0, error_body(str(error), request_id, error.row, error.field))


def _frame(number: int, status: int, rows: int, body: bytes) -> bytes:
    return frames.ANSWER.pack(len(body), number, status, rows) + body
