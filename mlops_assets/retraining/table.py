"""Trainings with their reasons, and what is awaited now: tables of the platform's schema."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import JSONB, insert

from mlops_assets.resources.tables import engine_for, metadata

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mlops_assets.retraining.policy import Decision

__all__ = ["Awaited", "Training", "Trainings", "engine_for"]

ATTEMPTS = 3
"""How often a decision is passed to Dagster again that no run came of (the daemon died, say)."""

_NOW = sa.text("clock_timestamp()")


def _moment(name: str, *, filled: bool = False) -> sa.Column[dt.datetime]:
    default = _NOW if filled else None
    return sa.Column(name, sa.DateTime(timezone=True), nullable=not filled, server_default=default)


retrainings = sa.Table(
    "retrainings",
    metadata,
    sa.Column("seq", sa.BigInteger, sa.Identity(), primary_key=True),
    sa.Column("project", sa.Text, nullable=False),
    sa.Column("key", sa.Text, nullable=False),
    sa.Column("cause", sa.Text, nullable=False),
    sa.Column("causes", JSONB, nullable=False),
    sa.Column("evidence", JSONB, nullable=False),
    sa.Column("why", sa.Text, nullable=False),
    _moment("at", filled=True),
    sa.Column("attempt", sa.Integer, nullable=False, server_default="1"),
    sa.Column("after_run", sa.BigInteger, nullable=False),
    sa.Column("run_id", sa.Text),
    _moment("ended_at"),
    sa.Column("outcome", sa.Text),
    sa.UniqueConstraint("project", "key"),
)
"""One row for each training that was asked for, or begun by hand; ``key`` as ``policy.Key`` writes it.

``after_run``: the newest run that Dagster knew of when it was asked for. ``run_id``: the run that took it
on. ``outcome``: in words, once that run is over.
"""

awaited = sa.Table(
    "retraining_awaited",
    metadata,
    sa.Column("project", sa.Text, primary_key=True),
    sa.Column("why", sa.Text, nullable=False),
    sa.Column("causes", JSONB, nullable=False),
    sa.Column("evidence", JSONB, nullable=False),
    sa.Column("tried", sa.Boolean, nullable=False),
    _moment("until"),
    _moment("since", filled=True),
)
"""The last decision of each project, and since when it is the same."""

_R = retrainings.c


@dataclass(frozen=True)
class Training:
    """A row of ``retrainings``."""

    seq: int
    project: str
    key: str
    cause: str
    causes: Sequence[str]
    evidence: dict[str, Any]
    why: str
    at: dt.datetime
    attempt: int
    after_run: int
    run_id: str | None
    ended_at: dt.datetime | None
    outcome: str | None


@dataclass(frozen=True)
class Awaited:
    """A row of ``retraining_awaited``."""

    project: str
    why: str
    causes: Sequence[str]
    evidence: dict[str, Any]
    tried: bool
    until: dt.datetime | None
    since: dt.datetime


class Trainings:
    """One project's rows. Each method is a transaction of its own."""

    def __init__(self, engine: sa.Engine, project: str) -> None:
        """``engine`` as ``engine_for`` of this module makes it: the tables are there."""
        self._engine = engine
        self._project = project

    def rows(self, limit: int | None = None) -> list[Training]:
        """Newest first."""
        query = sa.select(retrainings).where(_R.project == self._project).order_by(_R.seq.desc())
        with self._engine.connect() as connection:
            return [Training(*row) for row in connection.execute(query.limit(limit))]

    def ask(self, decision: Decision, after_run: int, at: dt.datetime) -> None:
        """Write down that a training is asked for; again, when no run came of the same before."""
        row = {
            "project": self._project,
            "key": decision.key,
            "cause": decision.cause,
            "causes": list(decision.causes),
            "evidence": dict(decision.evidence),
            "why": decision.why,
            "at": at,
            "after_run": after_run,
        }
        upsert = insert(retrainings).values(row)
        changes = {name: upsert.excluded[name] for name in ("causes", "evidence", "why", "at", "after_run")}
        with self._engine.begin() as connection:
            connection.execute(
                upsert.on_conflict_do_update(
                    index_elements=[_R.project, _R.key],
                    set_={**changes, "attempt": _R.attempt + 1},
                    where=_R.run_id.is_(None),
                )
            )

    def add(self, row: dict[str, Any]) -> None:
        """A training that was not asked for here; once for each key."""
        made = insert(retrainings).values(project=self._project, **row)
        with self._engine.begin() as connection:
            connection.execute(made.on_conflict_do_nothing(index_elements=[_R.project, _R.key]))

    def take(self, seq: int, run_id: str) -> None:
        """Run ``run_id`` is that training."""
        self._update(seq, run_id=run_id, ended_at=None, outcome=None)

    def end(self, seq: int, outcome: str) -> None:
        """The training is over."""
        self._update(seq, outcome=outcome, ended_at=sa.func.clock_timestamp())

    def drop(self, seq: int) -> None:
        """Forget a decision that no run came of and that is not taken again."""
        with self._engine.begin() as connection:
            connection.execute(sa.delete(retrainings).where(_R.seq == seq, _R.run_id.is_(None)))

    def _update(self, seq: int, **values: Any) -> None:
        with self._engine.begin() as connection:
            connection.execute(sa.update(retrainings).where(_R.seq == seq).values(**values))

    def awaited(self) -> Awaited | None:
        """What was last decided; None before the first decision."""
        query = sa.select(awaited).where(awaited.c.project == self._project)
        with self._engine.connect() as connection:
            row = connection.execute(query).one_or_none()
        return Awaited(*row) if row is not None else None

    def note(self, decision: Decision, at: dt.datetime) -> bool:
        """Keep ``decision`` as the latest; whether it differs from the one before in what it says."""
        before = self.awaited()
        if before is not None and (before.why, before.tried) == (decision.why, decision.tried):
            return False
        values = {
            "why": decision.why,
            "causes": list(decision.causes),
            "evidence": dict(decision.evidence),
            "tried": decision.tried,
            "until": decision.until,
            "since": at,
        }
        upsert = insert(awaited).values(project=self._project, **values)
        with self._engine.begin() as connection:
            connection.execute(upsert.on_conflict_do_update(index_elements=[awaited.c.project], set_=values))
        return True
