"""Policies beside never, every chance, and hindsight."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from mlops_assets.replay import hindsight
from mlops_assets.replay.calendar import Calendar
from mlops_assets.replay.history import ReplayError
from mlops_assets.replay.judge import Judge
from mlops_assets.replay.play import Played, Player, Setting
from mlops_assets.replay.scores import Line, Scorer, share
from mlops_assets.replay.strategies import EVERY, NEVER
from mlops_assets.replay.training import Trainer

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mlops_assets.project import Project, Retraining
    from mlops_assets.replay.history import History, Tell
    from mlops_assets.replay.store import Store

NEVER_NAME, EVERY_NAME = "never", "every chance"
BEST_SCHEDULE, BEST_VERSION = "best schedule in hindsight", "best version in hindsight"


@dataclass(frozen=True)
class Entry:
    """One strategy. ``trainings``: after the first champion (asked for, promoted or not).

    ``played`` is None for hindsight, which no policy has led to.
    """

    line: Line
    trainings: int
    played: Played | None
    policy: bool = False

    @property
    def name(self) -> str:
        return self.line.name


@dataclass(frozen=True)
class Comparison:
    """All strategies; the first policy's hindsight. ``partitions``: those that were served."""

    project: str
    partitions: tuple[str, ...]
    lag: int
    entries: tuple[Entry, ...]

    def entry(self, name: str) -> Entry:
        """The strategy called ``name``; ``KeyError`` if there is none."""
        return {entry.name: entry for entry in self.entries}[name]

    @property
    def policies(self) -> tuple[Entry, ...]:
        return tuple(entry for entry in self.entries if entry.policy)

    def gain(self, entry: Entry) -> float:
        """The share of the gain in ROC AUC of training at every chance over never; may exceed 1."""
        never, every = self.entry(NEVER_NAME).line, self.entry(EVERY_NAME).line
        return share(entry.line.roc_auc, never.roc_auc, every.roc_auc)

    def loss_gain(self, entry: Entry) -> float:
        """The same of log loss."""
        never, every = self.entry(NEVER_NAME).line, self.entry(EVERY_NAME).line
        return share(entry.line.log_loss, never.log_loss, every.log_loss)

    def effort(self, entry: Entry) -> float:
        """Its trainings as a share of those at every chance; the first champion's counts for neither."""
        return share(entry.trainings, 0, self.entry(EVERY_NAME).trainings)

    def as_json(self) -> dict[str, Any]:
        """All figures, trainings and decisions, JSON-able."""
        return {
            "project": self.project,
            "label_lag": self.lag,
            "partitions": list(self.partitions),
            "strategies": [self._entry(entry) for entry in self.entries],
        }

    def _entry(self, entry: Entry) -> dict[str, Any]:
        told: dict[str, Any] = {
            "name": entry.name,
            "trainings": entry.trainings,
            "trainings_share": _number(self.effort(entry)),
            "roc_auc": _number(entry.line.roc_auc),
            "log_loss": _number(entry.line.log_loss),
            "gain_share": _number(self.gain(entry)),
            "log_loss_gain_share": _number(self.loss_gain(entry)),
            "partitions": {
                name: {
                    "rows": part.rows,
                    "roc_auc": _number(part.roc_auc),
                    "log_loss": _number(part.log_loss),
                    "versions": list(entry.line.versions[name]),
                }
                for name, part in entry.line.parts.items()
            },
        }
        if entry.played is not None:
            told["policy"] = entry.played.policy.model_dump(mode="json")
            told["ledger"] = [_dated(asdict(training)) for training in entry.played.trainings]
            told["decisions"] = [_dated(asdict(note)) for note in entry.played.notes]
        return told


def compare(  # noqa: PLR0913 - what a replay depends on
    project: Project,
    history: History,
    policies: Sequence[tuple[str, Retraining]],
    store: Store,
    tell: Tell,
    lag: int = 1,
    slices: int = 4,
) -> Comparison:
    """Play ``policies`` (name, policy), never and every chance, and look back.

    Raises ``ReplayError`` where no model ever passed the gate: then there is nothing to compare.
    """
    calendar = Calendar(project.partitions.every, history.partitions, lag)
    trainer = Trainer(project, history, store, tell)
    judge = Judge(project, history, trainer, store, tell)
    setting = Setting(project, history, calendar, trainer, judge, store, slices)
    named = [(NEVER_NAME, NEVER), *policies, (EVERY_NAME, EVERY)]
    played = []
    for name, policy in named:
        tell(f"plays {name}")
        played.append(Player(setting, name, policy).play())
    if not played[0].served:
        raise ReplayError(_nothing_served(project, history, played[0]))
    scorer = Scorer(project, history, trainer)
    entries = [
        Entry(scorer.line(one.name, one.served), len(one.retrainings), one, one.policy not in (NEVER, EVERY))
        for one in played
    ]
    back = _look_back(setting, scorer, played[0], entries[min(1, len(policies))])
    return Comparison(project.name, tuple(entries[0].line.parts), lag, (*entries, *back))


def _look_back(setting: Setting, scorer: Scorer, never: Played, policy: Entry) -> list[Entry]:
    first = next(training for training in never.trainings if training.version)
    chances = hindsight.chances(setting, first)
    partitions = [p for p in setting.calendar.partitions if p in policy.line.parts]
    rows = {p: len(setting.history.frames[p]) for p in partitions}
    table = hindsight.values(chances, partitions, scorer, rows)
    found = []
    schedule = hindsight.best_schedule(table, [rows[p] for p in partitions], policy.trainings)
    for name, choice in ((BEST_SCHEDULE, schedule), (BEST_VERSION, hindsight.best_version(table))):
        line = scorer.line(name, hindsight.as_served(choice, chances, partitions, rows))
        found.append(Entry(line, len(set(choice) - {0}), None))
    return found


def _nothing_served(project: Project, history: History, never: Played) -> str:
    if not never.trainings:
        return (
            f"{project.name}: {len(history.partitions)} partitions are too few to play: the first training "
            f"needs the labels of {project.min_partitions}, and a partition after them to serve"
        )
    refused = "; ".join(f"on {t.on[0]} to {t.on[-1]}: {', '.join(t.refused)}" for t in never.trainings)
    return f"{project.name}: the gate refused every first champion ({refused}): there is nothing to compare"


def _number(value: float) -> float | None:
    return None if value != value else round(value, 6)  # noqa: PLR0124 - NaN alone


def _dated(told: dict[str, Any]) -> dict[str, Any]:
    return told | {"at": told["at"].isoformat()}
