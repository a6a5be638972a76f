"""A story laid out in time, for the picture and for the terminal alike."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mlops_assets.demo.story import Promotion, Real, Story

LABELS, ALERTS, TRAINING = "labels land", "alerts", "trainings"
CHECKS = {
    "feature drift": "feature_drift",
    "score drift": "score_drift",
    "performance": "performance",
}
LANES = (LABELS, *CHECKS, ALERTS, TRAINING)


@dataclass(frozen=True)
class Scale:
    """Seconds since the first request, of a time in seconds since 1970. ``end``: of all that is shown."""

    begin: float
    end: float

    @classmethod
    def of(cls, story: Story) -> Scale:
        times = [float(sent.at) for sent in story.sent]
        begin = min(times)
        seen = story.seen
        late = [a.ended for a in seen.alerts if a.ended] + [t.ended for t in seen.trainings if t.ended]
        return cls(begin, max([max(times) + 1, *late, *(v.at for v in seen.verdicts)]))

    @property
    def length(self) -> float:
        return self.end - self.begin

    def __call__(self, at: float) -> float:
        return min(max(at, self.begin), self.end) - self.begin


@dataclass(frozen=True)
class Span:
    """Something in a lane. ``ended`` is None for what lasts, and for a moment. ``good``: a check passed."""

    began: float
    text: str
    ended: float | None = None
    good: bool = True


def lanes(story: Story) -> dict[str, list[Span]]:
    """What is in each lane, in order of time; what was over before the first request is left out."""
    begin, seen = Scale.of(story).begin, story.seen
    found: dict[str, list[Span]] = {
        LABELS: [Span(at, month) for month, at in story.labels.items()],
        ALERTS: [Span(a.began, a.fingerprint.rpartition(":")[2], a.ended, good=False) for a in seen.alerts],
        TRAINING: [Span(t.asked, t.cause, t.ended) for t in seen.trainings],
    }
    for lane, check in CHECKS.items():
        found[lane] = [Span(v.at, v.check, None, good=v.passed) for v in seen.verdicts if v.check == check]
    return {lane: [span for span in found[lane] if _lasts(lane, span, begin)] for lane in LANES}


def _lasts(lane: str, span: Span, begin: float) -> bool:
    """Whether it was not over at ``begin``; labels and verdicts are moments."""
    if lane in (ALERTS, TRAINING):
        return span.ended is None or span.ended > begin
    return span.began >= begin


def stacked(spans: list[Span], end: float) -> tuple[list[int], int]:
    """A row for each span, so that none covers another; and how many rows there are."""
    free: list[float] = []
    rows = []
    for span in spans:
        row = next((number for number, at in enumerate(free) if at <= span.began), len(free))
        free[row : row + 1] = [span.ended or end]
        rows.append(row)
    return rows, max(len(free), 1)


def serving(story: Story) -> list[tuple[Promotion, float, float]]:
    """Each promotion with the time in which its version was the champion, as far as traffic was sent."""
    scale = Scale.of(story)
    moves = story.seen.promotions
    ends = [*(move.at for move in moves[1:]), scale.end]
    spans = zip(moves, ends, strict=True)
    return [
        (m, max(m.at, scale.begin), end) for m, end in spans if m.kind != "retirement" and end > scale.begin
    ]


def scores(story: Story) -> list[tuple[Real, float, float]]:
    """Each real score with the time in which its version answered about its month."""
    found = []
    for score in story.seen.real:
        month = next((m for m in reversed(story.months) if m.name == score.month), None)
        if month is None:
            continue
        end = month.ended or Scale.of(story).end
        times = [s.at for s in story.sent if s.version == score.version and month.began - 1 <= s.at <= end]
        if times:
            found.append((score, float(min(times)), float(max(times) + 1)))
    return found
