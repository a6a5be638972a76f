"""Small pictures for Dagster's metadata, as SVG: made in a millisecond, without a plotting library."""

from __future__ import annotations

import base64
from dataclasses import dataclass, field
from html import escape
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

_BAD, _GOOD, _MARK, _TEXT = "#c2410c", "#4f7cac", "#111827", "#374151"
_ROW, _NAMES, _BARS, _END = 18, 150, 330, 90
_LEFT, _TOP, _TALL, _STEP = 60, 28, 160, 76


@dataclass(frozen=True)
class Bar:
    """``value`` of ``name`` beside what is ``allowed``; ``bad`` when it is beyond."""

    name: str
    value: float
    allowed: float
    bad: bool


@dataclass(frozen=True)
class Point:
    """A figure of a partition: ``real`` with its ``interval``, ``promised``, ``expected`` without labels."""

    name: str
    real: float | None
    interval: tuple[float, float] | None = None
    promised: float | None = None
    expected: float | None = None

    @property
    def values(self) -> list[float]:
        return [v for v in (self.real, self.promised, self.expected, *(self.interval or ())) if v is not None]


@dataclass
class _Picture:
    title: str
    parts: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.text(4, 14, self.title, "start", bold=True)

    def text(self, x: float, y: float, words: str, anchor: str, *, bold: bool = False) -> None:
        style = "font-family='sans-serif' font-size='12'" + (" font-weight='bold'" if bold else "")
        at = f"x='{x:.1f}' y='{y:.1f}' text-anchor='{anchor}'"
        self.parts.append(f"<text {at} {style} fill='{_TEXT}'>{escape(words)}</text>")

    def line(self, x1: float, y1: float, x2: float, y2: float, colour: str) -> None:
        ends = f"x1='{x1:.1f}' x2='{x2:.1f}' y1='{y1:.1f}' y2='{y2:.1f}'"
        self.parts.append(f"<line {ends} stroke='{colour}' stroke-width='2'/>")

    def circle(self, x: float, y: float, fill: str, stroke: str) -> None:
        look = f"r='4' fill='{fill}' stroke='{stroke}' stroke-width='2'"
        self.parts.append(f"<circle cx='{x:.1f}' cy='{y:.1f}' {look}/>")

    def rectangle(self, x: float, y: float, width: float, colour: str) -> None:
        self.parts.append(f"<rect x='{x}' y='{y}' width='{width:.1f}' height='12' fill='{colour}'/>")

    def markdown(self, width: float, height: float) -> str:
        size = f"width='{width}' height='{height}' viewBox='0 0 {width} {height}'"
        ground = "<rect width='100%' height='100%' fill='white'/>"
        svg = f"<svg xmlns='http://www.w3.org/2000/svg' {size}>{ground}{''.join(self.parts)}</svg>"
        return f"![{self.title}](data:image/svg+xml;base64,{base64.b64encode(svg.encode()).decode()})"


def bars(title: str, values: Sequence[Bar]) -> str:
    """Markdown of a picture with one bar for each of ``values``, and a mark at what is allowed."""
    picture = _Picture(title)
    top = max([0.0, *(max(bar.value, bar.allowed) for bar in values)]) or 1.0
    for number, bar in enumerate(values, 1):
        y = number * _ROW + 6
        width, mark = bar.value / top * _BARS, _NAMES + bar.allowed / top * _BARS
        picture.text(_NAMES - 6, y + 10, bar.name, "end")
        picture.rectangle(_NAMES, y, width, _BAD if bar.bad else _GOOD)
        picture.line(mark, y - 2, mark, y + 14, _MARK)
        picture.text(max(_NAMES + width, mark) + 5, y + 10, f"{bar.value:.3f}", "start")
    return picture.markdown(_NAMES + _BARS + _END, _ROW * (len(values) + 1) + 8)


def points(title: str, values: Sequence[Point]) -> str:
    """Markdown of a picture with a dot and its interval, a line and a ring for each of ``values``."""
    picture = _Picture(title)
    seen = [value for point in values for value in point.values] or [0.0, 1.0]
    low, high = min(seen) - 0.01, max(seen) + 0.01

    def y(value: float) -> float:
        return _TOP + (high - value) / (high - low) * _TALL

    for value in (min(seen), (low + high) / 2, max(seen)):
        picture.text(_LEFT - 8, y(value) + 4, f"{value:.3f}", "end")
    for number, point in enumerate(values):
        x = _LEFT + (number + 0.5) * _STEP
        picture.text(x, _TOP + _TALL + 18, point.name, "middle")
        if point.promised is not None:
            picture.line(x - 24, y(point.promised), x + 24, y(point.promised), _MARK)
        if point.interval is not None:
            picture.line(x, y(point.interval[0]), x, y(point.interval[1]), _GOOD)
        if point.real is not None:
            picture.circle(x, y(point.real), _GOOD, _GOOD)
        if point.expected is not None:
            picture.circle(x + 10, y(point.expected), "none", _BAD)
    drawn = picture.markdown(max(_LEFT + _STEP * len(values) + 20, 420), _TOP + _TALL + 30)
    return f"{drawn}\n\nDot: real, with its interval. Line: promised. Ring: expected without labels."
