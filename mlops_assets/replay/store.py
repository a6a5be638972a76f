"""What is costly and always the same, kept on disk under names that say what it was made of."""

from __future__ import annotations

import hashlib
import io
import json
import os
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray


class Store:
    """Files below ``folder``. ``made`` and ``found`` count, by kind, what was made and what was there.

    A file is written whole or not at all; nothing is ever overwritten with anything else, since its name is
    a hash of what it was made of. To be deleted at any time.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.made: dict[str, int] = {}
        self.found: dict[str, int] = {}

    def bytes(self, kind: str, parts: Any, make: Callable[[], bytes]) -> bytes:
        """What ``make`` returns for ``parts`` (JSON-able), or what it returned for the same before."""
        path = self.folder / kind / digest(parts)
        if path.exists():
            self.found[kind] = self.found.get(kind, 0) + 1
            return path.read_bytes()
        data = make()
        path.parent.mkdir(parents=True, exist_ok=True)
        scratch = path.with_name(f"{path.name}.{os.getpid()}")
        scratch.write_bytes(data)
        scratch.replace(path)
        self.made[kind] = self.made.get(kind, 0) + 1
        return data

    def array(
        self, kind: str, parts: Any, make: Callable[[], NDArray[np.floating[Any]]]
    ) -> NDArray[np.float64]:
        """As ``bytes``, for an array of numbers that float32 holds."""
        import numpy as np

        def to_bytes() -> bytes:
            buffer = io.BytesIO()
            np.save(buffer, np.asarray(make(), dtype=np.float32), allow_pickle=False)
            return buffer.getvalue()

        loaded = np.load(io.BytesIO(self.bytes(kind, parts, to_bytes)), allow_pickle=False)
        return np.asarray(loaded, dtype=np.float64)


def digest(parts: Any) -> str:
    """32 hex digits of a hash over ``parts``."""
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:32]
