"""Ids of requests: the client's own, or one that begins with its time (RFC 9562's version 7, as hex)."""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

SANE_ID = re.compile(rb"[A-Za-z0-9._:-]{1,32}")


def request_id(headers: Iterable[tuple[bytes, bytes]], arrived: int) -> bytes:
    """The id that the client gave, if it is sane, or a new one; ``arrived``: microseconds since 1970."""
    for name, value in headers:
        if name == b"x-request-id" and SANE_ID.fullmatch(value):
            return value
    return make_id(arrived)


def make_id(arrived: int) -> bytes:
    """An id of 32 hex digits: milliseconds, then chance; those of one millisecond come in any order."""
    chance = os.urandom(9).hex()
    return f"{arrived // 1000:012x}7{chance[:3]}8{chance[3:]}".encode()
