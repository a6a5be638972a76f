"""What is in the buckets, copied into the folder of a backup piece by piece."""

from __future__ import annotations

from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar

import msgspec

from mlops_assets.automation.ledger import version_id_of
from mlops_assets.platform.backup.manifest import Bucket, Stored

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from mypy_boto3_s3 import S3Client

    from mlops_assets.platform.backup.folder import Folder

THREADS = 8
_AHEAD = 4 * THREADS
_GONE = {"NoSuchKey", "NoSuchVersion", "404"}
_One = TypeVar("_One")
_Answer = TypeVar("_Answer")


def side_by_side(do: Callable[[_One], _Answer], work: Iterable[_One]) -> Iterator[_Answer]:
    """The answers in the order of ``work``, which is not read far ahead: there may be millions."""
    with ThreadPoolExecutor(THREADS) as threads:
        waiting: deque[Future[_Answer]] = deque()
        try:
            for one in work:
                waiting.append(threads.submit(do, one))
                if len(waiting) > _AHEAD:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            for future in waiting:
                future.cancel()


def keys_in(client: S3Client, bucket: str) -> Iterator[str]:
    """The keys of the objects that are there now."""
    for page in client.get_paginator("list_objects_v2").paginate(Bucket=bucket):
        for one in page.get("Contents", []):
            yield one["Key"]


def versions_of(client: S3Client, bucket: str, key: str) -> list[Stored]:
    """The versions of one object, oldest first; then the mark that it is deleted, if it is now.

    Asked key by key: SeaweedFS loses keys between the pages of a whole bucket's versions (its order of
    folders is not that of their keys). A deletion between two versions is not told.
    """
    found: list[Stored] = []
    deleted = False
    pages = client.get_paginator("list_object_versions").paginate(Bucket=bucket, Prefix=key, Delimiter="/")
    for page in pages:
        found += [Stored(key, one["VersionId"]) for one in page.get("Versions", []) if one["Key"] == key]
        deleted |= any(one["Key"] == key and one["IsLatest"] for one in page.get("DeleteMarkers", []))
    found.reverse()
    return [*found, Stored(key, deleted=True)] if deleted else found


@dataclass
class Copying:
    """Copies a bucket into ``folder``, and writes an index of it.

    ``ledger``: key -> the version that is taken to be the newest (None where the object was deleted), of a
    bucket whose versions count; ``versions`` False: only what is there now counts.
    """

    client: S3Client
    bucket: str
    folder: Folder
    versions: bool = False
    ledger: dict[str, str | None] = field(default_factory=dict)

    def __call__(self, index: str) -> Bucket:
        objects = versions = total = lost = 0
        encoder = msgspec.json.Encoder()
        with (self.folder.path / index).open("wb") as lines:
            for key, stored in side_by_side(self._copy, self._keys()):
                objects += bool(stored)
                versions += len(stored)
                total += sum(one.bytes for one in stored)
                lost += self._lost(key, stored)
                lines.writelines(encoder.encode(one) + b"\n" for one in stored)
        return Bucket(self.bucket, self.folder.file(index), objects, versions, total, lost)

    def _keys(self) -> Iterator[str]:
        """All that are there, then those that only the ledger knows: their older versions are kept."""
        only_known = set(self.ledger)
        for key in keys_in(self.client, self.bucket):
            only_known.discard(key)
            yield key
        yield from sorted(only_known)

    def _copy(self, key: str) -> tuple[str, list[Stored]]:
        wanted = versions_of(self.client, self.bucket, key) if self.versions else [Stored(key)]
        return key, [kept for one in wanted if (kept := one if one.deleted else self._keep(one))]

    def _keep(self, one: Stored) -> Stored | None:
        """The version with its bytes stored; None if it was deleted since it was listed."""
        from botocore.exceptions import ClientError

        which: Any = {"VersionId": one.version_id} if one.version_id else {}
        try:
            answer: Any = self.client.get_object(Bucket=self.bucket, Key=one.key, **which)
        except ClientError as error:
            if error.response["Error"]["Code"] in _GONE:
                return None
            raise
        kept = self.folder.keep(answer["Body"])
        return msgspec.structs.replace(
            one,
            version_id=version_id_of(answer) if self.versions else "",
            etag=answer["ETag"].strip('"'),
            bytes=kept.bytes,
            sha256=kept.sha256,
            content_type=answer.get("ContentType", ""),
            encoding=answer.get("ContentEncoding", ""),
            metadata=answer.get("Metadata", {}),
        )

    def _lost(self, key: str, stored: list[Stored]) -> bool:
        known = self.ledger.get(key)
        return known is not None and known not in {one.version_id for one in stored}
