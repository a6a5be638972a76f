"""An alert: a message about a check, run, sensor, freshness or delivery that changed state."""

from __future__ import annotations

import datetime as dt
from typing import Literal

import msgspec

Kind = Literal["check", "run", "sensor", "freshness", "delivery"]
Severity = Literal["warning", "error"]
Notice = Literal["firing", "reminder", "resolved"]

_ROOM = 1500
"""Characters of one field in a message: channels refuse, or cut, long ones."""


class Alert(msgspec.Struct, frozen=True, kw_only=True):
    """One problem, from the moment it is seen until it is over.

    ``fingerprint`` says which problem: two alerts that share it and last at the same time are one.
    ``key`` tells the messages about it apart and stays the same when one is sent again, so that a
    receiver can drop repetitions.
    """

    fingerprint: str
    kind: Kind
    severity: Severity
    title: str
    since: dt.datetime
    project: str = ""
    group: str = ""
    asset: str = ""
    seen: str = ""
    allowed: str = ""
    remedy: str = ""
    owners: tuple[str, ...] = ()
    url: str = ""
    notice: Notice = "firing"
    resolved_at: dt.datetime | None = None
    key: str = ""

    @property
    def state(self) -> Literal["firing", "resolved"]:
        return "resolved" if self.resolved_at else "firing"

    @property
    def duration(self) -> dt.timedelta | None:
        """How long it took until it was over; None while it lasts."""
        return self.resolved_at - self.since if self.resolved_at else None

    @property
    def headline(self) -> str:
        """The message in a line."""
        if self.duration is not None:
            return f"RESOLVED after {spell(self.duration)}: {self.title}"
        mark = "STILL " if self.notice == "reminder" else ""
        return f"{mark}{self.severity.upper()}: {self.title}"

    @property
    def facts(self) -> dict[str, str]:
        """Label -> text, in the order of reading; empty ones are left out."""
        facts = {
            "Seen": self.seen,
            "Allowed": self.allowed,
            "What to do": "" if self.resolved_at else self.remedy,
            "Project": self.project,
            "Asset": self.asset,
            "Owners": ", ".join(self.owners),
            "Since": self.since.astimezone(dt.UTC).isoformat(timespec="seconds"),
            "Dagster": self.url,
        }
        return {label: _cut(text) for label, text in facts.items() if text}

    @property
    def text(self) -> str:
        """The message in full, plain."""
        return "\n".join([self.headline, *(f"{label}: {text}" for label, text in self.facts.items())])


def spell(duration: dt.timedelta) -> str:
    """A duration for people: ``2 d 3 h``, ``4 min 5 s``."""
    left, parts = max(0, round(duration.total_seconds())), []
    for unit, seconds in (("d", 86_400), ("h", 3_600), ("min", 60), ("s", 1)):
        count, left = divmod(left, seconds)
        if count:
            parts.append(f"{count} {unit}")
    return " ".join(parts[:2]) or "0 s"


def encode(alert: Alert) -> bytes:
    """As JSON."""
    return msgspec.json.encode(alert)


def decode(data: object) -> Alert:
    """From what ``encode`` made, or that parsed; ``msgspec.ValidationError`` for anything else."""
    if isinstance(data, (bytes, str)):
        return msgspec.json.decode(data, type=Alert)
    return msgspec.convert(data, type=Alert)


def _cut(text: str) -> str:
    return text if len(text) <= _ROOM else f"{text[:_ROOM]} …"
