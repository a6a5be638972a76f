"""Code versions: a hash of the source that an asset's value depends on."""

from __future__ import annotations

import hashlib
import inspect
import sys
from functools import cache
from pathlib import Path
from typing import Any


def code_version(*parts: Any) -> str:
    """12 hex digits over the source of the packages that define ``parts``.

    ``parts`` are functions, classes or declarations; of the latter ``repr`` counts as well: another
    hyperparameter is another code. Whole folders count, since what a part is made of stands beside it:
    rather a training too many than a change unseen.
    """
    digest = hashlib.sha256()
    for part in parts:
        defined = part if inspect.isfunction(part) or inspect.isclass(part) else type(part)
        digest.update(_sources(Path(str(sys.modules[defined.__module__].__file__)).parent))
        if defined is not part:
            digest.update(repr(part).encode())
    return digest.hexdigest()[:12]


@cache
def _sources(folder: Path) -> bytes:
    return b"".join(file.name.encode() + file.read_bytes() for file in sorted(folder.glob("*.py")))
