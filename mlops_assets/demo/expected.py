"""What the first showing's live traffic has to lead to, month by month."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from mlops_assets.demo.story import AlertSpan, Story, Verdict

DRIFT = ("feature_drift", "score_drift")
CAUSES = ("drift", "performance")


@dataclass(frozen=True)
class Expectation:
    """``what`` is expected, in words; whether it is ``met``; and what was ``found``, for a complaint."""

    what: str
    met: Callable[[Story], bool]
    found: Callable[[Story], str]


def _alerts_of_drift(story: Story) -> list[AlertSpan]:
    return [a for a in story.seen.alerts if a.fingerprint.rpartition(":")[2] in DRIFT]


def _noticed(story: Story) -> bool:
    failed = any(v.check in DRIFT and not v.passed for v in story.seen.verdicts)
    return failed and bool(_alerts_of_drift(story))


def _repaired(story: Story) -> bool:
    """A training for what was noticed brought a version, and that answers: if only there is traffic."""
    asked = [t.asked for t in story.seen.trainings if t.cause in CAUSES and t.ended is not None]
    promoted = [p.version for p in story.seen.promotions if asked and p.at > min(asked)]
    sending = bool(story.months) and story.months[-1].ended is None
    return bool(promoted) and (not sending or promoted[0] in story.by_version())


def _resolved(story: Story) -> bool:
    return any(alert.ended is not None for alert in _alerts_of_drift(story))


def _calm(story: Story) -> bool:
    """No training is under way, the last labels are in the real performance, the champion was judged.

    An alert about a check that passes now is about to be resolved.
    """
    seen, landed = story.seen, max(story.labels, default=None)
    known = landed is None or any(one.month == landed for one in seen.real)
    judged = {verdict.champion for verdict in seen.verdicts[-1:]} == {p.version for p in seen.promotions[-1:]}
    passing = {check for check, verdict in _last(story).items() if verdict.passed}
    open_still = any(a.ended is None and a.fingerprint.rpartition(":")[2] in passing for a in seen.alerts)
    done = all(training.ended is not None for training in seen.trainings)
    return known and judged and done and not open_still


def _last(story: Story) -> dict[str, Verdict]:
    """Each check's last verdict."""
    return {verdict.check: verdict for verdict in story.seen.verdicts}


def _verdicts(story: Story) -> str:
    told = [f"{v.check} {'passes' if v.passed else 'fails'} ({v.observed})" for v in _last(story).values()]
    return f"the checks' last verdicts: {'; '.join(told) or 'none'}"


def _trainings(story: Story) -> str:
    told = [f"{t.cause}: {t.outcome or 'under way'}" for t in story.seen.trainings]
    return f"trainings: {'; '.join(told) or 'none'}; {_verdicts(story)}"


def _alerts(story: Story) -> str:
    told = [f"{a.title} {'resolved' if a.ended else 'lasts'}" for a in story.seen.alerts]
    return f"alerts: {'; '.join(told) or 'none'}; {_verdicts(story)}"


NOTICED = Expectation("drift is seen and an alert tells of it", _noticed, _alerts)
REPAIRED = Expectation("a training follows, and the endpoint answers with its version", _repaired, _trainings)
RESOLVED = Expectation("the alert is resolved", _resolved, _alerts)
AT_REST = Expectation(
    "trainings are over, the last labels joined, and the champion watched", _calm, _trainings
)

FIRST_SHOWING = {"2013-04": NOTICED, "2013-05": REPAIRED, "2013-06": RESOLVED}
"""By month of traffic. Those after it may bring more of the same, or nothing: as the data has it."""
