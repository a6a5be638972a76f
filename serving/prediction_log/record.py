"""One record of the spool: what the model's process writes with a single call before it sends answers.

A record is a head (``HEAD``: bytes of the rest, its CRC-32, its kind) and the rest. A ``BATCH`` holds what
one run of the model answered, as bytes that were at hand: nothing is decoded until it is shipped.

    BATCH   ``_BATCH`` head | rows of each request, uint16 | probability, float64 | X, float32 (rows, columns)
            | for each column with values never seen: its position, uint16, and a bit for each row
            | the requests' ``ASK`` frames, as they came
    MODEL   JSON of ``Model``: what the batches after it were answered with
    DROPPED JSON of ``Drops``: in the place of all that the segment held
"""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np

from serving import frames
from serving.frames import AskHead

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

HEAD = struct.Struct("<IIB")
MODEL, BATCH, DROPPED = 1, 2, 3
_BATCH = struct.Struct("<QIIHH")
"""Microseconds since 1970 when it was recorded; requests, rows, columns, columns with values never seen."""


class Model(msgspec.Struct, frozen=True, kw_only=True):
    """What is needed to read a batch: the version, and the columns and vocabularies of its ``X``."""

    version: str
    training_set: str
    threshold: float
    numeric: list[str]
    vocabularies: dict[str, list[str]]


class Drops(msgspec.Struct, frozen=True):
    """Day -> server -> rows that were dropped."""

    rows: dict[str, dict[str, int]]


@dataclass(frozen=True)
class Batch:
    """A batch as it was recorded. ``marks``: position of a column -> bool (rows,), value never seen."""

    recorded: int
    rows: list[int]
    """Of each request."""

    heads: list[AskHead]
    bodies: list[bytes]

    probability: NDArray[np.float64]
    x: NDArray[np.float32]
    marks: Mapping[int, NDArray[np.bool_]]


def seal(kind: int, payload: bytes) -> bytes:
    """The record of ``payload``."""
    return HEAD.pack(len(payload), _crc(kind, payload), kind) + payload


def unseal(data: bytes | memoryview, start: int) -> tuple[int, memoryview] | None:
    """Kind and payload of the record at ``start``; None if it is not whole: torn, or the end."""
    view = memoryview(data)
    if len(view) - start < HEAD.size:
        return None
    length, crc, kind = HEAD.unpack_from(view, start)
    payload = view[start + HEAD.size : start + HEAD.size + length]
    if len(payload) < length or _crc(kind, payload) != crc:
        return None
    return kind, payload


def _crc(kind: int, payload: bytes | memoryview) -> int:
    return zlib.crc32(payload, kind)


def encode_batch(  # noqa: PLR0913 - what a batch consists of
    recorded: int,
    asked: Sequence[bytes],
    rows: Sequence[int],
    probability: NDArray[np.float64],
    x: NDArray[np.float32],
    marks: Sequence[tuple[int, NDArray[np.bool_]]],
) -> bytes:
    """The record of one batch; ``asked``: the requests' frames, ``rows``: how many each has."""
    head = _BATCH.pack(recorded, len(asked), *x.shape, len(marks))
    seen = [part for at, mark in marks for part in (at.to_bytes(2, "little"), np.packbits(mark).tobytes())]
    counts = np.array(rows, dtype="<u2").tobytes()
    payload = b"".join([head, counts, probability.tobytes(), x.tobytes(), *seen, *asked])
    return seal(BATCH, payload)


def decode_batch(payload: memoryview) -> Batch:
    """The batch of a ``BATCH`` record's payload."""
    recorded, requests, rows, columns, marked = _BATCH.unpack_from(payload)
    cut = _Cutter(payload, _BATCH.size)
    counts = cut.array("<u2", requests).tolist()
    probability = cut.array("<f8", rows)
    x = cut.array("<f4", rows * columns).reshape(rows, columns)
    marks: dict[int, NDArray[np.bool_]] = {}
    for _ in range(marked):
        (at,) = cut.array("<u2", 1).tolist()
        marks[at] = np.unpackbits(cut.array("u1", (rows + 7) // 8), count=rows).astype(bool)
    return Batch(recorded, counts, *_frames(cut.rest(), requests), probability, x, marks)


def count_rows(payload: memoryview, counts: dict[tuple[int, bytes], int]) -> None:
    """Add a batch's rows to ``counts``: (arrival's day since 1970, server) -> rows."""
    batch = decode_batch(payload)
    for head, rows in zip(batch.heads, batch.rows, strict=True):
        key = (head.arrived // 86_400_000_000, head.server)
        counts[key] = counts.get(key, 0) + rows


class _Cutter:
    def __init__(self, view: memoryview, at: int) -> None:
        self._view = view
        self._at = at

    def array(self, kind: str, count: int) -> NDArray[Any]:
        found = np.frombuffer(self._view, dtype=kind, count=count, offset=self._at)
        self._at += found.nbytes
        return found

    def rest(self) -> memoryview:
        return self._view[self._at :]


def _frames(view: memoryview, count: int) -> tuple[list[AskHead], list[bytes]]:
    data, start = bytes(view), 0
    heads, bodies = [], []
    unpack, size = frames.ASK.unpack_from, frames.ASK.size
    for _ in range(count):
        length, *values = unpack(data, start)
        heads.append(AskHead._make(values))
        start += size
        bodies.append(data[start : start + length])
        start += length
    return heads, bodies
