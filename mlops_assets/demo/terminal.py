"""The story for a terminal: a picture of characters, and what happened as lines and tables."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from rich.table import Table
from rich.text import Text

from mlops_assets.demo.spans import ALERTS, CHECKS, LABELS, Scale, Span, lanes, stacked

if TYPE_CHECKING:
    from mlops_assets.demo.story import Seen, Story

COLOURS = ("blue", "yellow", "green", "magenta", "cyan", "red")
COLUMNS = 96
_BARS = " ▁▂▃▄▅▆▇█"


def strip(story: Story) -> Table:
    """Traffic by version over time, and what was noticed and done meanwhile; one column a few seconds."""
    scale = Scale.of(story)
    table = Table.grid(padding=(0, 1))
    table.add_row("flights of", _months(story, scale))
    table.add_row("predictions", _traffic(story, scale))
    table.add_row("answered by", _versions(story, scale))
    for lane, spans in lanes(story).items():
        for number, line in enumerate(_lane(lane, spans, scale)):
            table.add_row("" if number else lane, line)
    table.add_row("", Text(f"0 s{f'{scale.length:.0f} s':>{COLUMNS - 3}}", "dim"))
    return table


def _column(scale: Scale, at: float) -> int:
    return min(int(scale(at) / scale.length * COLUMNS), COLUMNS - 1)


def _months(story: Story, scale: Scale) -> Text:
    line = [" "] * COLUMNS
    for month in story.months:
        place = _column(scale, month.began)
        name = f"|{month.name}"[: COLUMNS - place]
        line[place : place + len(name)] = name
    return Text("".join(line))


def _versions(story: Story, scale: Scale) -> Text:
    """Each version where it first answered."""
    line = Text(" " * COLUMNS)
    shade = styles(story)
    for version in shade:
        first = min(sent.at for sent in story.sent if sent.version == version)
        line = _put(line, _column(scale, first), f"|version {version}", shade[version])
    return line


def _traffic(story: Story, scale: Scale) -> Text:
    """A column's height is its rows, its colour the version that answered most of them."""
    columns: list[dict[str, int]] = [{} for _ in range(COLUMNS)]
    for sent in story.sent:
        found = columns[_column(scale, sent.at)]
        found[sent.version] = found.get(sent.version, 0) + sent.rows
    top = max(sum(found.values()) for found in columns) or 1
    shade = styles(story)
    line = Text()
    for found in columns:
        height = -(-sum(found.values()) * (len(_BARS) - 1) // top)
        line.append(_BARS[height], shade[max(found, key=found.__getitem__)] if found else "")
    return line


def styles(story: Story) -> dict[str, str]:
    """Version -> its colour."""
    return {version: COLOURS[place % len(COLOURS)] for place, version in enumerate(story.by_version())}


def _lane(lane: str, spans: list[Span], scale: Scale) -> list[Text]:
    if lane in CHECKS:
        line = Text(" " * COLUMNS)
        for good in (True, False):  # what failed is not to be hidden by what passed in the same column
            for span in spans:
                if span.good == good:
                    line = _put(
                        line, _column(scale, span.began), "●" if good else "✖", "green" if good else "red"
                    )
        return [line]
    if lane == LABELS:
        line = Text(" " * COLUMNS)
        for span in spans:
            line = _put(line, _column(scale, span.began), f"▼{span.text}", "")
        return [line]
    rows, count = stacked(spans, scale.end)
    lines = [Text(" " * COLUMNS) for _ in range(count)]
    for span, row in zip(spans, rows, strict=True):
        begin, end = _column(scale, span.began), _column(scale, span.ended or scale.end)
        width = max(end - begin, 1)
        style = "white on red" if lane == ALERTS else "black on white"
        bar = f"{span.text} "[:width].ljust(width, "━")  # seen without colours, too
        lines[row] = _put(lines[row], begin, bar, style)
    return lines


def _put(line: Text, place: int, what: str, style: str) -> Text:
    what = what[: COLUMNS - place]
    return line[:place] + Text(what, style) + line[place + len(what) :]


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
