"""dagster-aws's S3 resource, with one client a process."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from dagster_aws.s3 import S3Resource

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

_clients: dict[str, S3Client] = {}


class SharedS3Resource(S3Resource):
    """Makes its client once: Dagster asks for one at every tick and step, at 0.1 s of CPU each.

    boto3's clients may be used by several threads at once.
    """

    def get_client(self) -> Any:
        """The process's client for this configuration."""
        config = self.model_dump_json()
        if config not in _clients:
            _clients[config] = cast("S3Client", super().get_client())
        return _clients[config]
