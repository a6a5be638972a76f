"""One S3 client a process, and dagster-aws's S3 resource with it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from dagster_aws.s3 import S3Resource

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

_clients: dict[str, S3Client] = {}


def shared_client(s3: S3Resource) -> S3Client:
    """The process's client for the configuration of ``s3``: making one costs 0.1 s of CPU.

    boto3's clients may be used by several threads at once.
    """
    config = s3.model_dump_json()
    if config not in _clients:
        _clients[config] = cast("S3Client", S3Resource.get_client(s3))
    return _clients[config]


class SharedS3Resource(S3Resource):
    """Makes its client once: Dagster asks for one at every tick and step."""

    def get_client(self) -> Any:
        """The process's client for this configuration."""
        return shared_client(self)
