"""Many small objects at once."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import urllib3
from botocore.auth import S3SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

if TYPE_CHECKING:
    from collections.abc import Iterable

    from mlops_assets_tests.services import ObjectStore


def put_many(store: ObjectStore, bucket: str, keys: Iterable[str]) -> None:
    """One object for each key, its own name its content; without boto3's cost of a millisecond each."""
    auth = S3SigV4Auth(Credentials(store.access_key, store.secret_key), "s3", "us-east-1")
    pool = urllib3.connection_from_url(store.endpoint_url, maxsize=16)

    def put(key: str) -> None:
        request = AWSRequest("PUT", f"{store.endpoint_url}/{bucket}/{key}", data=key.encode())
        auth.add_auth(request)
        headers = dict(request.headers.items())
        answer = pool.request("PUT", f"/{bucket}/{key}", body=key.encode(), headers=headers)
        if answer.status != 200:
            raise RuntimeError(f"the store answered {answer.status}: {answer.data[:200]!r}")

    with ThreadPoolExecutor(16) as threads:
        list(threads.map(put, keys))
