"""The model's process: LitServe's verbs, and the loop that calls them with all requests that wait."""

from __future__ import annotations

import logging
import os
import sys
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import litserve as ls
from litserve.callbacks import EventTypes
from litserve.loops import LitLoop

from serving import frames
from serving.answers import Answer, Asked, frame, log_frame, refuse, row_type, split, status_frame
from serving.channel import Channel
from serving.config import LOG_FORMAT, load_project
from serving.decoding import RequestDecoder, RequestError, misfit_column
from serving.fields import Columns
from serving.holder import Holder, Served
from serving.lifeline import die_with
from serving.prediction_log.spool import Spool
from serving.prediction_log.writer import LogWriter
from serving.store import Store

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    import msgspec
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
        self.log: LogWriter | None = None
        if self.config.log is not None:
            spool = Spool(self.config.log_folder)
            self.log = LogWriter(spool, self.config.log, lambda status: self.channel.send(log_frame(status)))
            self.log.start()
        self.holder = Holder(Store(self.config.store), project, changed=self._tell)
        self.holder.start()

    def _tell(self) -> None:
        self.channel.send(status_frame(self.holder))

    def first_words(self) -> bytes:
        """What a new connection of the API process is told."""
        log = log_frame(self.log.status) if self.log is not None else b""
        return status_frame(self.holder) + log

    def decode_request(self, request: bytes, **_: Any) -> Sequence[msgspec.Struct]:
        """The rows of a body; raises ``RequestError``."""
        return self.decoder.decode(request)

    def predict(self, x: Served, **kwargs: Any) -> Predicted:
        """Predict ``rows`` with the version ``x``; raises ``ValueError`` for values no column can hold."""
        return x.predictor.predict_canonical(self.columns.of(kwargs["rows"]))

    def encode_response(self, output: Answer, **_: Any) -> bytes:
        """The JSON of one answer."""
        return output.encode()


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
        peer = lit_api.channel.accept(lit_api.first_words())
        reader = frames.FrameReader(frames.ASK, whole=True)
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
        for (number, request_id, *_), whole in reader.feed(data):
            name = request_id.rstrip(b"\0").decode("ascii")  # type: ignore[attr-defined]
            try:
                asked = Asked(number, name, api.decode_request(whole[frames.ASK.size :]), whole)
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
    """The frames that answer ``batch``, all by the version that is in use now; by then they are logged."""
    served = api.holder.current
    if served is None:
        error = RequestError(503, "no model is loaded yet: there is no champion, or it cannot be reached")
        return _refuse_all(batch, error)
    rows = batch[0].rows if len(batch) == 1 else [row for asked in batch for row in asked.rows]
    try:
        callbacks.trigger_event(EventTypes.BEFORE_PREDICT.value, lit_api=api)
        predicted = api.predict(served, rows=rows)
        callbacks.trigger_event(EventTypes.AFTER_PREDICT.value, lit_api=api)
    except Exception as error:  # noqa: BLE001 - a project's transform may raise anything
        if len(batch) > 1:  # one request's rows must not fail the others'
            return [frame for asked in batch for frame in answer(api, [asked], callbacks)]
        return [refuse(batch[0].number, batch[0].request_id, _failure(api, rows, error))]
    status = 200
    if api.log is not None:
        try:
            status += 0 if api.log.record(served, batch, predicted) else frames.UNLOGGED
        except RequestError as error:
            return _refuse_all(batch, error)
    return [
        frame(asked.number, status, len(asked.rows), api.encode_response(part))
        for asked, part in zip(batch, split(served, predicted, batch, api.row), strict=True)
    ]


def _refuse_all(batch: Sequence[Asked], error: RequestError) -> list[bytes]:
    return [refuse(asked.number, asked.request_id, error) for asked in batch]


def _failure(api: EndpointAPI, rows: Sequence[msgspec.Struct], error: Exception) -> RequestError:
    if isinstance(error, OverflowError):
        return misfit_column(rows, [field.name for field in api.columns.fields], error)
    logger.error("a prediction failed", exc_info=error)
    return RequestError(500, "the model failed on these rows; the server's log says why")
