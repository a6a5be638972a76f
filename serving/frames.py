"""What the API process and the model's process say to each other over a Unix socket.

A frame is a fixed head and a body. Both sides write as many frames as they have in one call, and read
as many as have come: under load that makes batches of itself, with no timer.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator

ASK = struct.Struct("<IQ32s8sQH")
"""Bytes of the body, then ``AskHead``. The prediction log keeps these frames as they are."""

ANSWER = struct.Struct("<IQHH")
"""Bytes of the body, number of the request, HTTP status, rows answered.

Status ``STATUS`` brings a ``holder.Status``, ``LOG`` a ``prediction_log.status.LogStatus``. ``UNLOGGED`` is
added to the status of an answer that is not in the prediction log.
"""

STATUS = 0
LOG = 1
UNLOGGED = 0x4000
LARGEST = 64 * 1024 * 1024


class AskHead(NamedTuple):
    """What is known of a request: the head of its ``ASK`` frame.

    ``request_id``: its id for people (ASCII, padded). ``server``: the API process's own id, so that
    (server, number) names one request for ever. ``arrived``: microseconds since 1970.
    ``attempt``: 2 where the model's process died on the first.
    """

    number: int
    request_id: bytes
    server: bytes
    arrived: int
    attempt: int


class FrameError(ValueError):
    """The other side does not speak this."""


class FrameReader:
    """Cuts a stream of bytes into frames."""

    def __init__(self, head: struct.Struct, *, whole: bool = False) -> None:
        """``whole``: give each frame with its head instead of its body alone."""
        self._head = head
        self._buffer = bytearray()
        self._skip = 0 if whole else head.size

    def feed(self, data: bytes) -> Iterator[tuple[tuple[int, ...], bytes]]:
        """The frames that are complete now: the head's values without the length, and the body."""
        buffer = self._buffer
        buffer += data
        head, start, end, skip = self._head, 0, len(buffer), self._skip
        size = head.size
        with memoryview(buffer) as view:
            while end - start >= size:
                length, *values = head.unpack_from(buffer, start)
                if length > LARGEST:
                    raise FrameError(f"a frame of {length} bytes")
                if end - start < size + length:
                    break
                body = bytes(view[start + skip : start + size + length])
                start += size + length
                yield tuple(values), body
        del buffer[:start]
