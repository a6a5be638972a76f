"""Where the log lies in the lake bucket, and how it gets there.

    <project>/prediction_log/day=YYYY-MM-DD/<first>-<last>-<segment>[-again].parquet
    <project>/prediction_log/answered/day=YYYY-MM-DD/<server>.json
    <project>/prediction_log/dropped/day=YYYY-MM-DD/<segment>.json

The day is that of the request's arrival, UTC. ``first`` and ``last`` are the earliest and the latest arrival
in the object (milliseconds since 1970), so that a listing is in order of arrival. A name follows from the
segment's content alone: shipped twice, it is the same object. ``-again`` marks objects with rows that
were asked again after a crash (``attempt`` above 1).
"""

from __future__ import annotations

import datetime as dt
import re
from typing import TYPE_CHECKING, Any

import msgspec

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    import pyarrow as pa
    from mypy_boto3_s3 import S3Client

    from mlops_assets.project import Project

_NAME = re.compile(r"day=(\d{4}-\d\d-\d\d)/(\d+)-(\d+)-([^/]+?)(-again)?\.parquet$")


class LogObject(msgspec.Struct, frozen=True):
    """One Parquet object. ``first``, ``last``: arrivals of its rows, milliseconds since 1970."""

    key: str
    day: str
    bytes: int
    first: int
    last: int
    again: bool


class Answered(msgspec.Struct, frozen=True, kw_only=True):
    """What one API process answered with 200 on one day (of the requests' arrival, UTC), so far.

    ``rows`` includes ``unlogged_rows``, which the policy at the bound let go unlogged; ``dropped_rows`` were
    logged, and dropped by it before they were shipped. So the log should hold, under answer ids that begin
    with ``server``, at least ``rows - unlogged_rows - dropped_rows``. ``as_of``: seconds since 1970; all
    objects that hold these rows were in the bucket before this was.
    """

    server: str
    day: str
    requests: int
    rows: int
    unlogged_rows: int = 0
    dropped_rows: int = 0
    as_of: float = 0.0


class Dropped(msgspec.Struct, frozen=True, kw_only=True):
    """What a segment held on one day when it was dropped: server -> rows."""

    segment: str
    day: str
    rows: dict[str, int]


def root(project_name: str) -> str:
    """The prefix of all keys of a project's log."""
    return f"{project_name}/prediction_log/"


def object_key(project_name: str, day: str, span: tuple[int, int], segment: str, *, again: bool) -> str:
    """The key of the rows of ``day`` in ``segment``; ``span``: their first and last arrival."""
    name = f"{span[0]:013d}-{span[1]:013d}-{segment}{'-again' if again else ''}.parquet"
    return f"{root(project_name)}day={day}/{name}"


def parse_key(key: str, size: int = 0) -> LogObject | None:
    """The object of that key, None if it is none of the log's."""
    found = _NAME.search(key)
    if found is None:
        return None
    return LogObject(key, found[1], size, int(found[2]), int(found[3]), found[5] is not None)


def list_objects(
    client: S3Client, bucket: str, project_name: str, day: str | None = None, after: str | None = None
) -> list[LogObject]:
    """The log's objects of ``day`` (ISO; None: of all days), in order of arrival.

    ``after``: only keys that sort after this one. An object that came late (the store was down) sorts by the
    arrival of its requests, so remembering the last key seen is not enough to see every object once.
    """
    prefix = f"{root(project_name)}day={day}/" if day else f"{root(project_name)}day="
    return [found for found in iterate_objects(client, bucket, prefix, after) if found is not None]


def iterate_objects(
    client: S3Client, bucket: str, prefix: str, after: str | None = None
) -> Iterator[LogObject]:
    """The objects under ``prefix`` in order, a page at a time."""
    options: dict[str, Any] = {"StartAfter": after} if after else {}
    for page in client.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix, **options):
        for entry in page.get("Contents", []):
            if (found := parse_key(entry["Key"], entry["Size"])) is not None:
                yield found


def list_days(client: S3Client, bucket: str, project_name: str) -> list[str]:
    """The days that have objects, oldest first."""
    prefix = f"{root(project_name)}day="
    pages = client.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix, Delimiter="/")
    return sorted(
        entry["Prefix"].removeprefix(prefix).rstrip("/")
        for page in pages
        for entry in page.get("CommonPrefixes", [])
    )


def answered(client: S3Client, bucket: str, project_name: str, day: str) -> list[Answered]:
    """What each API process answered on ``day``. List the objects after this, never before."""
    folder = f"{root(project_name)}answered/day={day}/"
    found = [msgspec.json.decode(body, type=Answered) for body in _bodies(client, bucket, folder)]
    dropped: dict[str, int] = {}
    for body in _bodies(client, bucket, f"{root(project_name)}dropped/day={day}/"):
        for server, rows in msgspec.json.decode(body, type=Dropped).rows.items():
            dropped[server] = dropped.get(server, 0) + rows
    return [msgspec.structs.replace(one, dropped_rows=dropped.get(one.server, 0)) for one in found]


def put_answered(client: S3Client, bucket: str, project_name: str, counts: Answered) -> None:
    key = f"{root(project_name)}answered/day={counts.day}/{counts.server}.json"
    client.put_object(Bucket=bucket, Key=key, Body=msgspec.json.encode(counts))


def put_dropped(client: S3Client, bucket: str, project_name: str, counts: Dropped) -> None:
    key = f"{root(project_name)}dropped/day={counts.day}/{counts.segment}.json"
    client.put_object(Bucket=bucket, Key=key, Body=msgspec.json.encode(counts))


def put_rows(
    client: S3Client, bucket: str, project: Project, columns: Mapping[str, Any], segment: str = "made-1"
) -> list[str]:
    """Write log objects of plain columns (see ``schema.make_table``), one a day; their keys.

    The endpoint does not come by here: this is for tests, and for bringing in what was logged elsewhere.
    """
    import pyarrow.compute as pc

    from serving.prediction_log.schema import make_table

    table = make_table(project, columns)
    days = pc.strftime(table["time"], format="%Y-%m-%d")
    keys = []
    for day in sorted(days.unique().to_pylist()):
        part = table.filter(pc.equal(days, day))
        span = pc.min_max(part["time"]).as_py()
        again = pc.max(part["attempt"]).as_py() > 1
        keys.append(
            object_key(
                project.name,
                day,
                (_milliseconds(span["min"]), _milliseconds(span["max"])),
                segment,
                again=again,
            )
        )
        client.put_object(Bucket=bucket, Key=keys[-1], Body=encode(part))
    return keys


def encode(table: pa.Table) -> bytes:
    """The table as the bytes of a Parquet object."""
    import io

    import pyarrow.parquet as pq

    out = io.BytesIO()
    pq.write_table(table, out, **parquet_options(table.schema))
    return out.getvalue()


def parquet_options(columns: pa.Schema) -> dict[str, Any]:
    """How objects are written: texts by dictionary, but for those that never repeat."""
    repeating = [
        field.name
        for field in columns
        if str(field.type) == "string" and field.name not in {"request_id", "answer_id"}
    ]
    return {"compression": "zstd", "version": "2.6", "use_dictionary": repeating}


def _milliseconds(moment: dt.datetime) -> int:
    return round((moment - dt.datetime(1970, 1, 1, tzinfo=dt.UTC)) / dt.timedelta(milliseconds=1))


def _bodies(client: S3Client, bucket: str, prefix: str) -> Iterator[bytes]:
    for page in client.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix):
        for entry in page.get("Contents", []):
            yield client.get_object(Bucket=bucket, Key=entry["Key"])["Body"].read()
