"""Objects put back into the buckets: nothing is deleted, and what is still there is not written again."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import groupby
from typing import TYPE_CHECKING, Any

from mlops_assets.automation.ledger import version_id_of
from mlops_assets.platform.backup.objects import side_by_side

if TYPE_CHECKING:
    from collections.abc import Iterable

    from mypy_boto3_s3 import S3Client

    from mlops_assets.platform.backup.folder import Folder
    from mlops_assets.platform.backup.manifest import Stored
    from mlops_assets.platform.backup.versions import Progress

_MOST_IN_ONE_PUT = 5 * 1024**3


@dataclass(frozen=True)
class PuttingBack:
    """Puts what ``folder`` has into ``bucket``. ``occupied``: there is something in it that may be it."""

    client: S3Client
    bucket: str
    folder: Folder
    occupied: bool

    def newest(self, index: Iterable[Stored]) -> int:
        """One version of each object; how many had to be written."""
        return sum(side_by_side(self._put_unless_there, index))

    def versions(self, index: Iterable[Stored], progress: Progress) -> int:
        """All versions of each object, in their order; how many had to be written."""
        objects = ((key, list(versions)) for key, versions in groupby(index, key=lambda one: one.key))
        return sum(side_by_side(lambda one: self._put_in_order(*one, progress), objects))

    def _put_unless_there(self, one: Stored) -> int:
        if self.occupied and self._etag(one.key) == one.etag:
            return 0
        self._put(one)
        return 1

    def _put_in_order(self, key: str, versions: list[Stored], progress: Progress) -> int:
        """Write all versions or none: one written after the newest would take its place."""
        known = progress.of(key)
        contents = [one for one in versions if not one.deleted]
        if not contents or (not known and self._there(contents[-1])):
            return 0
        missing = [one for one in versions if one.version_id not in known]
        for one in missing:
            now, etag = self._delete(key) if one.deleted else self._put(one)
            progress.note(key, one.version_id, now, etag)
        return len(missing)

    def _there(self, one: Stored) -> bool:
        """Whether the bucket still has this very version."""
        # The version of before the bucket kept any has no id that would tell it from others.
        version_id = "null" if one.version_id == f"etag:{one.etag}" else one.version_id
        return self.occupied and self._etag(one.key, VersionId=version_id) == one.etag

    def _etag(self, key: str, **which: Any) -> str | None:
        """The ETag of what is there; None if nothing is."""
        from botocore.exceptions import ClientError

        try:
            return self.client.head_object(Bucket=self.bucket, Key=key, **which)["ETag"].strip('"')
        except ClientError as error:
            # 400: an id that this store could not have given; 405: a mark of deletion.
            if error.response["ResponseMetadata"]["HTTPStatusCode"] in (400, 404, 405):
                return None
            raise

    def _delete(self, key: str) -> tuple[str, str]:
        """Mark the object as deleted; the mark's id."""
        return str(self.client.delete_object(Bucket=self.bucket, Key=key).get("VersionId", "")), ""

    def _put(self, one: Stored) -> tuple[str, str]:
        """Write the version; what the ledger is to call it, and its ETag."""
        said: dict[str, Any] = {
            "ContentType": one.content_type,
            "ContentEncoding": one.encoding,
            "Metadata": one.metadata,
        }
        more = {name: value for name, value in said.items() if value}
        with self.folder.place(one.sha256).open("rb") as body:
            # In one piece where it was: then the copy has the original's ETag.
            if one.bytes < _MOST_IN_ONE_PUT and "-" not in one.etag:
                answer: Any = self.client.put_object(Bucket=self.bucket, Key=one.key, Body=body, **more)
            else:
                self.client.upload_fileobj(body, self.bucket, one.key, ExtraArgs=more)
                answer = self.client.head_object(Bucket=self.bucket, Key=one.key)
        return version_id_of(answer), str(answer["ETag"]).strip('"')
