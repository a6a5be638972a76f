"""The writing end of the log in the test's own process: a real model answers, a real writer records."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING, Any

import msgspec

from mlops_assets_tests.serving import toy
from mlops_assets_tests.serving.harness import trip
from serving import frames
from serving.answers import Asked
from serving.decoding import RequestDecoder
from serving.fields import Columns
from serving.holder import Loaded, Served
from serving.prediction_log.bucket import Lake
from serving.prediction_log.limits import Limits
from serving.prediction_log.shipping import Shipping
from serving.prediction_log.spool import Spool
from serving.prediction_log.writer import LogWriter
from serving.predictor import Predictor

if TYPE_CHECKING:
    import datetime as dt
    from pathlib import Path

    from mlops_assets_tests.services import ObjectStore
    from serving.prediction_log.status import LogStatus

SERVER = b"servers1"
DECODER = RequestDecoder(toy.Trip)


def served(version: str = "1", bias: float = 0.25) -> Served:
    """A version of the toy project, loaded."""
    predictor = Predictor.load(toy.make_bundle(bias), toy.TOY)
    bundle = predictor.bundle
    loaded = Loaded(
        version=version, source="", family=bundle.family, training_set=f"set-{version}", code_version="1",
        created=bundle.created, loaded_at=0, load_seconds=0, threshold=bundle.threshold, proven_rows=1,
        held_out="", scores={},
    )  # fmt: skip
    return Served(predictor, loaded, b"{}")


def asked(number: int, *rows: dict[str, Any], attempt: int = 1, arrived: dt.datetime | None = None) -> Asked:
    """Request ``number``, as the model's process has it; its id is ``request-<number>``."""
    body = msgspec.json.encode({"instances": list(rows) or [trip()]})
    moment = int(arrived.timestamp() * 1e6) if arrived else time.time_ns() // 1000
    name = f"request-{number}"
    head = frames.ASK.pack(len(body), number, name.encode(), SERVER, moment, attempt)
    return Asked(number, name, DECODER.decode(body), head + body)


class Recorder:
    """A spool in ``folder`` and one writer of it; ``told`` is what it said to the API process."""

    def __init__(self, folder: Path, **limits: Any) -> None:
        self.spool = Spool(folder)
        self.spool.prepare()
        self.told: list[LogStatus] = []
        self.writer = LogWriter(self.spool, Limits(**limits), self.told.append)
        self.served = served()

    def record(self, *batch: Asked) -> bool:
        """Predict for ``batch`` in one run of the model, and record it."""
        columns = Columns(toy.Trip).of([row for one in batch for row in one.rows])
        predicted = self.served.predictor.predict_canonical(columns)
        return self.writer.record(self.served, batch, predicted)

    def die(self) -> None:
        """As a kill -9: the file is closed by the system, and nothing else happens."""
        segment = self.writer._segment
        if segment is not None:
            os.close(segment._file)
            self.writer._segment = None

    def drop_counts(self) -> int:
        """Rows that it said were dropped."""
        return sum(status.dropped_rows for status in self.told)


def shipping(spool: Spool, store: ObjectStore, bucket: str) -> Shipping:
    """Ships the spool to a real bucket."""
    return Shipping(toy.TOY, spool, lambda: Lake(store.client, bucket))
