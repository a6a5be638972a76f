"""How far a restore is, and what a restored object version is called now.

A store gives each copy an id of its own. What was restored is written down at once, in a schema beside the
platform's: so a restore that was interrupted goes on, and nothing works on half of one (``engine_for``
refuses). Once all is there, the ledger takes over the new ids with the databases, in one transaction.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Self

from sqlalchemy.dialects import postgresql
from sqlalchemy.schema import CreateTable

from mlops_assets.platform.backup.databases import connect, query
from mlops_assets.resources.tables import restored_versions

if TYPE_CHECKING:
    from types import TracebackType

_MAKE = """
DROP SCHEMA IF EXISTS mlops_restore CASCADE;
CREATE SCHEMA mlops_restore;
CREATE TABLE mlops_restore.backup AS SELECT %s::text AS fingerprint;
CREATE TABLE mlops_restore.versions (
    key text COLLATE "C", version_id text COLLATE "C", restored_as text NOT NULL, etag text NOT NULL,
    PRIMARY KEY (key, version_id)
);
"""

_RENAME = """
UPDATE mlops.object_versions AS known SET version_id = r.restored_as, etag = r.etag
    FROM mlops_restore.versions AS r WHERE r.key = known.key AND r.version_id = known.version_id;
UPDATE mlops.requests AS asked SET versions = (
    SELECT jsonb_object_agg(v.key, v.value || CASE WHEN r.key IS NULL THEN '{}'
                                              ELSE jsonb_build_object('version_id', r.restored_as) END)
    FROM jsonb_each(asked.versions) AS v LEFT JOIN mlops_restore.versions AS r
        ON r.key = v.value ->> 'key' AND r.version_id = v.value ->> 'version_id'
) WHERE asked.state = 'open' AND asked.versions <> '{}';
UPDATE mlops.restored_versions AS known SET restored_as = r.restored_as
    FROM mlops_restore.versions AS r WHERE r.key = known.key AND r.version_id = known.restored_as;
INSERT INTO mlops.restored_versions (key, version_id, restored_as)
    SELECT key, version_id, restored_as FROM mlops_restore.versions WHERE version_id NOT IN ('', restored_as)
    ON CONFLICT (key, version_id) DO UPDATE SET restored_as = excluded.restored_as;
DROP SCHEMA mlops_restore CASCADE;
"""


def rename_and_end() -> str:
    """SQL that gives the ledger the new ids, keeps what they were, and ends the restore."""
    made = CreateTable(restored_versions, if_not_exists=True).compile(dialect=postgresql.dialect())  # type: ignore[no-untyped-call]
    return f"{made};\n{_RENAME}"


def unfinished(url: str) -> str | None:
    """The fingerprint of the backup that a restore has begun with, and not ended."""
    if query(url, "SELECT to_regclass('mlops_restore.backup')")[0][0] is None:
        return None
    return str(query(url, "SELECT fingerprint FROM mlops_restore.backup")[0][0])


class Progress:
    """What a restore has put into the raw bucket so far. Used by several threads."""

    def __init__(self, url: str, fingerprint: str) -> None:
        self._connection = connect(url)
        self._connection.autocommit = True
        self._one_at_a_time = threading.Lock()
        self._fingerprint = fingerprint

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._connection.close()

    def begin(self, *, anew: bool) -> None:
        """Say that a restore has begun; ``anew``: not the one that was interrupted, if there is one."""
        with self._connection.cursor() as cursor:
            cursor.execute("SELECT to_regclass('mlops_restore.backup')")
            if cursor.fetchone()[0] is not None and not anew:
                return
            # One string of statements is one transaction.
            cursor.execute(_MAKE, (self._fingerprint,))

    def of(self, key: str) -> dict[str, str]:
        """Version id -> what it is called now, of the object's versions that were put back."""
        with self._one_at_a_time, self._connection.cursor() as cursor:
            cursor.execute(
                "SELECT version_id, restored_as FROM mlops_restore.versions WHERE key = %s",
                (key,),
            )
            return dict(cursor.fetchall())

    def note(self, key: str, version_id: str, restored_as: str, etag: str) -> None:
        """Keep what a version is called now."""
        with self._one_at_a_time, self._connection.cursor() as cursor:
            cursor.execute(
                "INSERT INTO mlops_restore.versions VALUES (%s, %s, %s, %s)",
                (key, version_id, restored_as, etag),
            )
