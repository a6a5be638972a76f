"""The promotion log: append-only, since MLflow keeps no history of an alias (mlflow#2169)."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from mlops_assets.resources.tables import metadata

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

promotions = sa.Table(
    "promotions",
    metadata,
    sa.Column("id", sa.BigInteger, sa.Identity(), primary_key=True),
    sa.Column("project", sa.Text, nullable=False, index=True),
    sa.Column("version", sa.Text, nullable=False),
    sa.Column("replaced", sa.Text),
    sa.Column("kind", sa.Text, nullable=False),
    sa.Column("at", sa.DateTime(timezone=True), nullable=False, server_default=sa.func.now()),
    sa.Column("dagster_run", sa.Text),
    sa.Column("evidence", sa.JSON, nullable=False),
)


@dataclass(frozen=True)
class Promotion:
    """One move of the alias.

    ``kind``: promotion, rollback, retirement (no champion any more), or repair (the alias was found
    elsewhere).
    """

    project: str
    version: str
    replaced: str | None
    kind: str
    at: dt.datetime
    dagster_run: str | None
    evidence: Mapping[str, Any]


class PromotionLog:
    """Who was replaced, by what, on which numbers. Rows are never changed or removed."""

    def __init__(self, engine: sa.Engine) -> None:
        """``engine`` as ``resources.tables.engine_for`` makes it: the schema is there."""
        self._engine = engine
        with engine.begin() as connection:
            connection.execute(sa.text("SELECT pg_advisory_xact_lock(hashtext('mlops.promotions'))"))
            promotions.create(connection, checkfirst=True)

    def entries(self, project: str) -> Iterator[Promotion]:
        """The project's promotions, newest first."""
        query = sa.select(promotions).where(promotions.c.project == project).order_by(promotions.c.id.desc())
        with self._engine.connect() as connection:
            for row in connection.execute(query):
                kept = {name: value for name, value in row._mapping.items() if name != "id"}  # noqa: SLF001 - SQLAlchemy's public name
                yield Promotion(**kept)

    def locked(self, project: str) -> sa.engine.Connection:
        """A transaction that no other promotion of the project can overlap with; commit ends it."""
        connection = self._engine.connect()
        connection.execute(
            sa.text("SELECT pg_advisory_xact_lock(hashtext(:name))"), {"name": f"promotion:{project}"}
        )
        return connection

    @staticmethod
    def append(connection: sa.engine.Connection, entry: Mapping[str, Any]) -> None:
        connection.execute(promotions.insert().values(**entry))
