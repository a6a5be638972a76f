"""What happened in one showing, as it was observed: kept, so that the next showing goes on from there.

All times are seconds since 1970.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from pathlib import Path


class Month(msgspec.Struct):
    """A month's live traffic. ``ended`` is None while it is under way, or if the showing was stopped."""

    name: str
    began: float
    ended: float | None = None


class Sent(msgspec.Struct):
    """Rows that ``version`` answered in the second ``at``."""

    at: int
    version: str
    rows: int


class Verdict(msgspec.Struct, frozen=True):
    """An evaluation of a watching check, of version ``champion``."""

    at: float
    check: str
    passed: bool
    champion: str
    observed: str = ""
    allowed: str = ""


class AlertSpan(msgspec.Struct, frozen=True):
    """An alert and, when it is over, its end."""

    id: int
    title: str
    severity: str
    began: float
    fingerprint: str
    seen: str = ""
    ended: float | None = None


class Training(msgspec.Struct, frozen=True):
    """A training with its reason and, when it is over, what came of it."""

    asked: float
    cause: str
    why: str
    run_id: str = ""
    ended: float | None = None
    outcome: str = ""


class Promotion(msgspec.Struct, frozen=True):
    """The alias moved to ``version``; ``roc_auc`` as its evaluation promised it, with its interval."""

    at: float
    version: str
    kind: str
    replaced: str | None = None
    held_out: str = ""
    roc_auc: float | None = None
    low: float | None = None
    high: float | None = None


class Estimate(msgspec.Struct, frozen=True):
    """The ROC AUC that version ``champion`` is expected to have on the last predictions, without labels."""

    at: float
    champion: str
    roc_auc: float


class Real(msgspec.Struct, frozen=True):
    """What version ``version`` reached on the outcomes of a month; ``expected`` before they were known."""

    month: str
    version: str
    rows: int
    roc_auc: float | None
    low: float | None
    high: float | None
    promised: float | None
    expected: float | None


class Seen(msgspec.Struct, frozen=True):
    """What the platform says of itself: each list is in order of time, or of months."""

    verdicts: list[Verdict] = []
    alerts: list[AlertSpan] = []
    trainings: list[Training] = []
    promotions: list[Promotion] = []
    estimates: list[Estimate] = []
    real: list[Real] = []


class Story(msgspec.Struct):
    """All of one showing's live traffic, and what came of it.

    ``before``: the last month whose traffic an earlier showing sent. ``labels``: month -> when its labels
    landed. ``failed``: requests that were not answered with 200.
    """

    before: str | None = None
    months: list[Month] = []
    labels: dict[str, float] = {}
    sent: list[Sent] = []
    requests: int = 0
    failed: int = 0
    seen: Seen = Seen()

    @property
    def rows(self) -> int:
        return sum(sent.rows for sent in self.sent)

    @property
    def last_month(self) -> str | None:
        """The last month whose traffic was sent to its end, by this showing or an earlier one."""
        return next((m.name for m in reversed(self.months) if m.ended is not None), self.before)

    def by_version(self) -> dict[str, int]:
        """Version -> rows that it answered, in order of version."""
        found: dict[str, int] = {}
        for sent in self.sent:
            found[sent.version] = found.get(sent.version, 0) + sent.rows
        return dict(sorted(found.items(), key=lambda item: int(item[0])))


def merge(known: Seen, new: Seen) -> Seen:
    """``new``, with the verdicts and estimates that it no longer tells of."""
    first = {
        name: min((one.at for one in getattr(new, name)), default=0.0) for name in ("verdicts", "estimates")
    }
    return msgspec.structs.replace(
        new,
        verdicts=[v for v in known.verdicts if v.at < first["verdicts"] or not new.verdicts] + new.verdicts,
        estimates=[e for e in known.estimates if e.at < first["estimates"] or not new.estimates]
        + new.estimates,
    )


def load(file: Path) -> Story:
    """The story so far; an empty one if there is none yet."""
    return msgspec.json.decode(file.read_bytes(), type=Story) if file.exists() else Story()


def save(file: Path, story: Story) -> None:
    """Write the story in one move: a reader sees all of it or the former."""
    file.parent.mkdir(parents=True, exist_ok=True)
    part = file.with_suffix(".part")
    part.write_bytes(msgspec.json.encode(story))
    part.replace(file)
