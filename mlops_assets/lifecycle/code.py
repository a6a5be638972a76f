"""Code versions: a hash of the source that an asset's value depends on."""

from __future__ import annotations

import hashlib
import inspect
import sys
from functools import cache
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from types import ModuleType


def code_version(*parts: Any) -> str:
    """12 hex digits over the source of the modules that define ``parts``.

    ``parts`` are functions, classes or declarations; of the latter ``repr`` counts as well: another
    hyperparameter is another code.
    """
    digest = hashlib.sha256()
    for part in parts:
        defined = part if inspect.isfunction(part) or inspect.isclass(part) else type(part)
        digest.update(_source(sys.modules[defined.__module__]).encode())
        if defined is not part:
            digest.update(repr(part).encode())
    return digest.hexdigest()[:12]


@cache
def _source(module: ModuleType) -> str:
    return inspect.getsource(module)
