"""The platform's own tables: schema ``mlops`` in the database that holds Dagster's storage."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from typing import TYPE_CHECKING

import dagster as dg
import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import JSONB

from mlops_assets.platform.service import PlatformError

if TYPE_CHECKING:
    from datetime import datetime

SCHEMA = "mlops"
_SCHEMA_LOCK = 7_226_001
"""Key of the advisory lock under which the schema is made: processes start together."""

RESTORING = "mlops_restore.versions"
"""A table that is there while a restore is under way (``platform/backup/versions.py``)."""

metadata = sa.MetaData(schema=SCHEMA)

_NOW = sa.text("clock_timestamp()")


def _moment(name: str, *, filled: bool = False) -> sa.Column[datetime]:
    default = _NOW if filled else None
    return sa.Column(name, sa.DateTime(timezone=True), nullable=not filled, server_default=default)


def _key(name: str) -> sa.Column[str]:
    # Byte order, so that the index serves whatever the database's locale.
    return sa.Column(name, sa.Text(collation="C"), nullable=False)


object_versions = sa.Table(
    "object_versions",
    metadata,
    sa.Column("seq", sa.BigInteger, sa.Identity(), primary_key=True),
    _key("project"),
    _key("key"),
    _key("version_id"),
    sa.Column("source", sa.Text, nullable=False),
    sa.Column("partition", sa.Text, nullable=False),
    sa.Column("etag", sa.Text, nullable=False),
    sa.Column("bytes", sa.BigInteger, nullable=False),
    _moment("last_modified"),
    _moment("seen_at", filled=True),
    sa.Column("state", sa.Text, nullable=False),
    sa.Column("current", sa.Boolean, nullable=False),
    sa.Column("reason", sa.Text),
    sa.Column("run_id", sa.Text),
    _moment("settled_at"),
    sa.UniqueConstraint("project", "key", "version_id"),
    sa.CheckConstraint("state in ('seen', 'handled', 'broken', 'unplaced', 'superseded', 'deleted')"),
)
"""One row for each version of an object that the sensor saw; ``current`` is the newest of its key.

``partition`` is "" for a source without partitions; an unplaced object's ``source`` is the nearest.
"""

sa.Index(
    "object_versions_current",
    object_versions.c.project,
    object_versions.c.key,
    unique=True,
    postgresql_where=object_versions.c.current,
    postgresql_include=["etag"],
)
sa.Index(
    "object_versions_open",
    object_versions.c.project,
    object_versions.c.state,
    postgresql_where=sa.text("state in ('seen', 'unplaced')"),
)
sa.Index(
    "object_versions_place",
    object_versions.c.project,
    object_versions.c.partition,
    object_versions.c.source,
    object_versions.c.seq,
)

requests = sa.Table(
    "requests",
    metadata,
    sa.Column("run_key", sa.Text, primary_key=True),
    sa.Column("base", sa.Text, nullable=False, index=True),
    sa.Column("project", sa.Text, nullable=False),
    sa.Column("partition", sa.Text, nullable=False),
    sa.Column("versions", JSONB, nullable=False),
    sa.Column("inputs", sa.Text),
    sa.Column("attempt", sa.Integer, nullable=False),
    sa.Column("state", sa.Text, nullable=False),
    sa.Column("run_id", sa.Text),
    _moment("requested_at", filled=True),
    _moment("closed_at"),
    sa.CheckConstraint("state in ('open', 'done', 'failed', 'canceled')"),
)
"""One row for each run the sensor asked for: the object versions it reads and, where it builds
features, the identity of all their ``inputs``."""

sa.Index(
    "requests_open",
    requests.c.project,
    postgresql_where=sa.text("state = 'open'"),
)

feature_partitions = sa.Table(
    "feature_partitions",
    metadata,
    _key("project"),
    _key("partition"),
    sa.Column("stale", sa.Boolean, nullable=False, server_default=sa.false()),
    sa.Column("wanted", sa.Text),
    sa.Column("built", sa.Text),
    sa.PrimaryKeyConstraint("project", "partition"),
)
"""Features of a partition are due when the inputs ``wanted`` are not the ones they were ``built`` from.

``stale`` rows have a ``wanted`` that is to be worked out anew (partition "": those of all partitions).
"""

sa.Index(
    "feature_partitions_open",
    feature_partitions.c.project,
    postgresql_where=sa.text("stale or wanted is distinct from built"),
)

ledger_generations = sa.Table(
    "ledger_generations",
    metadata,
    _key("project"),
    sa.Column("generation", sa.BigInteger, nullable=False),
    sa.PrimaryKeyConstraint("project"),
)
"""Counts the changes of a project's current objects, so that a process knows what it may remember."""


logged_predictions = sa.Table(
    "logged_predictions",
    metadata,
    _key("project"),
    _key("day"),
    _key("partition"),
    sa.Column("rows", sa.BigInteger, nullable=False),
    sa.Column("bytes", sa.BigInteger, nullable=False),
    sa.Column("digest", sa.Text, nullable=False),
    _moment("at", filled=True),
    sa.PrimaryKeyConstraint("project", "day", "partition"),
)
"""What ``predictions`` found in the prediction log of a day: of each partition in which what was asked
about happens, and ("") of all. ``digest`` tells sets of log objects apart, ``bytes`` is their size."""

restored_versions = sa.Table(
    "restored_versions",
    metadata,
    _key("key"),
    _key("version_id"),
    sa.Column("restored_as", sa.Text, nullable=False),
    sa.PrimaryKeyConstraint("key", "version_id"),
)
"""What object versions are called since they were restored from a backup: a copy has an id of its own.
Whatever was written down before (manifests, tags of runs) has the former one."""


@lru_cache(maxsize=8)
def engine_for(url: str) -> sa.Engine:
    """The process's engine for ``url``, with schema and tables made where they are missing.

    Raises ``PlatformError`` while a restore has not ended: the ledger does not know yet what it put back.
    """
    engine = sa.create_engine(url, pool_pre_ping=True, pool_size=2, max_overflow=4)
    with engine.begin() as connection:
        if connection.execute(sa.select(sa.func.to_regclass(RESTORING))).scalar() is not None:
            raise PlatformError(
                "A restore has begun here and has not ended. Stop the platform, and restore again (mlops "
                "restore): it goes on where it stopped."
            )
        connection.execute(sa.select(sa.func.pg_advisory_xact_lock(_SCHEMA_LOCK)))
        connection.execute(sa.schema.CreateSchema(SCHEMA, if_not_exists=True))
        metadata.create_all(connection)
    return engine


@contextmanager
def only_one(engine: sa.Engine, name: str) -> Iterator[bool]:
    """Whether this is the only tick called ``name``: Dagster gives up a slow one without ending it."""
    key = sa.func.hashtextextended(name, 0)
    with engine.connect() as connection:
        alone = bool(connection.execute(sa.select(sa.func.pg_try_advisory_lock(key))).scalar())
        connection.commit()
        try:
            yield alone
        finally:
            if alone:
                connection.execute(sa.select(sa.func.pg_advisory_unlock(key)))
                connection.commit()


class Tables(dg.ConfigurableResource):
    """Access to the platform's tables. ``url`` is a SQLAlchemy URL of PostgreSQL with psycopg2."""

    url: str

    @property
    def engine(self) -> sa.Engine:
        """Raises ``sqlalchemy.exc.OperationalError`` when the database does not answer."""
        return engine_for(self.url)
