"""What a project's watch has to do, from what is there and what was made of it. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from mlops_assets.lifecycle import drift, drift_report, outcomes, performance

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from mlops_assets.lifecycle.log_days import LoggedDay
    from mlops_assets.lifecycle.reference_profile import Watched

Kind = Literal["predictions", "outcomes", "drift", "performance", "drift_report"]
KINDS: tuple[Kind, ...] = ("predictions", "outcomes", "drift", "performance")
"""One run of these at a time, each kind in its turn; a report is drawn beside them."""


@dataclass(frozen=True)
class WatchLimits:
    """Bounds of the watch.

    A day of the log is looked into again when its new objects hold a ``share`` of the drift window, or
    when the last look was ``patience`` seconds ago: a run for each few rows would be endless. Work that
    failed is asked for ``attempts`` times, ``backoff`` seconds apart, then twice that; when what it is
    made from changes, it is other work. A report waits ``report_patience`` seconds for other runs to end,
    a training say: it is a picture of what that one mends.
    """

    share: float = 0.05
    patience: float = 60.0
    attempts: int = 3
    backoff: float = 30.0
    report_patience: float = 120.0


@dataclass(frozen=True)
class Listed:
    """A day of the log as the store lists it: its state (``log_days.state_of``) and size."""

    state: str
    bytes: int


@dataclass(frozen=True)
class View:
    """All that the plan depends on. States are data versions, by partition where there are any."""

    listed: Mapping[str, Listed]
    """Days of the log that were looked at now."""
    days: Mapping[str, str]
    logged_days: Mapping[str, LoggedDay]
    logged: Mapping[str, Mapping[str, str]]
    """Partition -> day -> digest of the objects with its predictions."""
    features: Mapping[str, str]
    outcomes: Mapping[str, str]
    champion: Watched | None
    drift: str
    failure: Mapping[str, Any]
    """The last drift verdict that failed (``drift.LAST_FAILURE``), over or not; empty if none has."""
    performance: str
    measured: Collection[str]
    """Versions whose outcomes the last performance was made of."""
    report: str


@dataclass(frozen=True)
class Work:
    """A run to ask for. ``state``: what it would be made from; ``follow``: what comes after, in the run."""

    kind: Kind
    partition: str | None
    state: str
    follow: Kind | None = None

    @property
    def stages(self) -> tuple[Kind, ...]:
        return (self.kind, self.follow) if self.follow else (self.kind,)

    @property
    def base(self) -> str:
        """Names the work: the same for the same state."""
        return "/".join(part for part in (self.kind, self.partition, self.state) if part)


def due(view: View, window_rows: int, limits: WatchLimits) -> list[Work]:
    """All that is to be done, by kind, older partitions first."""
    work = [*_predictions(view, window_rows, limits), *_outcomes(view)]
    if not any(one.kind == "predictions" for one in work):
        work += _drift(view)
    if not any(one.kind == "outcomes" for one in work):
        work += _performance(view)
    return work


def report_due(view: View) -> Work | None:
    """The report to draw, if one is missing."""
    if not view.failure or (state := drift_report.state_of(view.failure[drift.VERDICT])) == view.report:
        return None
    return Work("drift_report", None, state)


def _predictions(view: View, window_rows: int, limits: WatchLimits) -> list[Work]:
    days = [
        day
        for day, listed in sorted(view.listed.items())
        if listed.state != view.days.get(day)
        and _urgent(listed, view.logged_days.get(day), window_rows, limits)
    ]
    last = days[-1] if days else None
    follow: Kind | None = "drift" if view.champion else None
    return [Work("predictions", day, view.listed[day].state, follow if day == last else None) for day in days]


def _urgent(listed: Listed, known: LoggedDay | None, window_rows: int, limits: WatchLimits) -> bool:
    """Whether a day whose objects are not the known ones is to be looked into now."""
    if known is None or not known.rows or known.age >= limits.patience:
        return True
    new_rows = (listed.bytes - known.bytes) * known.rows / max(known.bytes, 1)
    return new_rows >= limits.share * window_rows


def _outcomes(view: View) -> list[Work]:
    wanted = {
        partition: outcomes.state_of(features, view.logged[partition])
        for partition, features in sorted(view.features.items())
        if partition in view.logged
    }
    stale = [partition for partition, state in wanted.items() if view.outcomes.get(partition) != state]
    last = stale[-1] if stale else None
    follow: Kind | None = "performance" if view.champion else None
    return [Work("outcomes", p, wanted[p], follow if p == last else None) for p in stale]


def _drift(view: View) -> list[Work]:
    if view.champion is None or not view.days:
        return []
    state = drift.state_of(view.champion, view.days)
    return [Work("drift", None, state)] if state != view.drift else []


def _performance(view: View) -> list[Work]:
    if view.champion is None or not view.outcomes:
        return []
    state = performance.state_of(view.champion, view.outcomes)
    if state == view.performance:
        return []
    same_rows = performance.outcomes_of(state) == performance.outcomes_of(view.performance)
    if same_rows and view.champion.version not in view.measured:
        return []  # a new champion, of whose answers no outcome is known: nothing could be said of it
    return [Work("performance", None, state)]
