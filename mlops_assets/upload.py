"""Putting files into the raw bucket, as a data engineer's exporter would."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mypy_boto3_s3 import S3Client

    from mlops_assets.settings import Settings


def s3_client(settings: Settings) -> S3Client:
    """A client of the platform's object store."""
    import boto3

    access_key, secret_key = settings.s3_credentials
    return boto3.client(
        "s3",
        endpoint_url=settings.s3_url,
        region_name=settings.s3_region,
        aws_access_key_id=access_key or None,
        aws_secret_access_key=secret_key or None,
    )


def put_objects(settings: Settings, project: str, objects: Mapping[str, bytes]) -> list[str]:
    """Put ``objects`` (name below the project -> content) into the raw bucket; their keys."""
    client = s3_client(settings)

    def put(item: tuple[str, bytes]) -> str:
        key = f"{project}/{item[0]}"
        client.put_object(Bucket=settings.raw_bucket, Key=key, Body=item[1])
        return key

    with ThreadPoolExecutor(8) as pool:
        return list(pool.map(put, objects.items()))


def raw_keys(settings: Settings, project: str) -> set[str]:
    """The names of the project's objects in the raw bucket, without the project's part."""
    pages = s3_client(settings).get_paginator("list_objects_v2")
    found = pages.paginate(Bucket=settings.raw_bucket, Prefix=f"{project}/")
    return {entry["Key"].removeprefix(f"{project}/") for page in found for entry in page.get("Contents", [])}
