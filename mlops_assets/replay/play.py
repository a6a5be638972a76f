"""One policy played through the history: what was served when, and each training with its reason."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from mlops_assets.replay.watch import Desk, Served, Watch, signal
from mlops_assets.replay.world import World
from mlops_assets.retraining.policy import Part, Signal, State, decide

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from mlops_assets.judging.gate import Verdict
    from mlops_assets.project import Project, Retraining
    from mlops_assets.replay.calendar import Calendar
    from mlops_assets.replay.history import History
    from mlops_assets.replay.judge import Judge, Judged
    from mlops_assets.replay.store import Store
    from mlops_assets.replay.training import Trainer
    from mlops_assets.retraining.policy import Cause, Decision


@dataclass(frozen=True)
class Training:
    """One training. ``version``: the number that it was promoted as; None if the gate refused it.

    ``on``: the partitions trained on; ``refused``: names of the verdicts that failed.
    """

    at: datetime
    cause: str
    causes: tuple[str, ...]
    why: str
    on: tuple[str, ...]
    held_out: str
    family: str
    version: str | None
    replaced: str | None
    refused: tuple[str, ...]


@dataclass(frozen=True)
class Note:
    """What was decided when something had happened. ``said``: the champion's checks, by cause."""

    at: datetime
    event: str
    champion: str | None
    train: bool
    why: str
    said: Mapping[str, str]


@dataclass
class Played:
    """What came of a policy."""

    name: str
    policy: Retraining
    trainings: list[Training] = field(default_factory=list)
    served: list[Served] = field(default_factory=list)
    notes: list[Note] = field(default_factory=list)

    @property
    def retrainings(self) -> list[Training]:
        """Those after the first champion."""
        promoted = next((i for i, t in enumerate(self.trainings) if t.version), len(self.trainings))
        return self.trainings[promoted + 1 :]


@dataclass(frozen=True)
class Setting:
    """What is the same for all policies. ``slices``: in how many parts a partition's traffic is judged."""

    project: Project
    history: History
    calendar: Calendar
    trainer: Trainer
    judge: Judge
    store: Store
    slices: int = 4


class Player:
    """Plays one policy; made for one ``play``."""

    def __init__(self, setting: Setting, name: str, policy: Retraining) -> None:
        self._setting = setting
        self._policy = policy
        self._world = World(setting.project, setting.history, setting.calendar)
        self._arrived: tuple[str, ...] = ()
        self._watch: Watch | None = None
        self._promoted: datetime | None = None
        self._signals: dict[str, Signal] = {}
        self._said: dict[str, str] = {}
        self._trained: dict[str, str] = {}
        self._asked: set[str] = set()
        self.played = Played(name, policy)

    def play(self) -> Played:
        """Partition by partition: labels arrive, then traffic comes in slices; each time it is decided.

        The last partition's labels are not waited for: nobody would be served by what came of them.
        """
        calendar = self._setting.calendar
        for partition in calendar.partitions:
            self._world.move(calendar.begin(partition))
            for one in self._world.labelled()[len(self._arrived) :]:
                self._arrived = (*self._arrived, one)
                self._look_at_performance()
                self._decide(f"labels of {one}")
            self._traffic_comes(partition)
        return self.played

    def _traffic_comes(self, partition: str) -> None:
        slices, rows = self._setting.slices, self._world.rows(partition)
        for number in range(slices):
            first, last = rows * number // slices, rows * (number + 1) // slices
            if self._watch is not None and last > first:
                one = Served(partition, first, last, self._watch.version, self._watch.model)
                self.played.served.append(one)
            self._world.move(self._setting.calendar.moment(partition, (number + 1) / slices))
            self._look_for_drift()
            self._decide(f"traffic of {partition}, {number + 1}/{slices}")

    def _look_at_performance(self) -> None:
        if self._watch is not None and "performance" in self._policy.on:
            verdict = self._watch.performance(self.played.served, self._arrived)
            if verdict is not None:  # no verdict is no reason to forget the last one
                self._hear("performance", self._watch.version, [verdict])

    def _look_for_drift(self) -> None:
        if self._watch is not None and "drift" in self._policy.on and self.played.served:
            verdict = self._watch.drift(self.played.served)
            if verdict.judged:
                self._hear("drift", self._watch.version, [verdict.features, verdict.scores])

    def _hear(self, cause: Cause, version: str, verdicts: list[Verdict]) -> None:
        said = [f"{v.name} {'passed' if v.passed else 'failed'}: {v.observed}" for v in verdicts]
        self._said[cause] = "; ".join(said)
        found = signal(cause, version, verdicts)
        self._signals.pop(cause, None)
        if found is not None:
            self._signals[cause] = found

    def _decide(self, event: str) -> None:
        state = self._state()
        decision = decide(self._policy, self._setting.project.min_partitions, state)
        told = Note(self._world.now, event, state.champion, decision.train, decision.why, dict(self._said))
        self.played.notes.append(told)
        if decision.train:
            self._asked.add(decision.key)
            self._train(decision)

    def _state(self) -> State:
        content = self._setting.history.content
        version = self._watch.version if self._watch else None
        fresh = self._freshness(version)
        return State(
            now=self._world.now,
            champion=version,
            trained=self._trained,
            available={p: Part(content[p], self._world.rows(p)) for p in self._arrived},
            signals=[*self._signals.values(), *([fresh] if fresh else [])],
            trainings=[training.at for training in self.played.trainings],
            asked=self._asked,
        )

    def _freshness(self, version: str | None) -> Signal | None:
        limit = self._setting.project.freshness.champion
        if version is None or self._promoted is None or limit is None:
            return None
        if self._world.now - self._promoted <= limit:
            return None
        observed = f"it was promoted {self._promoted:%Y-%m-%d}, too long ago for its freshness policy"
        return Signal("freshness", {"observed": observed, "allowed": f"at most {limit.days} days"}, version)

    def _train(self, decision: Decision) -> None:
        """Train on all that is labelled but the latest partition, and let the gate judge on that."""
        setting, world = self._setting, self._world
        world.require(self._arrived)
        *on, held_out = self._arrived
        self._trained = {p: setting.history.content[p] for p in self._arrived}
        candidates = setting.trainer.train(tuple(on))
        judged = setting.judge.judge(candidates, self._watch.model if self._watch else None, held_out)
        replaced = self._watch.version if self._watch else None
        promotions = sum(training.version is not None for training in self.played.trainings)
        version = str(promotions + 1) if judged.passed else None
        self.played.trainings.append(
            Training(
                world.now, decision.cause, decision.causes, decision.why, tuple(on), held_out,
                judged.challenger.family, version, replaced, judged.failed,
            )
        )  # fmt: skip
        if version is not None:
            self._promote(version, judged)

    def _promote(self, version: str, judged: Judged) -> None:
        setting = self._setting
        desk = Desk(setting.project, setting.history, self._world, setting.trainer, setting.store)
        self._watch = Watch(desk, version, judged)
        self._promoted = self._world.now
        self._said.clear()
        # What others answered is put through the new champion: its verdict waits for no traffic.
        self._look_for_drift()
