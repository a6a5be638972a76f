"""Pages of an S3 prefix, parsed only when they changed since they were last looked at.

Parsing is where the time of listing goes in boto3. Its ``before-parse`` event gives the page's raw
body: the objects in it are cut out before boto3 parses the rest, and told apart by a digest.
"""

from __future__ import annotations

import hashlib
from contextvars import ContextVar
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote_plus
from xml.etree import ElementTree as ET

from botocore.exceptions import ClientError

if TYPE_CHECKING:
    from collections.abc import Mapping

_RAW = "RawContents"
_cutting: ContextVar[bool] = ContextVar("cutting", default=False)
_FIRST, _LAST = b"<Contents>", b"</Contents>"


@dataclass(frozen=True)
class Page:
    """One page of a listing. ``contents`` is the raw XML of its objects; ``after`` leads to the next page."""

    contents: bytes
    after: str | None
    url_encoded: bool

    @property
    def digest(self) -> bytes:
        return hashlib.blake2b(self.contents, digest_size=16).digest()

    def etags(self) -> dict[str, str]:
        """Key -> ETag, without quotes. Keys that end with / are folder markers, not objects."""
        root = ET.fromstring(b"<page>" + self.contents + b"</page>")  # noqa: S314 (our own store's answer)
        found = {}
        for item in root:
            key = item.findtext("Key") or ""
            key = unquote_plus(key) if self.url_encoded else key
            if not key.endswith("/"):
                found[key] = (item.findtext("ETag") or "").strip('"')
        return found


class BadContinuation(Exception):  # noqa: N818 (it is an answer, not a failure)
    """The store does not know the continuation any more: begin again."""


def list_page(client: Any, bucket: str, prefix: str, after: str | None) -> Page:
    """The page that follows ``after``, or the first.

    Raises ``BadContinuation`` when the store refuses ``after``, ``ClientError`` for all else.
    """
    client.meta.events.register("before-parse.s3.ListObjectsV2", _cut_out_contents, unique_id=_RAW)
    more: Mapping[str, str] = {"ContinuationToken": after} if after else {}
    cutting = _cutting.set(True)
    try:
        answer = client.list_objects_v2(Bucket=bucket, Prefix=prefix, **more)
    except ClientError as error:
        if after and error.response["ResponseMetadata"]["HTTPStatusCode"] == 400:
            raise BadContinuation(after) from error
        raise
    finally:
        _cutting.reset(cutting)
    following = answer.get("NextContinuationToken") if answer["IsTruncated"] else None
    return Page(answer.get(_RAW, b""), following, answer.get("EncodingType") == "url")


def _cut_out_contents(
    response_dict: dict[str, Any], customized_response_dict: dict[str, Any], **_: Any
) -> None:
    if not _cutting.get():
        return  # somebody else's listing by the same client
    body: bytes = response_dict["body"]
    start, end = body.find(_FIRST), body.rfind(_LAST)
    if response_dict["status_code"] == 200 and start >= 0:
        end += len(_LAST)
        customized_response_dict[_RAW] = body[start:end]
        response_dict["body"] = body[:start] + body[end:]
