"""The story as a picture of characters: one column a few seconds."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.table import Table
from rich.text import Text

from mlops_assets.demo.spans import ALERTS, CHECKS, LABELS, Scale, Span, lanes, stacked

if TYPE_CHECKING:
    from mlops_assets.demo.story import Story

COLOURS = ("blue", "yellow", "green", "magenta", "cyan", "red")
NARROWEST, WIDEST, NAMES = 40, 120, 15
_BARS = " ▁▂▃▄▅▆▇█"


def strip(story: Story, width: int) -> Table:
    """Traffic by version over time, and what was noticed and done meanwhile, in ``width`` characters.

    Raises ``ValueError`` if there was no traffic.
    """
    if not story.sent:
        raise ValueError("there was no traffic: nothing to draw")
    return _Strip(story, min(max(width - NAMES, NARROWEST), WIDEST)).table()


class _Strip:
    def __init__(self, story: Story, columns: int) -> None:
        self._story, self._columns = story, columns
        self._scale = Scale.of(story)
        versions = enumerate(story.by_version())
        self._colours = {version: COLOURS[place % len(COLOURS)] for place, version in versions}

    def table(self) -> Table:
        table = Table.grid(padding=(0, 1))
        table.add_row("flights of", self._months())
        table.add_row("predictions", self._traffic())
        table.add_row("answered by", self._versions())
        for lane, spans in lanes(self._story).items():
            for number, line in enumerate(self._lane(lane, spans)):
                table.add_row("" if number else lane, line)
        end = f"{self._scale.length:.0f} s"
        table.add_row("", Text(f"0 s{end:>{self._columns - 3}}", "dim"))
        return table

    def _column(self, at: float) -> int:
        return min(int(self._scale(at) / self._scale.length * self._columns), self._columns - 1)

    def _empty(self) -> Text:
        return Text(" " * self._columns, no_wrap=True)

    def _put(self, line: Text, place: int, what: str, style: str = "") -> Text:
        what = what[: self._columns - place]
        return line[:place] + Text(what, style) + line[place + len(what) :]

    def _months(self) -> Text:
        line = self._empty()
        for month in self._story.months:
            line = self._put(line, self._column(month.began), f"|{month.name}")
        return line

    def _versions(self) -> Text:
        """Each version where it first answered."""
        line = self._empty()
        for version, colour in self._colours.items():
            first = min(sent.at for sent in self._story.sent if sent.version == version)
            line = self._put(line, self._column(first), f"|version {version}", colour)
        return line

    def _traffic(self) -> Text:
        """A column's height is its rows, its colour the version that answered most of them."""
        columns: list[dict[str, int]] = [{} for _ in range(self._columns)]
        for sent in self._story.sent:
            found = columns[self._column(sent.at)]
            found[sent.version] = found.get(sent.version, 0) + sent.rows
        top = max(sum(found.values()) for found in columns)
        line = Text(no_wrap=True)
        for found in columns:
            height = -(-sum(found.values()) * (len(_BARS) - 1) // top)
            line.append(_BARS[height], self._colours[max(found, key=found.__getitem__)] if found else "")
        return line

    def _lane(self, lane: str, spans: list[Span]) -> list[Text]:
        if lane in CHECKS:
            return [self._verdicts(spans)]
        if lane == LABELS:
            line = self._empty()
            for span in spans:
                line = self._put(line, self._column(span.began), f"▼{span.text}")
            return [line]
        rows, count = stacked(spans, self._scale.end)
        lines = [self._empty() for _ in range(count)]
        for span, row in zip(spans, rows, strict=True):
            begin, end = self._column(span.began), self._column(span.ended or self._scale.end)
            width = max(end - begin, 1)
            bar = f"{span.text} "[:width].ljust(width, "━")  # seen without colours, too
            lines[row] = self._put(lines[row], begin, bar, "red" if lane == ALERTS else "")
        return lines

    def _verdicts(self, spans: list[Span]) -> Text:
        """What failed is not hidden by what passed in the same column."""
        line = self._empty()
        for span in sorted(spans, key=lambda one: not one.good):
            mark, style = ("●", "green") if span.good else ("✖", "red")
            line = self._put(line, self._column(span.began), mark, style)
        return line
