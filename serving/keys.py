"""The API key, if there is one."""

from __future__ import annotations

import hmac
from typing import TYPE_CHECKING

from serving.decoding import RequestError

if TYPE_CHECKING:
    from collections.abc import Iterable


class Key:
    """Lets those in who carry it; everybody if there is none."""

    def __init__(self, key: str | None) -> None:
        self._key = key.encode() if key else None

    @property
    def required(self) -> bool:
        return self._key is not None

    def check(self, headers: Iterable[tuple[bytes, bytes]]) -> None:
        """Raise ``RequestError`` (401) for headers that do not carry the key."""
        if self._key is None:
            return
        for name, value in headers:
            given = value if name == b"x-api-key" else None
            if name == b"authorization" and value[:7].lower() == b"bearer ":
                given = value[7:].strip()
            if given is not None and hmac.compare_digest(given, self._key):
                return
        raise RequestError(401, "send the API key as X-API-Key, or as Authorization: Bearer")
