"""The lake: everything derived, as immutable objects in S3 under names that carry their content."""

import hashlib
import io
import json
from typing import TYPE_CHECKING, Any

import dagster as dg
from dagster_aws.s3 import S3Resource

if TYPE_CHECKING:
    from pathlib import Path

    import pandas as pd


class Lake(dg.ConfigurableResource):
    """Reads and writes objects of the lake bucket through dagster-aws's ``S3Resource``.

    An object is written in one PUT, so that a reader sees all of it or nothing; frames are named by
    their content, so that a name always means the same rows.
    """

    s3: dg.ResourceDependency[S3Resource]
    bucket: str

    def put(self, key: str, data: bytes, content_type: str = "application/octet-stream") -> str:
        """Write ``data`` under ``key``; the object's ``s3://`` address."""
        self.s3.get_client().put_object(Bucket=self.bucket, Key=key, Body=data, ContentType=content_type)
        return self.address(key)

    def get(self, key: str) -> bytes:
        """The object's bytes; ``botocore.exceptions.ClientError`` if there is none."""
        return bytes(self.s3.get_client().get_object(Bucket=self.bucket, Key=key)["Body"].read())

    def find(self, key: str) -> bytes | None:
        """The object's bytes; None if there is none."""
        from botocore.exceptions import ClientError

        try:
            return self.get(key)
        except ClientError as error:
            if error.response["Error"]["Code"] in ("NoSuchKey", "404"):
                return None
            raise

    def delete(self, key: str) -> None:
        """Remove the object; no harm if there is none."""
        self.s3.get_client().delete_object(Bucket=self.bucket, Key=key)

    def put_file(self, key: str, path: "Path") -> str:
        """Write a file of any size under ``key``; the object's address."""
        self.s3.get_client().upload_file(str(path), self.bucket, key)
        return self.address(key)

    def address(self, key: str) -> str:
        return f"s3://{self.bucket}/{key}"

    def put_frame(self, folder: str, frame: "pd.DataFrame") -> tuple[str, str]:
        """Write ``frame`` as Parquet below ``folder``; its key and its content hash."""
        content = frame_hash(frame)
        key = f"{folder}/{content[:32]}.parquet"
        buffer = io.BytesIO()
        frame.to_parquet(buffer, index=False, compression="zstd")
        self.put(key, buffer.getvalue(), "application/vnd.apache.parquet")
        return key, content

    def get_frame(self, key: str) -> "pd.DataFrame":
        import pandas as pd

        return pd.read_parquet(io.BytesIO(self.get(key)))

    def put_json(self, key: str, value: Any) -> str:
        return self.put(key, json.dumps(value, indent=2, sort_keys=True).encode(), "application/json")

    def get_json(self, key: str) -> Any:
        return json.loads(self.get(key))


def frame_hash(frame: "pd.DataFrame") -> str:
    """SHA-256 over the rows' values, in order, and the columns' names and types."""
    import pandas as pd

    digest = hashlib.sha256(repr([(name, str(kind)) for name, kind in frame.dtypes.items()]).encode())
    digest.update(pd.util.hash_pandas_object(frame, index=False).to_numpy().tobytes())
    return digest.hexdigest()
