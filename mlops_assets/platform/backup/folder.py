"""The folder of a backup. It counts as one when its manifest is there, which is written last of all."""

from __future__ import annotations

import hashlib
import os
import shutil
from itertools import count
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from mlops_assets.platform.backup.manifest import FORMAT, File, Manifest, Stored
from mlops_assets.platform.service import PlatformError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path
    from typing import IO, Protocol

    class Readable(Protocol):
        """Whatever can be read piece by piece."""

        def read(self, size: int, /) -> bytes: ...


MANIFEST = "manifest.json"
UNFINISHED = "unfinished"
"""Stands in the folder from the first byte on, and goes once the manifest is there."""

_PIECE = 1024 * 1024


class Kept(NamedTuple):
    """Bytes that were written or read: how many, and their hash."""

    bytes: int
    sha256: str


class Folder:
    """A backup, being written or read. Objects' bytes are in files named by their hash: each once."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._numbers = count()

    def begin(self) -> None:
        """Make the folder ready to be written; what an interrupted backup left in it is cleared away.

        Raises ``PlatformError`` when it holds anything else: a backup is never written over another.
        """
        if self._manifest.exists():
            raise PlatformError(f"{self.path} holds a backup already. Name a new folder.")
        if self.path.exists() and any(self.path.iterdir()):
            if not self._unfinished.exists():
                raise PlatformError(f"{self.path} is not empty, and holds no backup. Name a new folder.")
            self.clear()
        (self.path / "objects").mkdir(mode=0o700, parents=True)
        self.path.chmod(0o700)  # all data of the platform is in it
        self._unfinished.touch()

    def clear(self) -> None:
        """Remove what was written, the sign that it is unfinished last."""
        for one in self.path.iterdir():
            if one.is_dir():
                shutil.rmtree(one)
            elif one != self._unfinished:
                one.unlink()
        self._unfinished.unlink(missing_ok=True)

    def finish(self, manifest: Manifest) -> None:
        """Make it a backup: the manifest appears whole, after everything that it names is on the disk."""
        os.sync()
        part = self._manifest.with_suffix(".part")
        with part.open("wb") as out:
            out.write(msgspec.json.format(msgspec.json.encode(manifest)) + b"\n")
            out.flush()
            os.fsync(out.fileno())
        part.replace(self._manifest)
        os.sync()
        self._unfinished.unlink()

    @property
    def _manifest(self) -> Path:
        return self.path / MANIFEST

    @property
    def _unfinished(self) -> Path:
        return self.path / UNFINISHED

    def manifest(self) -> Manifest:
        """What the backup says of itself; ``PlatformError`` when there is none, or one of another format."""
        if not self._manifest.exists():
            why = "it was interrupted" if self._unfinished.exists() else "there is none in it"
            raise PlatformError(f"{self.path} is no complete backup ({why}): {MANIFEST} is missing.")
        try:
            found = msgspec.json.decode(self._manifest.read_bytes(), type=Manifest)
        except msgspec.MsgspecError as error:
            raise PlatformError(f"{self._manifest} is damaged: {error}. Take another backup.") from error
        if found.format != FORMAT:
            raise PlatformError(
                f"{self._manifest} has format {found.format}; this release reads {FORMAT}. Restore it with "
                f"release {found.version}."
            )
        return found

    def fingerprint(self) -> str:
        """What tells this backup apart from others."""
        return hashlib.sha256(self._manifest.read_bytes()).hexdigest()

    def keep(self, body: Readable) -> Kept:
        """Store the bytes of ``body``, piece by piece, under their hash."""
        part = self.path / "objects" / f"{next(self._numbers)}.part"
        with part.open("wb") as out:
            kept = copied(body, out)
        place = self.place(kept.sha256)
        place.parent.mkdir(exist_ok=True)
        part.replace(place)
        return kept

    def place(self, sha256: str) -> Path:
        """The file with the bytes of this hash."""
        return self.path / "objects" / sha256[:2] / sha256

    def file(self, name: str) -> File:
        """What is to be said of the finished file ``name``."""
        with (self.path / name).open("rb") as source:
            return File(name, *copied(source))

    def index(self, file: File) -> Iterator[Stored]:
        """The lines of an index, in the order in which they are to be put back."""
        decoder = msgspec.json.Decoder(Stored)
        with (self.path / file.name).open("rb") as lines:
            yield from map(decoder.decode, lines)

    def verify(self, manifest: Manifest) -> None:
        """Read every byte. Raises ``PlatformError`` that names the first file which is not as it was."""
        for database in manifest.databases.values():
            self._verify(database.dump)
        for bucket in manifest.buckets.values():
            self._verify(bucket.index)
            for one in self.index(bucket.index):
                if not one.deleted:
                    name = str(self.place(one.sha256).relative_to(self.path))
                    self._verify(File(name, one.bytes, one.sha256))

    def _verify(self, wanted: File) -> None:
        try:
            found = self.file(wanted.name)
        except OSError as error:
            raise PlatformError(f"{self.path / wanted.name} cannot be read: {error}. {_INSTEAD}") from error
        if found != wanted:
            raise PlatformError(
                f"{self.path / wanted.name} is damaged: {found.bytes} bytes with SHA-256 {found.sha256}, "
                f"where the backup has {wanted.bytes} with {wanted.sha256}. {_INSTEAD}"
            )


_INSTEAD = "Nothing was restored. Take another copy of this backup, or an older one."


def copied(source: Readable, out: IO[bytes] | None = None) -> Kept:
    """Read ``source`` to its end, into ``out`` if there is one."""
    digest, total = hashlib.sha256(), 0
    while piece := source.read(_PIECE):
        digest.update(piece)
        total += len(piece)
        if out is not None:
            out.write(piece)
    return Kept(total, digest.hexdigest())
