"""From recorded batches to rows: bodies are decoded here, codes turned back into values.

Batches are gathered before they become a table: a column made of thousands of rows at once costs a
twentieth of one that is made batch by batch.
"""

from __future__ import annotations

import logging
from itertools import chain
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np
from msgspec.structs import astuple

from serving.fields import fields_of
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

GROUP_ROWS = 16_384
"""Rows after which a table is made."""

logger = logging.getLogger(__name__)


class RowMaker:
    """Makes log tables of one project's batches."""

    def __init__(self, project: Project) -> None:
        self.schema = schema(project)
        self._decode = _plain_decoder(project.features.instance)
        self._fields = project.features.instance_fields

    def tables(self, path: Path) -> Iterator[pa.Table]:
        """The rows of a segment, a table for ``GROUP_ROWS`` or a bit more."""
        model: Model | None = None
        batches: list[Batch] = []
        rows = 0
        for kind, payload in records(path):
            if kind == record.BATCH:
                batches.append(record.decode_batch(payload))
                rows += len(batches[-1].probability)
            if batches and (kind == record.MODEL or rows >= GROUP_ROWS):
                yield self._table(_known(model), batches)
                batches, rows = [], 0
            if kind == record.MODEL:
                model = msgspec.json.decode(payload, type=Model)
        if batches:
            yield self._table(_known(model), batches)

    def rows_of(self, path: Path, wanted: Callable[[AskHead], bool]) -> list[dict[str, Any]]:
        """The rows of the requests that are ``wanted``."""
        model: Model | None = None
        found: list[dict[str, Any]] = []
        for kind, payload in records(path):
            if kind == record.MODEL:
                model = msgspec.json.decode(payload, type=Model)
            elif kind == record.BATCH:
                batch = record.decode_batch(payload)
                flags = list(map(wanted, batch.heads))
                if any(flags):
                    kept = np.repeat(flags, batch.rows)
                    rows = self._table(_known(model), [batch]).to_pylist()
                    found += [row for row, keep in zip(rows, kept, strict=True) if keep]
        return found

    def _table(self, model: Model, batches: Sequence[Batch]) -> pa.Table:
        import pyarrow as pa

        heads = list(chain.from_iterable(batch.heads for batch in batches))
        bodies = list(chain.from_iterable(batch.bodies for batch in batches))
        counts = np.array(list(chain.from_iterable(batch.rows for batch in batches)))
        x = np.concatenate([batch.x for batch in batches])
        probability = np.concatenate([batch.probability for batch in batches])
        recorded = np.repeat([b.recorded for b in batches], [len(b.probability) for b in batches])
        servers = {server: server.hex() for server in {head.server for head in heads}}
        arrived = np.repeat([head.arrived for head in heads], counts)
        found: dict[str, Any] = {
            "request_id": _spread([head.request_id.rstrip(b"\0").decode() for head in heads], counts),
            "answer_id": _spread([f"{servers[head.server]}:{head.number}" for head in heads], counts),
            "attempt": np.repeat(np.array([head.attempt for head in heads], dtype=np.int16), counts),
            "row": _places(counts),
            "time": pa.array(arrived).cast(pa.timestamp("us", tz="UTC")),
            "version": pa.repeat(model.version, len(x)),
            "training_set": pa.repeat(model.training_set, len(x)),
            "probability": probability,
            "label": probability >= model.threshold,
            "latency_seconds": np.maximum((recorded - arrived) / 1e6, 0).astype(np.float32),
            "unknown": _unknown(model, batches),
        }
        found |= {USED + name: values for name, values in _used(model, x).items()}
        received = self._received(bodies, counts.tolist())
        found |= {RECEIVED + name: values for name, values in received.items()}
        columns = [
            found[field.name] if field.name in found else pa.nulls(len(x), field.type)
            for field in self.schema
        ]
        arrays = [
            column if isinstance(column, pa.Array) else pa.array(column, field.type)
            for column, field in zip(columns, self.schema, strict=True)
        ]
        return pa.Table.from_arrays(arrays, schema=self.schema)

    def _received(self, bodies: Sequence[bytes], counts: Sequence[int]) -> dict[str, Sequence[Any]]:
        """Each field's values in all rows; of a request that this code's project cannot read, nulls."""
        rows: list[Any] = []
        try:
            for request in self._decode(b"[%b]" % b",".join(bodies)):
                rows += request.instances
        except msgspec.MsgspecError as error:
            if len(bodies) > 1:  # one by one: some are from before the instance was changed
                parts = [self._received([body], [count]) for body, count in zip(bodies, counts, strict=True)]
                return {name: [value for part in parts for value in part[name]] for name in self._fields}
            logger.warning("a request is logged without what was received: %s", error)
            return {name: [None] * counts[0] for name in self._fields}
        # A row at a time: each is looked up in memory once, not once for each field.
        return dict(zip(self._fields, zip(*map(astuple, rows), strict=True), strict=True))


def _plain_decoder(instance: type[msgspec.Struct]) -> Any:
    """Decodes many bodies at once, without checks that they passed when they were answered."""
    fields = []
    for info, field in zip(msgspec.structs.fields(instance), fields_of(instance), strict=True):
        kind = {"int": int, "float": float, "bool": bool, "str": str}[field.kind]
        options: dict[str, Any] = {"name": info.encode_name}
        if info.default_factory is not msgspec.NODEFAULT:
            options["default_factory"] = info.default_factory
        elif info.default is not msgspec.NODEFAULT:
            options["default"] = info.default
        fields.append((info.name, kind | None if field.optional else kind, msgspec.field(**options)))
    row = msgspec.defstruct("Row", fields, kw_only=True, gc=False)
    request = msgspec.defstruct("Request", [("instances", list[row])])  # type: ignore[valid-type]
    return msgspec.json.Decoder(list[request]).decode  # type: ignore[valid-type]


def _known(model: Model | None) -> Model:
    if model is None:
        raise ValueError("a segment begins with a batch: nothing says which model answered it")
    return model


def _spread(values: Sequence[str], counts: Any) -> Any:
    """Each value as often as its request has rows."""
    import pyarrow as pa

    plain = pa.array(values, pa.string())
    return (
        plain
        if len(counts) == counts.sum()
        else plain.take(pa.array(np.repeat(np.arange(len(values)), counts)))
    )


def _places(counts: Any) -> Any:
    """Each row's place in its request."""
    ends = np.cumsum(counts)
    return (np.arange(ends[-1]) - np.repeat(ends - counts, counts)).astype(np.int32)


def _used(model: Model, x: Any) -> dict[str, Any]:
    """Each column of the model as it was used: numbers, and the values that codes stand for."""
    import pyarrow as pa

    found: dict[str, Any] = {name: np.ascontiguousarray(x[:, at]) for at, name in enumerate(model.numeric)}
    for at, (name, values) in enumerate(model.vocabularies.items(), len(model.numeric)):
        codes = x[:, at].astype(np.int32)
        known = pa.array(codes - 1, mask=codes == 0)
        found[name] = pa.DictionaryArray.from_arrays(known, pa.array(values, pa.string())).cast(pa.string())
    return found


def _unknown(model: Model, batches: Sequence[Batch]) -> Any:
    """Each row's list of columns with a value never seen; most rows have none."""
    import pyarrow as pa

    names = [*model.numeric, *model.vocabularies]
    marked: dict[int, list[str]] = {}
    start = 0
    for batch in batches:
        for at, marks in batch.marks.items():
            for row in np.flatnonzero(marks).tolist():
                marked.setdefault(start + row, []).append(names[at])
        start += len(batch.probability)
    lengths = np.zeros(start, dtype=np.int32)
    lengths[list(marked)] = [len(found) for found in marked.values()]
    values = [name for row in sorted(marked) for name in marked[row]]
    offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int32)
    return pa.ListArray.from_arrays(pa.array(offsets), pa.array(values, pa.string()))
