"""What happened, as lines and tables for a terminal."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from rich.table import Table
from rich.text import Text

if TYPE_CHECKING:
    from mlops_assets.demo.story import Seen, Story


@dataclass(frozen=True)
class Line:
    """Something to tell, once: ``key`` says what."""

    at: float
    key: str
    text: Text


def news(seen: Seen) -> list[Line]:
    """What ``seen`` has to tell, in order of time: a check only when it says something else than before."""
    lines: list[Line] = []
    said: dict[str, tuple[bool, str]] = {}
    for verdict in seen.verdicts:
        if said.get(verdict.check) != (verdict.passed, verdict.champion):
            said[verdict.check] = (verdict.passed, verdict.champion)
            word, style = ("passes", "green") if verdict.passed else ("fails", "red")
            text = Text.assemble(
                "check ", (f"{verdict.check} {word}", style), f" for version {verdict.champion}: "
            )
            more = "" if verdict.passed else f"; allowed: {verdict.allowed}"
            lines.append(
                Line(verdict.at, f"{verdict.check}{verdict.at}", text.append(f"{verdict.observed}{more}"))
            )
    for alert in seen.alerts:
        text = Text.assemble(("alert ", "bold red"), f"({alert.severity}): {alert.title}")
        lines.append(Line(alert.began, f"alert{alert.id}", text))
        if alert.ended is not None:
            text = Text.assemble(
                ("alert resolved ", "bold green"), f"after {alert.ended - alert.began:.0f} s: "
            )
            lines.append(Line(alert.ended, f"resolved{alert.id}", text.append(alert.title)))
    for training in seen.trainings:
        text = Text.assemble(("training ", "bold"), f"cause {training.cause}: {training.why}")
        lines.append(Line(training.asked, f"training{training.asked}", text))
        if training.ended is not None:
            lines.append(
                Line(training.ended, f"ended{training.asked}", Text(f"training over: {training.outcome}"))
            )
    for move in seen.promotions:
        text = Text(f"{move.kind}: version {move.version} is the champion", "bold green")
        lines.append(Line(move.at, f"promotion{move.at}", text))
    return sorted(lines, key=lambda line: line.at)


def quality(story: Story) -> Table:
    """What was promised, expected without labels, and real, by month and version."""
    table = Table(
        "flights of", "version", "rows", "promised", "expected", "real", "interval",
        title="ROC AUC: promised, expected without labels, real on outcomes",
        title_justify="left", box=None,
    )  # fmt: skip
    for one in story.seen.real:
        if one.roc_auc is None:
            continue  # a row or two: nothing can be said of ranks
        interval = f"{one.low:.3f} to {one.high:.3f}" if one.low is not None and one.high is not None else "-"
        figures = [
            f"{value:.3f}" if value is not None else "-"
            for value in (one.promised, one.expected, one.roc_auc)
        ]
        table.add_row(one.month, one.version, f"{one.rows:,}", *figures, interval)
    return table
