"""The story as one picture: who answered, what was noticed, what was done, and how good the answers were."""

from __future__ import annotations

from io import BytesIO
from typing import TYPE_CHECKING, Any

import numpy as np

from mlops_assets.demo.spans import ALERTS, CHECKS, LABELS, LANES, Scale, lanes, scores, serving, stacked

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mlops_assets.demo.spans import Span
    from mlops_assets.demo.story import Story

COLOURS = ("#0b6bcb", "#d97706", "#0f9d78", "#b455a0", "#6b7280", "#be123c")
"""Of the versions, in order; again from the first after the last."""
GOOD, BAD, WORK, INK, FAINT = "#0f9d78", "#c2410c", "#6b7280", "#1f2937", "#e4e8ee"
BIN_SECONDS = 2


def draw(story: Story) -> bytes:
    """PNG of the story's live traffic, time to the right. Raises ``ValueError`` if there was none."""
    if not story.sent:
        raise ValueError("there was no traffic: nothing to draw")
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11, 8.2), dpi=110, layout="constrained")
    FigureCanvasAgg(figure)
    heights = {"height_ratios": [3.0, 2.6, 3.6]}
    traffic, noticed, quality = figure.subplots(3, 1, sharex=True, gridspec_kw=heights)
    scale = Scale.of(story)
    colour = colours(story)
    _traffic(traffic, story, scale, colour)
    _noticed(noticed, story, scale)
    _quality(quality, story, scale, colour)
    for axes in (traffic, noticed, quality):
        _ground(axes, story, scale)
    _name_months(traffic, story, scale)
    quality.set_xlim(0, scale.length + 1)
    quality.set_xlabel("time since the first request (minutes:seconds)")
    quality.xaxis.get_major_locator().set_params(steps=[1.2, 3, 6])  # 12, 30, 60, 120 seconds
    quality.xaxis.set_major_formatter(lambda x, _: f"{int(x) // 60}:{int(x) % 60:02d}")
    figure.suptitle(_title(story), x=0.01, ha="left", fontsize=13, fontweight="bold", color=INK)
    into = BytesIO()
    figure.savefig(into, format="png")
    return into.getvalue()


def colours(story: Story) -> dict[str, str]:
    """Version -> its colour."""
    versions = list(story.by_version())
    return {version: COLOURS[place % len(COLOURS)] for place, version in enumerate(versions)}


def _title(story: Story) -> str:
    failed = f"{story.failed:,} failed" if story.failed else "none failed"
    return f"{story.rows:,} predictions in {story.requests:,} requests, {failed}"


def _traffic(axes: Any, story: Story, scale: Scale, colour: dict[str, str]) -> None:
    edges = np.arange(0, scale.length + BIN_SECONDS, BIN_SECONDS)
    names = list(colour)
    rates = [
        np.histogram(
            [scale(sent.at) for sent in story.sent if sent.version == name],
            edges,
            weights=[sent.rows for sent in story.sent if sent.version == name],
        )[0]
        / BIN_SECONDS
        for name in names
    ]
    labels = [f"version {name}: {rows:,}" for name, rows in story.by_version().items()]
    axes.stackplot(edges[:-1], rates, labels=labels, colors=[colour[n] for n in names], step="post")
    axes.set_ylabel("predictions per second")
    axes.set_ylim(0, 1.15 * float(np.sum(rates, axis=0).max()))
    axes.legend(frameon=False, ncols=len(names), loc="lower right", bbox_to_anchor=(1, 1), fontsize=9)


def _noticed(axes: Any, story: Story, scale: Scale) -> None:
    """A lane each for labels, checks, alerts and trainings."""
    for place, (lane, spans) in enumerate(lanes(story).items()):
        if lane in CHECKS:
            for span in spans:
                look = {"marker": "o", "color": GOOD} if span.good else {"marker": "X", "color": BAD}
                axes.plot(scale(span.began), place, markersize=7, clip_on=False, **look)
        elif lane == LABELS:
            for span in spans:
                axes.plot(scale(span.began), place, marker="v", color=INK, markersize=6)
                _say(axes, span.text, scale(span.began) + 0.8, place, INK)
        else:
            _bars(axes, place, spans, scale, BAD if lane == ALERTS else WORK)
    axes.set_yticks(range(len(LANES)), LANES)
    axes.set_ylim(len(LANES) - 0.4, -0.6)


def _bars(axes: Any, place: int, spans: list[Span], scale: Scale, shade: str) -> None:
    rows, count = stacked(spans, scale.end)
    height = 0.8 / count
    for span, row in zip(spans, rows, strict=True):
        begin, end = scale(span.began), scale(span.ended or scale.end)
        at = place - 0.4 + (row + 0.5) * height
        axes.barh(at, max(end - begin, 0.8), left=begin, height=height * 0.85, color=shade)
        _say(axes, span.text, begin + 0.5, at, "white")


def _say(axes: Any, text: str, x: float, y: float, colour: str) -> None:
    axes.text(x, y, text, color=colour, fontsize=8, va="center", clip_on=True)


def _quality(axes: Any, story: Story, scale: Scale, colour: dict[str, str]) -> None:
    """What each version promised while it was served, what was expected, and what came of it."""
    for promotion, began, ended in serving(story):
        if promotion.roc_auc is None or promotion.version not in colour:
            continue
        x, shade = [scale(began), scale(ended)], colour[promotion.version]
        axes.plot(x, [promotion.roc_auc] * 2, color=shade, linestyle="--", linewidth=1.3)
        if promotion.low is not None:
            axes.fill_between(x, promotion.low, promotion.high, color=shade, alpha=0.10, linewidth=0)
    for version, shade in colour.items():
        points = [(scale(e.at), e.roc_auc) for e in story.seen.estimates if e.champion == version]
        if points:
            axes.plot(*zip(*points, strict=True), color=shade, marker=".", linewidth=0.9, alpha=0.75)
    for score, began, ended in scores(story):
        if score.roc_auc is None or score.version not in colour:
            continue
        x, shade = [scale(began), scale(ended)], colour[score.version]
        axes.plot(x, [score.roc_auc] * 2, color=shade, linewidth=3.2, solid_capstyle="round")
        if score.low is not None and score.high is not None:
            middle, bars = sum(x) / 2, [[score.roc_auc - score.low], [score.high - score.roc_auc]]
            axes.errorbar(middle, score.roc_auc, bars, color=shade, capsize=3, linewidth=1.1)
    for label, look in (
        ("promised by its evaluation", {"linestyle": "--"}),
        ("expected without labels", {"marker": ".", "linewidth": 0.9}),
        ("real, when the labels came", {"linewidth": 3.2}),
    ):
        axes.plot([], [], color=INK, label=label, **look)
    axes.set_ylabel("ROC AUC")
    axes.legend(frameon=False, ncols=3, loc="lower right", bbox_to_anchor=(1, 1), fontsize=9)


def _ground(axes: Any, story: Story, scale: Scale) -> None:
    """Every other month on a faint ground, swaps as lines."""
    for month in story.months[1::2]:
        begin, end = scale(month.began), scale(month.ended or scale.end)
        axes.axvspan(begin, end, color=FAINT, alpha=0.45, linewidth=0, zorder=0)
    for at in _swaps(story):
        axes.axvline(scale(at), color=INK, linewidth=1, linestyle=":")
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    axes.set_axisbelow(True)


def _name_months(axes: Any, story: Story, scale: Scale) -> None:
    for number, month in enumerate(story.months):
        text = month.name if number else f"flights of {month.name}"
        axes.annotate(text, (scale(month.began), 1), (3, -3), fontsize=9, color=INK,
                      xycoords=("data", "axes fraction"), textcoords="offset points", va="top")  # fmt: skip


def _swaps(story: Story) -> Sequence[float]:
    return [began for _, began, _ in serving(story)[1:]]
