"""Reading the log: the rows of objects without those that were superseded, and all rows of one request."""

from __future__ import annotations

import datetime as dt
import io
import itertools
import re
import time
from typing import TYPE_CHECKING, Any

from serving.prediction_log.objects import iterate_objects, list_days, parse_key, root

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import pyarrow as pa
    import pyarrow.parquet as pq
    from mypy_boto3_s3 import S3Client

    from mlops_assets.project import Project
    from serving.prediction_log.objects import LogObject

BATCH_ROWS = 65_536
LONGEST_SEGMENT_SECONDS = 1200
"""No object's first and last row are further apart: a bound on how far back a time has to be looked for."""

LOOK_BACK_DAYS = 7
MOST_OBJECTS = 2_000
"""How far back, and through how many objects, an id without a time in it is looked for."""

_TIMED_ID = re.compile("([0-9a-f]{12})7[0-9a-f]{3}[89ab][0-9a-f]{15}")


def read_batches(
    client: S3Client, bucket: str, keys: Sequence[str], columns: Sequence[str] | None = None
) -> Iterator[pa.RecordBatch]:
    """The rows of the objects ``keys``, in that order; ``columns`` only (None: all).

    At most one object and ``BATCH_ROWS`` rows are in memory.
    Rows are left out whose answer was given again with a higher attempt: the model's process died between
    recording and sending. All objects of the keys' days are searched for such answers.
    """
    return (batch for _, batch in keyed_batches(client, bucket, keys, columns))


def keyed_batches(
    client: S3Client, bucket: str, keys: Sequence[str], columns: Sequence[str] | None = None
) -> Iterator[tuple[str, pa.RecordBatch]]:
    """As ``read_batches``, each batch with the key of its object."""
    newest = _asked_again(client, bucket, keys)
    hidden = [] if columns is None else [n for n in ("answer_id", "attempt") if newest and n not in columns]
    for key in keys:
        file = _open(client, bucket, key)
        wanted = None if columns is None else [*columns, *hidden]
        for batch in file.iter_batches(BATCH_ROWS, columns=_leaves(file, wanted)):
            kept = _newest_only(batch, newest)
            if kept.num_rows:
                yield key, kept.select(list(columns)) if columns is not None else kept


def find(
    client: S3Client, bucket: str, project: Project, request_id: str, day: str | None = None
) -> list[dict[str, Any]]:
    """The rows of the request ``request_id`` as the log has them, oldest first; empty if it is not found.

    An id that the endpoint made begins with its time and is looked up directly. Any other is searched for
    from the newest object on, through ``LOOK_BACK_DAYS`` days and ``MOST_OBJECTS`` objects, or through
    ``day`` (ISO) alone.
    """
    import pyarrow.compute as pc

    for together in _candidates(client, bucket, project.name, request_id, day):
        rows: list[dict[str, Any]] = []
        for candidate in together:
            file = _open(client, bucket, candidate.key)
            asked = pc.equal(file.read(["request_id"])["request_id"], request_id)
            if pc.any(asked).as_py():
                rows += file.read().filter(asked).to_pylist()
        if rows:
            return newest_rows(rows)
    return []


def newest_rows(rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """``rows`` without those whose answer was given again, and without repetitions; by time and row."""
    highest: dict[str, int] = {}
    for row in rows:
        highest[row["answer_id"]] = max(row["attempt"], highest.get(row["answer_id"], 0))
    kept = {
        (row["answer_id"], row["row"]): row for row in rows if row["attempt"] == highest[row["answer_id"]]
    }
    return sorted(kept.values(), key=lambda row: (row["time"], row["answer_id"], row["row"]))


def time_of_id(request_id: str) -> int | None:
    """When the endpoint made ``request_id``, milliseconds since 1970; None if it did not."""
    found = _TIMED_ID.fullmatch(request_id)
    return int(found[1], 16) if found else None


def _candidates(
    client: S3Client, bucket: str, name: str, request_id: str, day: str | None
) -> Iterator[list[LogObject]]:
    """Objects that may hold the request, the likeliest first; those of one list belong together."""
    made = time_of_id(request_id)
    if made is not None and made < (time.time() + 86_400) * 1000:
        own = dt.datetime.fromtimestamp(made / 1000, dt.UTC).date().isoformat()
        folder = f"{root(name)}day={own}/"
        after = f"{folder}{max(made - LONGEST_SEGMENT_SECONDS * 1000, 0):013d}"
        from_then = iterate_objects(client, bucket, folder, after)
        at_its_time = itertools.takewhile(lambda found: found.first <= made, from_then)
        yield from _superseding_first([found for found in at_its_time if found.last >= made])
    days = [day] if day else list_days(client, bucket, name)[: -LOOK_BACK_DAYS - 1 : -1]
    left = MOST_OBJECTS
    for one in days:
        of_day = list(iterate_objects(client, bucket, f"{root(name)}day={one}/"))[::-1]
        within = of_day if day else of_day[:left]
        left -= len(within)
        yield from _superseding_first(within)


def _superseding_first(found: list[LogObject]) -> Iterator[list[LogObject]]:
    """Objects with rows that were asked again, together: they supersede what the others have."""
    yield [one for one in found if one.again]
    for one in found:
        if not one.again:
            yield [one]


def _asked_again(client: S3Client, bucket: str, keys: Sequence[str]) -> dict[str, int]:
    """Answer id -> its highest attempt, for all answers of the keys' days that were given again."""
    import pyarrow.compute as pc

    folders = sorted({key.rpartition("/")[0] + "/" for key in keys if parse_key(key) is not None})
    found: dict[str, int] = {}
    for folder in folders:
        for candidate in iterate_objects(client, bucket, folder):
            if not candidate.again:
                continue
            table = _open(client, bucket, candidate.key).read(["answer_id", "attempt"])
            table = table.filter(pc.greater(table["attempt"], 1))
            for answer, attempt in zip(*(table[n].to_pylist() for n in table.column_names), strict=True):
                found[answer] = max(attempt, found.get(answer, 0))
    return found


def _newest_only(batch: pa.RecordBatch, newest: dict[str, int]) -> pa.RecordBatch:
    if not newest:
        return batch
    import pyarrow as pa

    answers, attempts = batch.column("answer_id").to_pylist(), batch.column("attempt").to_pylist()
    kept = [newest.get(a, attempt) == attempt for a, attempt in zip(answers, attempts, strict=True)]
    return batch.filter(pa.array(kept, pa.bool_()))


def _leaves(file: pq.ParquetFile, columns: Sequence[str] | None) -> list[str] | None:
    """``columns`` as Parquet names them: a dot in a name is no path to a nested field."""
    if columns is None:
        return None
    if missing := set(columns) - set(file.schema_arrow.names):
        raise KeyError(f"the log object has no columns {', '.join(sorted(missing))}")
    return list(columns)


def _open(client: S3Client, bucket: str, key: str) -> pq.ParquetFile:
    import pyarrow.parquet as pq

    return pq.ParquetFile(io.BytesIO(client.get_object(Bucket=bucket, Key=key)["Body"].read()))
