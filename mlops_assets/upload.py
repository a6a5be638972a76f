"""Putting files into the raw bucket, as a data engineer's exporter would."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from mlops_assets.platform.object_store import s3_client

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from mlops_assets.settings import Settings


def put_objects(settings: Settings, project: str, objects: Mapping[str, bytes]) -> list[str]:
    """Put ``objects`` (name below the project -> content) into the raw bucket; their keys."""
    client = s3_client(settings)

    def put(item: tuple[str, bytes]) -> str:
        key = f"{project}/{item[0]}"
        client.put_object(Bucket=settings.raw_bucket, Key=key, Body=item[1])
        return key

    with ThreadPoolExecutor(8) as pool:
        return list(pool.map(put, objects.items()))


def raw_objects(settings: Settings, project: str) -> dict[str, datetime]:
    """The project's objects in the raw bucket: name, without the project's part, and when it was put."""
    pages = s3_client(settings).get_paginator("list_objects_v2")
    found = pages.paginate(Bucket=settings.raw_bucket, Prefix=f"{project}/")
    return {
        entry["Key"].removeprefix(f"{project}/"): entry["LastModified"]
        for page in found
        for entry in page.get("Contents", [])
    }
