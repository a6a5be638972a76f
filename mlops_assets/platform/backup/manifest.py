"""What a backup says of itself: the manifest, and a line for each object version."""

from __future__ import annotations

import msgspec

FORMAT = 1


class File(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A file of the backup. ``name`` is relative to its folder, ``bytes`` its size."""

    name: str
    bytes: int
    sha256: str


class Database(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A dump in pg_dump's custom format. ``server`` and ``tools``: major versions of PostgreSQL."""

    dump: File
    server: int
    tools: int


class Bucket(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What was copied of a bucket. ``index`` has a line (``Stored``) for each of the ``versions``.

    ``lost``: versions that the ledger takes to be there, and that the bucket no longer had.
    """

    name: str
    index: File
    objects: int
    versions: int
    bytes: int
    lost: int = 0


class Manifest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The whole of a backup. ``at``: the moment that the databases show, ISO 8601; the buckets are later.

    ``databases`` has ``dagster`` and ``mlflow``, ``buckets`` has ``raw`` and ``lake``.
    """

    format: int
    version: str
    at: str
    databases: dict[str, Database]
    buckets: dict[str, Bucket]


class Stored(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """One version of one object. Its bytes are in the file that its ``sha256`` names.

    ``version_id`` and ``etag`` are the store's, "" for a bucket whose versions do not count. ``deleted``:
    no bytes, but the mark that the object is gone.
    """

    key: str
    version_id: str = ""
    etag: str = ""
    bytes: int = 0
    sha256: str = ""
    content_type: str = ""
    encoding: str = ""
    metadata: dict[str, str] = {}
    deleted: bool = False
