"""The report's charts, as inline SVG."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from mlops_assets.judging.calibration import reliability
from mlops_assets.judging.curves import roc_curve
from mlops_assets.judging.evaluation import BASELINE, CHAMPION
from mlops_assets.judging.svg import Plot, ticks

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import ArrayLike

    from mlops_assets.judging.evaluation import Evaluation
    from mlops_assets.judging.resampling import Estimate
    from mlops_assets.judging.slices import Slice

OTHERS = 2
"""Colours for candidates that are not the challenger."""


def role(evaluation: Evaluation, name: str) -> str:
    """The CSS class of model ``name``: the same colour for it in every chart and table."""
    if name == evaluation.challenger:
        return "challenger"
    if name in {BASELINE, CHAMPION}:
        return name
    others = [n for n in evaluation.scores if n not in {BASELINE, CHAMPION, evaluation.challenger}]
    return f"other{others.index(name) % OTHERS}"


def drawn_last(evaluation: Evaluation) -> list[str]:
    """The scored models, the challenger last, so that its line lies on top."""
    return sorted(evaluation.scores, key=lambda name: name == evaluation.challenger)


def roc_chart(evaluation: Evaluation, labels: ArrayLike, predictions: Mapping[str, ArrayLike]) -> str:
    """The ROC curves of all scored models."""
    plot = Plot(490, 400, (0, 1), (0, 1), parts=[])
    plot.grid(ticks(0, 1, 5), ticks(0, 1, 5))
    for name in drawn_last(evaluation):
        false, true = roc_curve(labels, predictions[name])
        plot.path(f"curve {role(evaluation, name)}", false.tolist(), true.tolist())
    plot.titles("false positive rate", "true positive rate")
    return plot.render("ROC curves")


def reliability_chart(evaluation: Evaluation, labels: ArrayLike, predictions: Mapping[str, ArrayLike]) -> str:
    """Observed rate over predicted probability, with intervals; on the diagonal is calibrated."""
    curves = {
        name: reliability(labels, predictions[name], evaluation.resampling.confidence)
        for name in drawn_last(evaluation)
    }
    top = max(max(b.probability, b.high) for bins in curves.values() for b in bins)
    top = max(top, float(np.quantile(np.asarray(predictions[evaluation.challenger]), 0.995)))
    top = min(1.0, float(np.ceil(top * 10) / 10))
    plot = Plot(490, 300, (0, top), (0, top), parts=[])
    plot.grid(ticks(0, top, 5), ticks(0, top, 5), 2 if top <= 0.5 else 1)
    plot.line("ideal", 0, 0, top, top)
    for name, bins in curves.items():
        css = role(evaluation, name)
        plot.path(f"curve {css}", [b.probability for b in bins], [b.rate for b in bins])
        for b in bins:
            hint = f"{name}: {b.rows:,} rows, predicted {b.probability:.3f}, observed {b.rate:.3f}"
            plot.line(f"whisker {css}", b.probability, b.low, b.probability, b.high)
            plot.dot(f"dot {css}", b.probability, b.rate, hint, 3.2)
    plot.titles("predicted probability", "observed rate")
    return plot.render("Reliability curves") + _histogram(evaluation, predictions, top)


def _histogram(evaluation: Evaluation, predictions: Mapping[str, ArrayLike], top: float) -> str:
    """How the challenger's probabilities are spread, below the reliability curve and on its x axis."""
    counts, edges = np.histogram(
        np.clip(np.asarray(predictions[evaluation.challenger]), 0, top), 40, (0, top)
    )
    plot = Plot(490, 92, (0, top), (0, float(counts.max())), bottom=24, top=4, parts=[])
    for count, left, right in zip(counts.tolist(), edges[:-1].tolist(), edges[1:].tolist(), strict=True):
        plot.bar("bar challenger", left, right, count, f"{count:,} rows from {left:.3f} to {right:.3f}")
    plot.text(f"{int(counts.max()):,}", plot.left - 7, plot.top + 9, "tick end")
    plot.text("0", plot.left - 7, plot.height - plot.bottom + 3, "tick end")
    plot.titles(f"rows by probability of {evaluation.challenger}")
    return plot.render("Histogram of the challenger's probabilities")


def slices_chart(evaluation: Evaluation, column: str) -> str:
    """The AUC of challenger and champion in each slice of ``column``, with intervals, most rows first."""
    found = sorted((s for s in evaluation.slices if s.column == column), key=lambda s: -s.challenger.rows)
    estimates = [one for s in found for one in _aucs(s).values()]
    low = min(0.5, *(e.low for e in estimates)) - 0.01
    high = max(*(e.high for e in estimates), evaluation.score.roc_auc.value) + 0.01
    plot = Plot(490, 26 * len(found) + 52, (low, high), (len(found), 0), left=112, parts=[])
    plot.grid(ticks(low, high, 5), (), 2)
    plot.line("chance", 0.5, 0, 0.5, len(found))
    plot.line("overall", evaluation.score.roc_auc.value, 0, evaluation.score.roc_auc.value, len(found))
    for at, s in enumerate(found):
        plot.text(s.value, 6, plot.py(at + 0.5) + 4, "label")
        plot.text(f"{s.challenger.rows:,}", plot.left - 10, plot.py(at + 0.5) + 4, "tick end")
        for shift, (name, auc) in zip((0.34, 0.66), _aucs(s).items(), strict=False):
            y = at + (shift if s.champion else 0.5)
            plot.line(f"whisker {name}", auc.low, y, auc.high, y)
            plot.dot(f"dot {name}", auc.value, y, f"{name}, {s.value}: AUC {auc.value:.3f}", 3.6)
    plot.titles("ROC AUC")
    return plot.render(f"ROC AUC by {column}")


def _aucs(one: Slice) -> dict[str, Estimate]:
    aucs = {"challenger": one.challenger.roc_auc}
    return aucs | ({CHAMPION: one.champion.roc_auc} if one.champion else {})


def difference_chart(rows: Sequence[tuple[str, Estimate]], margin: float, possible: float) -> str:
    """Differences with the better side to the right, the noise margin as a band, and the limit as a line.

    ``rows``: what is compared, and the difference turned so that more is better.
    """
    reach = max(possible, *(max(abs(e.low), abs(e.high)) for _, e in rows)) * 1.12
    plot = Plot(900, 40 * len(rows) + 58, (-reach, reach), (len(rows), 0), left=96, right=150, parts=[])
    plot.band("margin", -margin, margin)
    plot.grid(ticks(-reach, reach, 8), (), 3)
    plot.line("chance", 0, 0, 0, len(rows))
    plot.line("limit", -possible, 0, -possible, len(rows))
    for at, (name, e) in enumerate(rows):
        plot.text(name, 6, plot.py(at + 0.5) + 4, "label")
        plot.line("whisker challenger thick", e.low, at + 0.5, e.high, at + 0.5)
        plot.dot("dot challenger", e.value, at + 0.5, f"{name}: {e.value:+.4f}", 5)
        words = f"{e.value:+.4f} [{e.low:+.4f}, {e.high:+.4f}]"
        plot.text(words, plot.width - 4, plot.py(at + 0.5) + 4, "tick end")
    foot = plot.height - 6
    plot.text("\u2190 champion is better", plot.px(0) - 14, foot, "axis end")
    plot.text("challenger is better \u2192", plot.px(0) + 14, foot, "axis")
    return plot.render("Challenger against champion")
