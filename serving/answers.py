"""What the model's process sends back: each request's part of a batch, or what is wrong with it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np

from serving import frames
from serving.decoding import RequestError, error_body

if TYPE_CHECKING:
    from collections.abc import Sequence

    from serving.holder import Holder, Served
    from serving.prediction_log.status import LogStatus
    from serving.predictor import Predicted


@dataclass(frozen=True, slots=True)
class Asked:
    """A request that was decoded; ``frame``: as it came, for the prediction log."""

    number: int
    request_id: str
    rows: Sequence[msgspec.Struct]
    frame: bytes


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
    for name, marks in predicted.marked.items():
        for number in np.flatnonzero(marks).tolist():
            earlier = rows[number].unknown
            rows[number].unknown = [name] if earlier is msgspec.UNSET else [*earlier, name]
    answers, start = [], 0
    for asked in batch:
        end = start + len(asked.rows)
        answers.append(Answer(served, asked.request_id, rows[start:end]))
        start = end
    return answers


def refuse(number: int, request_id: str, error: RequestError) -> bytes:
    """The frame that answers a request with an error."""
    return frame(number, error.status, 0, error_body(str(error), request_id, error.row, error.field))


def frame(number: int, status: int, rows: int, body: bytes) -> bytes:
    return frames.ANSWER.pack(len(body), number, status, rows) + body


def status_frame(holder: Holder) -> bytes:
    return frame(0, frames.STATUS, 0, msgspec.json.encode(holder.status))


def log_frame(status: LogStatus) -> bytes:
    return frame(0, frames.LOG, 0, msgspec.json.encode(status))
