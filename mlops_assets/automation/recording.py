"""The ledger as the scan of the store uses it: what is there now, as far as it was seen."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import distinct_on, insert

from mlops_assets.resources.tables import ledger_generations, object_versions

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable
    from datetime import datetime

    from mlops_assets.automation.places import Place

_V = object_versions.c
_NEXT_SEQ = sa.text("nextval(pg_get_serial_sequence('mlops.object_versions', 'seq'))")
UNREAD = ("seen", "unplaced")
"""States of a version that a newer one, or a deletion, puts an end to."""


@dataclass(frozen=True)
class Seen:
    """An object version as the store describes it. ``bytes`` is its size."""

    key: str
    version_id: str
    etag: str
    bytes: int
    last_modified: datetime


class Recording:
    """What is known of one project's objects. Each method is one transaction."""

    def __init__(self, engine: sa.Engine, project: str, place: Callable[[str], Place]) -> None:
        self._engine = engine
        self._project = project
        self._place = place
        self._current = sa.and_(_V.project == project, _V.current)

    def generation(self) -> int:
        """Grows with each change of the current objects."""
        generations = ledger_generations.c
        query = sa.select(generations.generation).where(generations.project == self._project)
        with self._engine.connect() as connection:
            return connection.execute(query).scalar() or 0

    def etags(self, keys: Collection[str]) -> dict[str, str]:
        """Key -> ETag of the current version, for those of ``keys`` that are known."""
        query = sa.select(_V.key, _V.etag).where(self._current, _among(_V.key, keys))
        with self._engine.connect() as connection:
            return {row.key: row.etag for row in connection.execute(query)}

    def count(self) -> int:
        """How many objects are known to be there."""
        query = sa.select(sa.func.count()).select_from(object_versions).where(self._current)
        with self._engine.connect() as connection:
            return int(connection.execute(query).scalar_one())

    def keys(self) -> set[str]:
        """The keys of the objects known to be there."""
        with self._engine.connect() as connection:
            return set(connection.execute(sa.select(_V.key).where(self._current)).scalars())

    def record(self, objects: Iterable[Seen]) -> int:
        """Note the newest versions of some keys; returns how many of them were news."""
        found = {seen.key: seen for seen in objects}
        with self._engine.begin() as connection:
            self._next_generation(connection)
            last = self._latest(connection, list(found))
            news = [seen for seen in found.values() if not _same(last.get(seen.key), seen)]
            self._retire(connection, "superseded", [seen.key for seen in news])
            self._insert(connection, [self._row(seen, last.get(seen.key)) for seen in news])
        return len(news)

    def forget(self, keys: Collection[str]) -> None:
        """Note that the objects ``keys`` were deleted. What was read of them stays."""
        with self._engine.begin() as connection:
            self._next_generation(connection)
            self._retire(connection, "deleted", keys)

    def place_again(self, limit: int = 1000) -> int:
        """Place what had no place before: a month ends, code changes. Returns how many objects got one."""
        query = sa.select(_V.seq, _V.key).where(self._current, _V.state == "unplaced").limit(limit)
        with self._engine.begin() as connection:
            placed = 0
            for seq, key in connection.execute(query.order_by(_V.seq)).all():
                where = self._place(key)
                if where.reason is None:
                    values = {"state": "seen", "source": where.source, "partition": where.partition}
                    connection.execute(
                        sa.update(object_versions).where(_V.seq == seq).values(reason=None, **values)
                    )
                    placed += 1
        return placed

    def _next_generation(self, connection: sa.Connection) -> None:
        # Also serializes the writers of a project: the row stays locked until the commit.
        upsert = insert(ledger_generations).values(project=self._project, generation=1)
        connection.execute(
            upsert.on_conflict_do_update(
                index_elements=[ledger_generations.c.project],
                set_={"generation": ledger_generations.c.generation + 1},
            )
        )

    def _latest(self, connection: sa.Connection, keys: Collection[str]) -> dict[str, Any]:
        """The last version seen of each key, there or not."""
        query = (
            sa.select(_V.key, _V.version_id, _V.etag, _V.state, _V.current)
            .where(_V.project == self._project, _among(_V.key, keys))
            .ext(distinct_on(_V.key))
            .order_by(_V.key, _V.seq.desc())
        )
        return {row.key: row for row in connection.execute(query)}

    def _retire(self, connection: sa.Connection, state: str, keys: Collection[str]) -> None:
        ended = sa.case((_V.state.in_(UNREAD), state), else_=_V.state)
        where = sa.update(object_versions).where(self._current, _among(_V.key, keys))
        connection.execute(where.values(current=False, state=ended))

    def _row(self, seen: Seen, last: Any) -> dict[str, Any]:
        where = self._place(seen.key)
        state = "unplaced" if where.reason else "seen"
        reason = where.reason
        if last is not None and not last.current and last.state == "handled" and last.etag == seen.etag:
            # Deleted and put back: what was made of it is still there, so there is nothing to do.
            state, reason = "handled", f"same content as version {last.version_id}"
        return {
            "project": self._project,
            "key": seen.key,
            "version_id": seen.version_id,
            "etag": seen.etag,
            "bytes": seen.bytes,
            "last_modified": seen.last_modified,
            "source": where.source,
            "partition": where.partition,
            "state": state,
            "reason": reason,
            "current": True,
        }

    def _insert(self, connection: sa.Connection, rows: list[dict[str, Any]]) -> None:
        """Rows of new versions; one that came back (a newer version was removed) counts as new."""
        if not rows:
            return
        upsert = insert(object_versions)
        again = {
            name: upsert.excluded[name] for name in ("state", "reason", "source", "partition", "current")
        }
        connection.execute(
            upsert.on_conflict_do_update(
                index_elements=[_V.project, _V.key, _V.version_id], set_={**again, "seq": _NEXT_SEQ}
            ),
            rows,
        )


def _among(column: sa.ColumnElement[str], values: Collection[str]) -> sa.ColumnElement[bool]:
    return column == sa.any_(sa.cast(list(values), sa.ARRAY(sa.Text)))


def _same(last: Any, seen: Seen) -> bool:
    """Whether the store's newest version holds what the ledger's current one holds."""
    return last is not None and bool(last.current) and last.etag == seen.etag
