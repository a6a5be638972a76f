"""What the API process and the model's process say to each other over a Unix socket.

A frame is a fixed head and a body. Both sides write as many frames as they have in one call, and read
as many as have come: under load that makes batches of itself, with no timer.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

ASK = struct.Struct("<IQ32s")
"""Bytes of the body, number of the request, its id for people (ASCII, padded)."""

ANSWER = struct.Struct("<IQHH")
"""Bytes of the body, number of the request, HTTP status, rows answered. Status 0: a ``holder.Status``."""

STATUS = 0
LARGEST = 64 * 1024 * 1024


class FrameError(ValueError):
    """The other side does not speak this."""


class FrameReader:
    """Cuts a stream of bytes into frames."""

    def __init__(self, head: struct.Struct) -> None:
        self._head = head
        self._buffer = bytearray()

    def feed(self, data: bytes) -> Iterator[tuple[tuple[int, ...], bytes]]:
        """The frames that are whole now: the head's values without the length, and the body."""
        buffer = self._buffer
        buffer += data
        head, start, end = self._head, 0, len(buffer)
        size = head.size
        with memoryview(buffer) as view:
            while end - start >= size:
                length, *values = head.unpack_from(buffer, start)
                if length > LARGEST:
                    raise FrameError(f"a frame of {length} bytes")
                if end - start < size + length:
                    break
                body = bytes(view[start + size : start + size + length])
                start += size + length
                yield tuple(values), body
        del buffer[:start]
