"""The lake bucket, as the settings name it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from mlops_assets.settings import Settings, get_settings

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client


@dataclass(frozen=True)
class Lake:
    """A client and the bucket's name."""

    client: S3Client
    bucket: str


def open_lake() -> Lake:
    """The lake; asks nobody yet. The settings are read anew: keys may have been made meanwhile."""
    import boto3
    from botocore.config import Config

    get_settings.cache_clear()
    settings: Settings = get_settings()
    key, secret = settings.s3_credentials
    keys: dict[str, Any] = {"aws_access_key_id": key, "aws_secret_access_key": secret} if key else {}
    config = Config(
        connect_timeout=2, read_timeout=20, retries={"max_attempts": 1}, s3={"addressing_style": "path"}
    )
    client = boto3.client(
        "s3", endpoint_url=settings.s3_url, region_name=settings.s3_region, config=config, **keys
    )
    return Lake(client, settings.lake_bucket)
