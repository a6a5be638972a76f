"""From recorded batches to rows: bodies are decoded here, codes turned back into values."""

from __future__ import annotations

import logging
from operator import attrgetter
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np

from serving.decoding import RequestDecoder, RequestError
from serving.prediction_log import record
from serving.prediction_log.record import Model
from serving.prediction_log.schema import RECEIVED, USED, schema
from serving.prediction_log.segment import records

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    import pyarrow as pa

    from mlops_assets.project import Project
    from serving.frames import AskHead
    from serving.prediction_log.record import Batch

logger = logging.getLogger(__name__)


class RowMaker:
    """Makes log tables of one project's batches."""

    def __init__(self, project: Project) -> None:
        self.schema = schema(project)
        instance = project.features.instance
        self._decoder = RequestDecoder(instance)
        self._fields = instance.__struct_fields__
        self._get = attrgetter(*self._fields)

    def tables(self, path: Path, wanted: Callable[[AskHead], bool] | None = None) -> Iterator[pa.Table]:
        """A table for each batch of the segment; only of the requests that are ``wanted``, if given."""
        import pyarrow as pa

        model: Model | None = None
        for kind, payload in records(path):
            if kind == record.MODEL:
                model = msgspec.json.decode(payload, type=Model)
            elif kind == record.BATCH and model is not None:
                batch = record.decode_batch(payload)
                if wanted is None:
                    keep = None
                elif not any(flags := [wanted(head) for head, _, _ in batch.asked]):
                    continue
                else:
                    keep = np.repeat(flags, [rows for _, rows, _ in batch.asked])
                table = pa.Table.from_pydict(self._columns(model, batch), self.schema)
                yield table if keep is None else table.filter(pa.array(keep))

    def _columns(self, model: Model, batch: Batch) -> dict[str, Any]:
        import pyarrow as pa

        counts = [rows for _, rows, _ in batch.asked]
        every = len(batch.probability)

        def spread(values: Sequence[Any], kind: Any) -> Any:
            return np.repeat(np.array(values, dtype=kind), counts)

        heads = [head for head, _, _ in batch.asked]
        arrived = spread([head.arrived for head in heads], np.int64)
        text = {
            "request_id": [head.request_id.rstrip(b"\0").decode("ascii") for head in heads],
            "answer_id": [f"{head.server.hex()}:{head.number}" for head in heads],
        }
        found: dict[str, Any] = {name: spread(values, object) for name, values in text.items()}
        found |= {
            "attempt": spread([head.attempt for head in heads], np.int16),
            "row": np.concatenate([np.arange(rows, dtype=np.int32) for rows in counts]),
            "time": pa.array(arrived).cast(pa.timestamp("us", tz="UTC")),
            "version": [model.version] * every,
            "training_set": [model.training_set] * every,
            "probability": batch.probability,
            "label": batch.probability >= model.threshold,
            "latency_seconds": np.maximum((batch.recorded - arrived) / 1e6, 0).astype(np.float32),
            "unknown": _unknown(model, batch),
        }
        used = _used(model, batch)
        received = self._received(batch)
        for field in self.schema:
            name = field.name
            if name.startswith(USED):
                found[name] = used.get(name.removeprefix(USED), pa.nulls(every, field.type))
            elif name.startswith(RECEIVED):
                found[name] = pa.array(received[name.removeprefix(RECEIVED)], field.type)
        return found

    def _received(self, batch: Batch) -> dict[str, Sequence[Any]]:
        """Each field's values in all rows; of a request that this code's project cannot read, nulls."""
        rows: list[Any] = []
        nothing = (None,) * len(self._fields)
        single = len(self._fields) == 1
        for head, count, body in batch.asked:
            try:
                decoded = self._decoder.decode(body)
            except RequestError as error:  # recorded by other code: the instance has changed since
                name = head.request_id.rstrip(b"\0").decode("ascii")
                logger.warning("request %s is logged without what was received: %s", name, error)
                rows += [nothing] * count
            else:
                rows += [(self._get(row),) for row in decoded] if single else map(self._get, decoded)
        return dict(zip(self._fields, zip(*rows, strict=True), strict=True))


def _used(model: Model, batch: Batch) -> dict[str, Any]:
    """Each column of the model as it was used: numbers, and the values that codes stand for."""
    import pyarrow as pa

    found: dict[str, Any] = {name: batch.x[:, at] for at, name in enumerate(model.numeric)}
    for at, (name, values) in enumerate(model.vocabularies.items(), len(model.numeric)):
        codes = batch.x[:, at].astype(np.int32)
        known = pa.array(codes - 1, mask=codes == 0)
        found[name] = pa.DictionaryArray.from_arrays(known, pa.array(values, pa.string())).cast(pa.string())
    return found


def _unknown(model: Model, batch: Batch) -> list[list[str]]:
    names = [*model.numeric, *model.vocabularies]
    found: list[list[str]] = [[] for _ in range(len(batch.probability))]
    for at, marks in batch.marks.items():
        for row in np.flatnonzero(marks).tolist():
            found[row].append(names[at])
    return found
