"""The model's process's end of the log: records each batch before its answers are sent."""

from __future__ import annotations

import logging
import secrets
import threading
import time
from typing import TYPE_CHECKING

import msgspec

from serving.decoding import RequestError
from serving.prediction_log import record
from serving.prediction_log.record import Model, encode_batch
from serving.prediction_log.segment import OpenSegment
from serving.prediction_log.spool import segment_name
from serving.prediction_log.status import LogStatus

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from serving.answers import Asked
    from serving.holder import Served
    from serving.prediction_log.limits import Limits
    from serving.prediction_log.spool import Spool
    from serving.predictor import Predicted

TICK_SECONDS = 0.1
LOOK_SECONDS = 0.5
"""How often the spool's size is looked up; what this process adds in between is known."""

BACKLOG = 20
"""Finished segments that may wait before new ones take longer, so that an outage does not make a file
every few seconds: an hour of it makes about 160, a day 800."""

LONGEST_SECONDS = 600.0

ROOM = 0.9
"""Share of the bound under which there is room again."""

PROBE_BYTES = 256 * 1024
"""A disk that was full has room again when it takes as many."""

logger = logging.getLogger(__name__)


class LogWriter:
    """Appends to the spool. Safe to use from several threads."""

    def __init__(self, spool: Spool, limits: Limits, tell: Callable[[LogStatus], None]) -> None:
        """``tell`` is called when there is something new to say, from whatever thread finds out."""
        self._spool = spool
        self._limits = limits
        self._tell = tell
        self._name = secrets.token_hex(4)
        self._number = 0
        self._segment: OpenSegment | None = None
        self._served: Served | None = None
        self._lock = threading.RLock()
        self._problem: str | None = None
        self._refusing = False
        self._full_disk = False
        self._dropped = 0
        self._looked = 0.0
        self._look()

    @property
    def status(self) -> LogStatus:
        """How it is now."""
        return LogStatus(problem=self._problem, refusing=self._refusing)

    def start(self) -> None:
        """Finish segments by age, and see whether a bound has room again, in a thread."""
        threading.Thread(target=self._tick_for_ever, name="prediction-log", daemon=True).start()

    def record(self, served: Served, batch: Sequence[Asked], predicted: Predicted) -> bool:
        """Record a batch's answers; False if they may be sent though they are not in the log.

        Raises ``RequestError`` (503) if they may not be sent.
        """
        columns = served.predictor.bundle.columns if predicted.marked else []
        data = encode_batch(
            time.time_ns() // 1000,
            [asked.frame for asked in batch],
            [len(asked.rows) for asked in batch],
            predicted.probability,
            predicted.x,
            [(columns.index(name), marks) for name, marks in predicted.marked.items()],
        )
        with self._lock:
            while (problem := self._append(served, data)) is not None:
                if not self._make_room(problem):
                    return False
        return True

    def _append(self, served: Served, data: bytes) -> str | None:
        """Write ``data``; None, or why that was not possible."""
        if self._served is not served:  # also at a segment's start
            data = _model(served) + data
        bound = self._limits.max_bytes
        if self._used + len(data) > bound:
            self._look()
            if self._used + len(data) > bound:
                return f"{self._used:,} bytes wait to be shipped, of {bound:,} that may"
        try:
            segment = self._open()
            segment.append(data, sync=self._limits.sync)
        except OSError as error:
            self._full_disk = True
            return f"the spool {self._spool.folder} cannot be written: {error.strerror or error}"
        self._served = served
        self._used += len(data)
        if segment.size >= self._limits.segment_bytes:
            self._finish()
        return None

    def _make_room(self, problem: str) -> bool:
        """Do what the policy says; False if the answers go out unlogged. Raises ``RequestError``."""
        policy = self._limits.at_bound
        if policy == "drop_oldest" and self._drop():
            self._say(problem)
            return True
        refusing = policy != "unlogged"
        self._say(problem, refusing=refusing)
        if refusing:
            raise RequestError(
                503, f"the prediction log is full, and nothing is answered unlogged: {problem}"
            )
        return False

    def _drop(self) -> bool:
        try:
            rows = self._spool.drop_oldest()
            if rows is None and self._segment is not None:
                self._finish()
                rows = self._spool.drop_oldest()
        except OSError as error:
            logger.warning("the oldest rows cannot be dropped: %s", error)
            return False
        if rows is None:
            return False
        self._dropped += rows
        self._look()
        return True

    def _open(self) -> OpenSegment:
        if self._segment is None:
            self._number += 1
            self._segment = OpenSegment(self._spool.segments_folder, segment_name(self._name, self._number))
        return self._segment

    def _finish(self) -> None:
        if self._segment is not None:
            self._segment.close()
            self._segment = self._served = None

    def _look(self) -> None:
        found = self._spool.size()
        self._used = found.bytes
        self._waiting = found.segments
        self._looked = time.monotonic()

    def _tick_for_ever(self) -> None:
        while True:
            time.sleep(TICK_SECONDS)
            try:
                self._tick()
            except Exception:
                logger.exception("the prediction log's clock failed; going on")

    def _tick(self) -> None:
        with self._lock:
            if self._segment is not None and time.monotonic() - self._segment.begun > self._longest():
                self._finish()
            if time.monotonic() - self._looked > LOOK_SECONDS:
                self._look()
                if self._problem is not None:
                    self._look_for_room()

    def _longest(self) -> float:
        """How long a segment stays open now."""
        return min(self._limits.segment_seconds * (1 + self._waiting / BACKLOG), LONGEST_SECONDS)

    def _look_for_room(self) -> None:
        """Call it over once there is room: an endpoint that refuses gets no requests that would find out."""
        if self._used > ROOM * self._limits.max_bytes:
            return
        try:
            room = not self._full_disk or self._open().has_room(PROBE_BYTES)
        except OSError:
            return
        if room:
            self._say(None)

    def _say(self, problem: str | None, *, refusing: bool = False) -> None:
        if problem is None:
            self._full_disk = False
        if (problem is None) != (self._problem is None):
            logger.warning("the prediction log: %s", problem or "there is room again")
        before = self._problem is None, self._refusing
        self._problem, self._refusing = problem, refusing
        if before != (problem is None, refusing) or self._dropped:
            dropped, self._dropped = self._dropped, 0
            self._tell(LogStatus(problem=problem, refusing=refusing, dropped_rows=dropped))


def _model(served: Served) -> bytes:
    bundle = served.predictor.bundle
    model = Model(
        version=served.loaded.version,
        training_set=served.loaded.training_set,
        threshold=served.loaded.threshold,
        numeric=bundle.numeric,
        vocabularies=bundle.vocabularies,
    )
    return record.seal(record.MODEL, msgspec.json.encode(model))
