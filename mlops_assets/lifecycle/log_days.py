"""A day of the prediction log as ``predictions`` knows it: its objects, and what is in each of them."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from typing import TYPE_CHECKING, Any

import dagster as dg
import msgspec
import sqlalchemy as sa

from mlops_assets.lifecycle.event_partitions import event_partitions, event_time_column
from mlops_assets.resources.tables import logged_predictions

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    import pyarrow as pa

    from mlops_assets.project import Project
    from mlops_assets.resources.lake import Lake
    from serving.prediction_log.objects import Answered, LogObject

ALL = ""
"""In the place of a partition: the whole day."""

_L = logged_predictions.c


class Entry(msgspec.Struct, frozen=True):
    """What an object of the log holds: rows by version, by partition of the event, by server.

    ``first`` and ``last``: arrivals, milliseconds since 1970.
    """

    key: str
    bytes: int
    first: int
    last: int
    again: bool
    rows: int
    versions: dict[str, int]
    partitions: dict[str, int]
    servers: dict[str, int]


class Manifest(msgspec.Struct, frozen=True):
    """A day of the log. JSON: ``msgspec.json``."""

    project: str
    day: str
    entries: tuple[Entry, ...]

    @property
    def rows(self) -> int:
        return sum(entry.rows for entry in self.entries)

    def count(self, what: str) -> dict[str, int]:
        """Rows by ``versions``, ``partitions`` or ``servers``, over all objects."""
        total: Counter[str] = Counter()
        for entry in self.entries:
            total.update(getattr(entry, what))
        return dict(sorted(total.items()))

    def of_partition(self, partition: str) -> list[Entry]:
        """The objects that hold rows of ``partition``."""
        return [entry for entry in self.entries if partition in entry.partitions]


def days_def(project: Project) -> dg.DynamicPartitionsDefinition:
    """The days that the project's log has objects of.

    Not a daily series: a day without a request would be a gap in it for ever, and the first day would
    have to be declared. A day is added when the log has its first object.
    """
    return dg.DynamicPartitionsDefinition(name=f"{project.name}_prediction_days")


def manifest_key(project: Project, day: str) -> str:
    return f"{project.name}/predictions/{day}/manifest.json"


def read_manifest(lake: Lake, project: Project, day: str) -> Manifest | None:
    """The day's manifest; None if there is none yet, or one of another form."""
    data = lake.find(manifest_key(project, day))
    try:
        return msgspec.json.decode(data, type=Manifest) if data is not None else None
    except msgspec.MsgspecError:
        return None  # written by other code: made anew


def make_manifest(
    lake: Lake, project: Project, day: str, objects: Sequence[LogObject], before: Manifest | None
) -> Manifest:
    """The manifest of ``objects``, which are all of the day.

    Objects never change, so that those which ``before`` knows are not read again; but for the arrival
    of one that says which answers were given again, for it takes rows away from the others.
    """
    known = {entry.key: entry for entry in before.entries} if before else {}
    if {o.key for o in objects if o.again} != {k for k, entry in known.items() if entry.again}:
        known = {}
    new = [o for o in objects if o.key not in known or known[o.key].bytes != o.bytes]
    found = {**known, **_read(lake, project, new)}
    return Manifest(project.name, day, tuple(found[o.key] for o in objects))


def _read(lake: Lake, project: Project, objects: Sequence[LogObject]) -> dict[str, Entry]:
    """What ``objects`` hold, read a batch at a time."""
    from serving.prediction_log.reader import keyed_batches

    event_time = event_time_column(project)
    counts = {o.key: (Counter[str](), Counter[str](), Counter[str]()) for o in objects}
    columns = ["answer_id", "version", event_time]
    for key, batch in keyed_batches(lake.s3.get_client(), lake.bucket, list(counts), columns):
        versions, partitions, servers = counts[key]
        versions.update(_counted(batch.column("version")))
        partitions.update(_counted(event_partitions(project, batch.column(event_time))))
        servers.update(_counted(_servers(batch.column("answer_id"))))
    return {
        o.key: Entry(
            o.key, o.bytes, o.first, o.last, o.again, counts[o.key][0].total(), *map(dict, counts[o.key])
        )
        for o in objects
    }


def _counted(values: pa.Array) -> dict[str, int]:
    import pyarrow.compute as pc

    return {str(one["values"]): one["counts"] for one in pc.value_counts(values).to_pylist()}


def _servers(answer_ids: pa.Array) -> pa.Array:
    import pyarrow.compute as pc

    return pc.replace_substring_regex(answer_ids, ":.*$", "")


def digest(objects: Iterable[tuple[str, int]]) -> str:
    """Tells sets of log objects (key, bytes) apart."""
    return hashlib.sha256(json.dumps(sorted(objects)).encode()).hexdigest()[:16]


def state_of(objects: Sequence[LogObject], answered: Sequence[Answered]) -> str:
    """The data version of a day: its objects, and what the servers say they answered."""
    said = sorted((one.server, one.rows, one.unlogged_rows, one.dropped_rows) for one in answered)
    counts = hashlib.sha256(json.dumps(said).encode()).hexdigest()[:8]
    return f"{digest((o.key, o.bytes) for o in objects)}.{counts}"


def objects_of(state: str) -> str:
    """The part of ``state_of`` that the objects alone decide."""
    return state.partition(".")[0]


def write_down(connection: sa.Connection, manifest: Manifest) -> None:
    """Note what the day holds where the sensor looks, in place of what was noted before."""
    here = sa.and_(_L.project == manifest.project, _L.day == manifest.day)
    connection.execute(logged_predictions.delete().where(here))
    parts: dict[str, list[Entry]] = {ALL: list(manifest.entries)}
    for partition in manifest.count("partitions"):
        parts[partition] = manifest.of_partition(partition)
    rows = [
        {
            "project": manifest.project,
            "day": manifest.day,
            "partition": name,
            "rows": sum(e.partitions[name] if name else e.rows for e in entries),
            "bytes": sum(e.bytes for e in entries),
            "digest": digest((e.key, e.partitions[name] if name else e.bytes) for e in entries),
        }
        for name, entries in parts.items()
    ]
    connection.execute(logged_predictions.insert(), rows)


def logged_by_partition(connection: sa.Connection, project: str) -> dict[str, dict[str, str]]:
    """Partition -> day -> digest of the objects of that day which hold its predictions."""
    query = sa.select(_L.partition, _L.day, _L.digest).where(
        _L.project == project, _L.partition != ALL, _L.rows > 0
    )
    found: dict[str, dict[str, str]] = {}
    for partition, day, seen in connection.execute(query):
        found.setdefault(partition, {})[day] = seen
    return found


class LoggedDay(msgspec.Struct, frozen=True):
    """What was noted of a day; ``age``: seconds ago."""

    rows: int
    bytes: int
    age: float


def logged_days(connection: sa.Connection, project: str) -> dict[str, LoggedDay]:
    """Day -> what was noted of it."""
    age = sa.func.extract("epoch", sa.func.clock_timestamp() - _L.at)
    query = sa.select(_L.day, _L.rows, _L.bytes, age).where(_L.project == project, _L.partition == ALL)
    return {day: LoggedDay(rows, size, float(old)) for day, rows, size, old in connection.execute(query)}


def completeness(manifest: Manifest, answered: Sequence[Answered]) -> dict[str, Any]:
    """What the servers answered and what is logged of it: figures for the check ``log_complete``."""
    logged: Mapping[str, int] = manifest.count("servers")
    counted = {one.server: one for one in answered}
    lost = {server: max(0, one.rows - logged.get(server, 0)) for server, one in counted.items()}
    given_up = {server: one.unlogged_rows + one.dropped_rows for server, one in counted.items()}
    return {
        "answered": sum(one.rows for one in answered),
        "logged": manifest.rows,
        "missing": sum(lost.values()),
        "given up": sum(min(lost[server], given_up[server]) for server in counted),
        "servers": len({*logged, *counted}),
        # They died before their last count was shipped: what they logged is all there is to go by.
        "rows of servers without a count": sum(n for name, n in logged.items() if name not in counted),
    }
