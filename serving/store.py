"""Local copies of model versions, and the notes that the endpoint's processes leave each other.

    versions/<version>-<digest>/model.onnx, meta.json   written once, appear whole by a rename
    wanted.json     follower: the champion, once its copy is here
    registry.json   follower: whether the registry answers, and what is wrong if it does not
    current.json    model's process: the version that it serves, with which a restart begins

Each note has one writer and is replaced by a rename, so that a reader sees all of it or its predecessor.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import msgspec

from mlops_assets.bundle import FILE

if TYPE_CHECKING:
    from collections.abc import Iterable

KEPT = 5
"""Copies that stay when newer ones come, beside those in use."""

_Note = TypeVar("_Note", bound=msgspec.Struct)


class Copy(msgspec.Struct, frozen=True, kw_only=True):
    """A version's copy. ``source`` tells equal numbers of two registries apart.

    ``problem``: why the version holds no model; None if it does. ``scores``: its figures on the
    partition ``held_out``, as the registry's tags have them.
    """

    version: str
    source: str
    sha256: str = ""
    fetched_at: float = 0.0
    problem: str | None = None
    held_out: str = ""
    scores: dict[str, float] = {}

    @property
    def folder(self) -> str:
        digest = hashlib.sha256(self.source.encode()).hexdigest()[:12]
        return f"{self.version}-{digest}"


class RegistryNote(msgspec.Struct, frozen=True, kw_only=True):
    """The follower's last look. ``champion``: the version the alias names, whether or not it is here yet."""

    up: bool
    at: float
    champion: str | None = None
    error: str | None = None


class Store:
    """The folder of one endpoint."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._versions = folder / "versions"

    def prepare(self) -> None:
        """Make the folders, and clear away what an interrupted download left."""
        self._versions.mkdir(parents=True, exist_ok=True)
        for left in self._versions.glob(".part-*"):
            shutil.rmtree(left, ignore_errors=True)

    def model(self, copy: Copy) -> Path:
        return self._versions / copy.folder / FILE

    def add(self, copy: Copy, model: bytes | None) -> Copy:
        """Keep a version's model (None where ``copy.problem`` says why there is none)."""
        digest = hashlib.sha256(model).hexdigest() if model is not None else ""
        kept = msgspec.structs.replace(copy, sha256=digest, fetched_at=time.time())
        part = Path(tempfile.mkdtemp(prefix=".part-", dir=self._versions))
        if model is not None:
            (part / FILE).write_bytes(model)
        (part / "meta.json").write_bytes(msgspec.json.encode(kept))
        final = self._versions / copy.folder
        shutil.rmtree(final, ignore_errors=True)
        part.rename(final)
        return kept

    def find(self, copy: Copy) -> Copy | None:
        """The whole, unharmed copy of that version and source, if it is here."""
        kept = _read(self._versions / copy.folder / "meta.json", Copy)
        if kept is None or kept.problem is not None:
            return kept
        try:
            found = hashlib.sha256(self.model(copy).read_bytes()).hexdigest()
        except OSError:
            return None
        return kept if found == kept.sha256 else None

    def prune(self, in_use: Iterable[Copy | None]) -> None:
        """Remove the oldest copies, except those in use and the ``KEPT`` newest."""
        used = {copy.folder for copy in in_use if copy is not None}
        folders = sorted(self._versions.glob("*/meta.json"), key=lambda meta: -meta.stat().st_mtime)
        for meta in [meta for meta in folders if meta.parent.name not in used][KEPT:]:
            shutil.rmtree(meta.parent, ignore_errors=True)

    @property
    def wanted(self) -> Copy | None:
        return _read(self.folder / "wanted.json", Copy)

    @wanted.setter
    def wanted(self, copy: Copy) -> None:
        self._write("wanted.json", copy)

    @property
    def current(self) -> Copy | None:
        return _read(self.folder / "current.json", Copy)

    @current.setter
    def current(self, copy: Copy) -> None:
        self._write("current.json", copy)

    @property
    def registry(self) -> RegistryNote | None:
        return _read(self.folder / "registry.json", RegistryNote)

    @registry.setter
    def registry(self, note: RegistryNote) -> None:
        self._write("registry.json", note)

    def _write(self, name: str, note: msgspec.Struct) -> None:
        handle, part = tempfile.mkstemp(prefix=".part-", dir=self.folder)
        with os.fdopen(handle, "wb") as file:
            file.write(msgspec.json.encode(note))
        Path(part).replace(self.folder / name)


def _read(path: Path, kind: type[_Note]) -> _Note | None:
    """The note, or None if it is not there or was cut short by a crash of the machine."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=kind)
    except (OSError, msgspec.MsgspecError):
        return None
