"""Where a project's retraining is decided: gathers the state, asks the policy, writes down the answer."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cached_property
from typing import TYPE_CHECKING

import dagster as dg
import sqlalchemy as sa

from mlops_assets.automation.retries import comes_again, newest_try
from mlops_assets.lifecycle.code import code_version
from mlops_assets.resources.promotions import promotions
from mlops_assets.resources.tables import only_one
from mlops_assets.retraining import reading
from mlops_assets.retraining.outcomes import outcome_of
from mlops_assets.retraining.policy import Decision, Part, State, decide
from mlops_assets.retraining.signals import read_signals
from mlops_assets.retraining.table import ATTEMPTS, Training, Trainings, engine_for

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mlops_assets.project import Project

REST = timedelta(seconds=10)
"""How long a decision holds while nothing happens: a tick a second would ask the same again and again."""

REMEMBERED = 500
"""Trainings that are looked at when it is decided whether one was asked for already."""


@dataclass(frozen=True)
class Asked:
    """What was asked for before. ``unheard``: a decision that no run has come of. ``ended``: just now."""

    rows: Sequence[Training]
    unheard: Sequence[Training] = ()
    ended: bool = False

    @property
    def keys(self) -> set[str]:
        return {policy_key(row.key) for row in self.rows}


class Desk:
    """Decides for one project. ``url``: the database of the platform's tables, as SQLAlchemy names it."""

    def __init__(self, project: Project, url: str) -> None:
        self.project = project
        self._url = url
        self._features = reading.FeaturesReader(project)
        self._features_code = code_version(project.features.build)
        self._codes = reading.candidate_codes(project)
        self._last: tuple[int | None, datetime, Decision] | None = None

    @cached_property
    def engine(self) -> sa.Engine:
        return engine_for(self._url)

    @property
    def trainings(self) -> Trainings:
        return Trainings(self.engine, self.project.name)

    @property
    def code(self) -> str:
        """One version for all the code that a training runs."""
        return hashlib.sha256(json.dumps(sorted(self._codes.items())).encode()).hexdigest()[:12]

    def tick(self, instance: dg.DagsterInstance, now: datetime) -> Decision | None:
        """Decide and write the decision down; None if that is for another tick.

        It is while another tick of the project is at work, as long as nothing happened since the last
        decision, and in the tick that sees a training end: what follows a training set would not be asked
        for along with it, since Dagster's ``eager`` takes what was made since the last tick for an answer.

        A decision to train is written before Dagster hears of it. Should the daemon die in between, no
        run comes of it, and the next tick decides anew: the same, or what has become right meanwhile.
        """
        seen = instance.event_log_storage.get_maximum_record_id()
        if self._is_known(seen, now):
            return None
        with only_one(self.engine, f"retraining:{self.project.name}") as alone:
            if not alone:
                return None
            asked = self.settle(instance)
            if asked.ended:
                return None
            decision = self.decide(self.gather(instance, now, asked))
            for row in asked.unheard:
                if not decision.train or row.key != decision.key:
                    self.trainings.drop(row.seq)
            if decision.train:
                self.trainings.ask(decision, reading.newest_run(instance), now)
            self._last = (seen, now, decision)
            return decision

    def _is_known(self, seen: int | None, now: datetime) -> bool:
        """Whether the last decision, not to train, still holds: no event came, and it waits for no moment.

        Not for long: a champion is retired without an event.
        """
        if self._last is None or self._last[2].train:
            return False
        event, at, decision = self._last
        over = decision.until is not None and now >= decision.until
        return event == seen and timedelta(0) <= now - at < REST and not over

    def decide(self, state: State) -> Decision:
        return decide(self.project.retraining, self.project.min_partitions, state)

    def settle(self, instance: dg.DagsterInstance) -> Asked:
        """Close trainings whose runs are over, and find decisions that Dagster has not heard of."""
        rows, unheard, ended = [], [], False
        for row in self.trainings.rows(REMEMBERED):
            if row.ended_at is None and row.run_id is None:
                run = reading.asked_run(instance, self.project, row.after_run)
                if run is None and row.attempt < ATTEMPTS:
                    unheard.append(row)
                    continue
                if run is None:
                    self.trainings.end(row.seq, f"Dagster made no run of it, {ATTEMPTS} times")
                elif run.is_finished:
                    self.trainings.take(row.seq, run.run_id)
                    ended |= self._end_if_over(instance, row.seq, run.run_id)
            elif row.ended_at is None and row.run_id is not None:
                ended |= self._end_if_over(instance, row.seq, row.run_id)
            rows.append(row)
        return Asked(rows, unheard, ended)

    def _end_if_over(self, instance: dg.DagsterInstance, seq: int, run_id: str) -> bool:
        """Close the training unless its run, or one that tries it again, is under way or to come."""
        run = newest_try(instance, run_id)
        if run is not None and (not run.is_finished or comes_again(instance, run)):
            return False
        self.trainings.end(
            seq, outcome_of(instance, self.engine, self.project, run.run_id if run else run_id)
        )
        return True

    def gather(self, instance: dg.DagsterInstance, now: datetime, asked: Asked) -> State:
        """All that the decision depends on."""
        # What is under way comes first: what it changes after this line, the next tick sees.
        busy = reading.under_way(instance, self.project)
        lost = [row.run_id for row in asked.rows if row.ended_at is None and row.run_id is not None]
        if lost and not busy:
            busy = f"a training whose process was lost is about to be tried again (run {lost[0][:8]})"
        made = self._features.read(instance)
        champion = self.champion()
        old = [name for name, part in made.items() if part.code not in (None, self._features_code)]
        if old and not busy:
            busy = f"features of {', '.join(old)} have yet to be made by the code of now (see their runs)"
        codes = (self._codes, reading.trained_by(instance, self.project))
        return State(
            now=now,
            champion=champion,
            trained=reading.trained_on(instance, self.project),
            available={name: Part(part.content, part.rows) for name, part in made.items()},
            signals=read_signals(instance, self.project, champion, codes),
            trainings=[row.at for row in asked.rows],
            asked=asked.keys,
            busy=busy,
            code=self.code,
        )

    def champion(self) -> str | None:
        """The champion's version by the promotion log: one row here, where the registry is a server away."""
        p = promotions.c
        query = sa.select(p.version, p.kind).where(p.project == self.project.name).order_by(p.id.desc())
        with self.engine.connect() as connection:
            last = connection.execute(query.limit(1)).one_or_none()
        return None if last is None or last.kind == "retirement" else str(last.version)


def policy_key(key: str) -> str:
    """The part of a row's key that the policy reads: a training by hand has its run behind it."""
    return key.partition("#")[0]
