"""Whether to train now, and why. Pure: automation and ``mlops replay`` ask the same function.

``decide`` compares states, not events: what there is now, with what the last training had. So it makes no
difference in which order things came, whether several came at once, or for how long nobody looked.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Literal

from mlops_assets.retraining import words

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from mlops_assets.project import Retraining

Cause = Literal["first", "performance", "drift", "code", "freshness", "new_data"]
PRIORITY: tuple[Cause, ...] = ("first", "performance", "drift", "code", "freshness", "new_data")
"""Of several causes the first of these is the training's cause; all are listed."""

BY_HAND = "by hand"
"""The cause of a training that a person started."""

DAY = timedelta(days=1)


@dataclass(frozen=True)
class Part:
    """Features of one partition: ``content`` tells contents apart, ``rows`` are all labelled."""

    content: str
    rows: int


@dataclass(frozen=True)
class Signal:
    """Something that speaks for a training. ``about``: the champion that it was found of ("": none).

    ``evidence``: figures, JSON-able; ``observed`` and ``allowed`` of them are said in a sentence.
    """

    cause: Cause
    evidence: Mapping[str, Any]
    about: str


@dataclass(frozen=True)
class State:
    """All that a decision depends on.

    ``now`` and ``trainings`` (when each was asked for or begun): aware. ``champion``: its version.
    ``trained``: partition -> content of what the last training was made of, held-out partition included;
    empty before the first. ``available``: the features that there are. ``asked``: keys of the decisions
    that led to a run. ``busy``: what is waited for before anything else, in words; empty when all is
    calm. ``code``: the version of the code that a training would run.
    """

    now: datetime
    champion: str | None
    trained: Mapping[str, str]
    available: Mapping[str, Part]
    signals: Sequence[Signal] = ()
    trainings: Sequence[datetime] = ()
    asked: Collection[str] = ()
    busy: bool | str = False
    code: str = ""

    @property
    def new_rows(self) -> int:
        """Rows of partitions that the last training did not have, or had with another content."""
        return sum(p.rows for name, p in self.available.items() if self.trained.get(name) != p.content)

    @property
    def seen_rows(self) -> int:
        """Rows that the last training had as they are now."""
        return sum(p.rows for p in self.available.values()) - self.new_rows

    @property
    def growth(self) -> float:
        """New rows as a share of those that were seen; infinite when none was."""
        return self.new_rows / self.seen_rows if self.seen_rows else float("inf")

    @property
    def data(self) -> str:
        """A fingerprint of the features' contents."""
        contents = sorted((name, part.content) for name, part in self.available.items())
        return hashlib.sha256(json.dumps(contents).encode()).hexdigest()[:12]


@dataclass(frozen=True)
class Decision:
    """``why`` is a sentence for a person: why to train, or what is waited for.

    ``causes``: all that speak for a training, most important first; ``cause`` the first of them that leads
    to one. ``evidence``: cause -> its figures. ``key``: tells trainings apart that are asked for; the same
    for the same causes, champion, data and code. Empty, as ``cause``, when there is nothing to train for.
    ``until``: when waiting ends by itself, where that is known. ``tried``: something calls for a training
    that was asked for already on the same data, and is over: it did not help, or failed.
    """

    train: bool
    cause: str
    causes: tuple[str, ...]
    evidence: Mapping[str, Any] = field(hash=False)
    why: str
    key: str
    until: datetime | None = None
    tried: bool = False


@dataclass(frozen=True)
class Key:
    """What a training was asked for. As text: ``drift+new_data@3/<data>/<code>``."""

    causes: tuple[str, ...]
    about: str
    data: str
    code: str

    def __str__(self) -> str:
        return f"{'+'.join(self.causes)}@{self.about}/{self.data}/{self.code}"

    @classmethod
    def read(cls, text: str) -> Key:
        """The key that ``text`` was made of; raises ``ValueError`` for any other text."""
        head, data, code = text.split("/")
        causes, about = head.split("@")
        return cls(tuple(causes.split("+")), about, data, code)

    def covers(self, cause: str, other: Key) -> bool:
        """Whether this was asked for ``cause`` on the data, by the code and of the champion of ``other``.

        The first champion is looked for once on the same data, whatever the cause of that was called.
        """
        same = (self.about, self.data, self.code) == (other.about, other.data, other.code)
        return same and (cause in self.causes or cause == "first")


def decide(policy: Retraining, min_partitions: int, state: State) -> Decision:
    """Whether ``state`` calls for a training under ``policy``; never twice for one cause on the same data."""
    found = _found(policy, state)
    causes = tuple(cause for cause in PRIORITY if cause in found)
    evidence: dict[str, Any] = {cause: dict(found[cause]) for cause in causes}

    def no(why: str, cause: str = "", key: str = "", **more: Any) -> Decision:
        return Decision(False, cause, causes, evidence, why, key, **more)  # noqa: FBT003 - the verdict

    if len(state.available) < min_partitions:
        return no(words.too_few(sorted(state.available), min_partitions))
    if not causes:
        return no(words.calm(policy, state))
    here = Key(causes, state.champion or "", state.data, state.code)
    asked = [Key.read(text) for text in state.asked]
    fresh = [c for c in causes if not any(key.covers(c, here) for key in asked)]
    needed = {cause: policy.needed_rows(cause, state.seen_rows) for cause in fresh}
    due = tuple(cause for cause in fresh if state.new_rows >= needed[cause])
    if not due:
        tried = not fresh and not state.busy
        return no(words.held_back(state, found, min(needed.values(), default=None)), tried=tried)
    key = str(Key(due, here.about, here.data, here.code))
    if held := _held(policy, state):
        return no(words.waiting(due[0], found, held[0]), due[0], key, until=held[1])
    return Decision(True, due[0], causes, evidence, words.reason(state, found, causes, due), key)  # noqa: FBT003


def _found(policy: Retraining, state: State) -> dict[str, Mapping[str, Any]]:
    """Cause -> evidence, of all that speaks for a training now."""
    about = state.champion or ""
    found: dict[str, Mapping[str, Any]] = {
        signal.cause: {**signal.evidence, "about": about}
        for signal in state.signals
        if signal.cause in policy.on and signal.about == about
    }
    figures = {"new_rows": state.new_rows, "seen_rows": state.seen_rows, "partitions": len(state.available)}
    if state.champion is None:
        found["first"] = figures
    elif policy.growth is not None and state.new_rows and state.growth >= policy.growth:
        share = round(state.growth, 4) if state.seen_rows else None
        found["new_data"] = {**figures, "growth": share, "asked_growth": policy.growth}
    return found


def _held(policy: Retraining, state: State) -> tuple[str, datetime | None] | None:
    """What keeps a due training waiting, in words, and until when; None if nothing does."""
    if state.busy:
        return words.busy(state), None
    last = max(state.trainings, default=None)
    if last is not None and state.now - last < policy.cool_down:
        until = last + policy.cool_down
        return words.cooling(policy, until), until
    today = sorted(at for at in state.trainings if state.now - at < DAY)
    if len(today) >= policy.trainings_per_day:
        until = today[-policy.trainings_per_day] + DAY
        return words.spent(policy, until), until
    return None
