"""A plot area in SVG: axes, grid, lines, points. Colours are CSS classes, so light and dark both work."""

from __future__ import annotations

import math
from html import escape
from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence


class Plot(msgspec.Struct):
    """A plot area of ``width`` x ``height`` user units with ranges ``x`` and ``y``; parts as drawn."""

    width: float
    height: float
    x: tuple[float, float]
    y: tuple[float, float]
    left: float = 46
    right: float = 12
    top: float = 10
    bottom: float = 42
    parts: list[str] = []

    def px(self, value: float) -> float:
        """The horizontal place of ``value``."""
        low, high = self.x
        return self.left + (value - low) / (high - low) * (self.width - self.left - self.right)

    def py(self, value: float) -> float:
        """The vertical place of ``value``."""
        low, high = self.y
        return (
            self.height - self.bottom - (value - low) / (high - low) * (self.height - self.top - self.bottom)
        )

    def grid(self, xs: Iterable[float] = (), ys: Iterable[float] = (), decimals: int = 1) -> None:
        """Lines and numbers at ``xs`` and ``ys``."""
        for x in xs:
            self.line("grid", x, self.y[0], x, self.y[1])
            self.text(f"{x:.{decimals}f}", self.px(x), self.height - self.bottom + 16, "tick middle")
        for y in ys:
            self.line("grid", self.x[0], y, self.x[1], y)
            self.text(f"{y:.{decimals}f}", self.left - 7, self.py(y) + 4, "tick end")

    def titles(self, x: str = "", y: str = "") -> None:
        """What the axes show."""
        if x:
            centre = (self.left + self.width - self.right) / 2
            self.text(x, centre, self.height - 6, "axis middle")
        if y:
            at = f"{12:.1f},{(self.top + self.height - self.bottom) / 2:.1f}"
            self.parts.append(
                f'<text class="axis middle" transform="translate({at}) rotate(-90)">{escape(y)}</text>'
            )

    def text(self, words: str, x: float, y: float, css: str) -> None:
        """Words at a place in user units."""
        self.parts.append(f'<text class="{css}" x="{x:.1f}" y="{y:.1f}">{escape(words)}</text>')

    def line(self, css: str, x1: float, y1: float, x2: float, y2: float) -> None:
        """A straight line between two points of the data."""
        self.parts.append(
            f'<line class="{css}" x1="{self.px(x1):.1f}" y1="{self.py(y1):.1f}" '
            f'x2="{self.px(x2):.1f}" y2="{self.py(y2):.1f}"/>'
        )

    def band(self, css: str, x1: float, x2: float) -> None:
        """A band over the plot's full height between two values of x, cut at the plot's edges."""
        a, b = (self.px(min(max(x, self.x[0]), self.x[1])) for x in (x1, x2))
        height = self.height - self.top - self.bottom
        self.parts.append(
            f'<rect class="{css}" x="{a:.1f}" y="{self.top}" width="{b - a:.1f}" height="{height:.1f}"/>'
        )

    def bar(self, css: str, x1: float, x2: float, y: float, hint: str) -> None:
        """A bar from the bottom up to ``y``."""
        top = self.py(y)
        self.parts.append(
            f'<rect class="{css}" x="{self.px(x1) + 0.5:.1f}" y="{top:.1f}" '
            f'width="{max(self.px(x2) - self.px(x1) - 1, 0.5):.1f}" '
            f'height="{max(self.py(self.y[0]) - top, 0):.1f}"><title>{escape(hint)}</title></rect>'
        )

    def path(self, css: str, xs: Sequence[float], ys: Sequence[float]) -> None:
        """A line through points of the data."""
        points = " ".join(f"{self.px(x):.1f},{self.py(y):.1f}" for x, y in zip(xs, ys, strict=True))
        self.parts.append(f'<polyline class="{css}" points="{points}"/>')

    def dot(self, css: str, x: float, y: float, hint: str, radius: float = 4) -> None:
        """A point of the data; ``hint`` shows under the pointer."""
        self.parts.append(
            f'<circle class="{css}" cx="{self.px(x):.1f}" cy="{self.py(y):.1f}" r="{radius}">'
            f"<title>{escape(hint)}</title></circle>"
        )

    def render(self, label: str) -> str:
        """The picture; ``label`` says what it shows to those who cannot see it."""
        return (
            f'<svg viewBox="0 0 {self.width:.0f} {self.height:.0f}" role="img" aria-label="{escape(label)}" '
            f'style="max-width:{self.width:.0f}px">{"".join(self.parts)}</svg>'
        )


def ticks(low: float, high: float, most: int = 6) -> list[float]:
    """Round numbers from ``low`` to ``high``, at most about ``most``."""
    span = (high - low) / most
    step = next(s for s in _steps(span) if s >= span)
    first = math.ceil(low / step - 1e-9)
    return [n * step for n in range(first, math.floor(high / step + 1e-9) + 1)]


def _steps(span: float) -> list[float]:
    ten = 10.0 ** math.floor(math.log10(span))
    return [ten * factor for factor in (1, 2, 2.5, 5, 10, 20)]
