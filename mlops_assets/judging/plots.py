"""The same figures as PNG, for where HTML cannot go: MLflow's artifacts, previews in Markdown."""

from __future__ import annotations

from io import BytesIO
from typing import TYPE_CHECKING, Any

from mlops_assets.judging.calibration import reliability
from mlops_assets.judging.charts import drawn_last, role
from mlops_assets.judging.curves import roc_curve

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import ArrayLike

    from mlops_assets.judging.evaluation import Evaluation
    from mlops_assets.judging.resampling import Estimate

COLOURS = {
    "challenger": "#0b6bcb",
    "champion": "#d97706",
    "other0": "#0f9d78",
    "other1": "#b455a0",
    "baseline": "#8a94a3",
}
"""By role; as in ``report.html``."""


def render_plots(
    evaluation: Evaluation, labels: ArrayLike, predictions: Mapping[str, ArrayLike]
) -> dict[str, bytes]:
    """PNG pictures by file name: roc.png, calibration.png and, where there are slices, slices.png."""
    plots = {
        "roc.png": _roc(evaluation, labels, predictions),
        "calibration.png": _calibration(evaluation, labels, predictions),
    }
    return plots | ({"slices.png": _slices(evaluation)} if evaluation.slices else {})


def loss_curve_png(history: Sequence[Mapping[str, float]]) -> bytes:
    """PNG of the losses by epoch: the metrics of ``history`` (one mapping an epoch) named after a loss.

    Raises ``ValueError`` if there is none.
    """
    names = list(dict.fromkeys(name for row in history for name in row if "loss" in name))
    if not names:
        raise ValueError("the history has no metric named after a loss: report one in the family's progress")
    figure, axes = _figure()
    for name, colour in zip(names, COLOURS.values(), strict=False):
        points = [(epoch, row[name]) for epoch, row in enumerate(history, 1) if name in row]
        x, y = zip(*points, strict=True)
        label = name.replace("_", " ")
        axes.plot(x, y, label=label, color=colour, marker="o" if len(x) < 30 else "", markersize=3.5)
    if len(names) > 1:
        _mark_best(axes, history, names)
    axes.set(xlabel="epoch", ylabel="loss")
    axes.xaxis.get_major_locator().set_params(integer=True)
    axes.legend(frameon=False)
    return _png(figure)


def _mark_best(axes: Any, history: Sequence[Mapping[str, float]], names: list[str]) -> None:
    """A line at the epoch with the lowest held-out loss: the last name that is not the training loss."""
    name = next((n for n in reversed(names) if "train" not in n), names[-1])
    best, _ = min(((e, row[name]) for e, row in enumerate(history, 1) if name in row), key=lambda p: p[1])
    axes.axvline(best, color="#8a94a3", linestyle=":", linewidth=1.2, label=f"lowest: epoch {best}")


def _roc(evaluation: Evaluation, labels: ArrayLike, predictions: Mapping[str, ArrayLike]) -> bytes:
    figure, axes = _figure()
    for name in drawn_last(evaluation):
        false, true = roc_curve(labels, predictions[name])
        auc = evaluation.scores[name].roc_auc
        label = f"{_called(evaluation, name)}: {auc.value:.3f} [{auc.low:.3f}, {auc.high:.3f}]"
        axes.plot(false, true, label=label, **_style(evaluation, name))
    axes.set(xlabel="false positive rate", ylabel="true positive rate", xlim=(0, 1), ylim=(0, 1))
    axes.legend(frameon=False, loc="lower right", title="ROC AUC")
    return _png(figure)


def _calibration(evaluation: Evaluation, labels: ArrayLike, predictions: Mapping[str, ArrayLike]) -> bytes:
    figure, axes = _figure()
    top = 0.0
    for name in drawn_last(evaluation):
        bins = reliability(labels, predictions[name], evaluation.resampling.confidence)
        x, y = [b.probability for b in bins], [b.rate for b in bins]
        error = [[b.rate - b.low for b in bins], [b.high - b.rate for b in bins]]
        axes.errorbar(x, y, error, label=_called(evaluation, name), marker="o", markersize=4,
                      **_style(evaluation, name))  # fmt: skip
        top = max(top, *x, *(b.high for b in bins))
    top = min(1.0, top * 1.05)
    axes.plot([0, top], [0, top], color="#8a94a3", linewidth=1, linestyle="--")
    axes.set(xlabel="predicted probability", ylabel="observed rate", xlim=(0, top), ylim=(0, top))
    axes.legend(frameon=False, loc="upper left")
    return _png(figure)


def _slices(evaluation: Evaluation) -> bytes:
    rows = sorted(evaluation.slices, key=lambda s: (s.column, s.challenger.rows))
    figure, axes = _figure(height=1.2 + 0.27 * len(rows))
    for at, one in enumerate(rows):
        shift = 0.14 if one.champion else 0.0
        _whisker(axes, one.challenger.roc_auc, at + shift, COLOURS["challenger"])
        if one.champion:
            _whisker(axes, one.champion.roc_auc, at - shift, COLOURS["champion"])
    names = [f"{one.column} {one.value} ({one.challenger.rows:,})" for one in rows]
    axes.set(xlabel="ROC AUC", yticks=range(len(rows)), yticklabels=names, ylim=(-0.7, len(rows) - 0.3))
    axes.axvline(0.5, color="#8a94a3", linestyle="--", linewidth=1)
    axes.plot([], [], "o", color=COLOURS["challenger"], label=_called(evaluation, evaluation.challenger))
    if evaluation.versus_champion:
        axes.plot([], [], "o", color=COLOURS["champion"], label="champion")
    figure.legend(frameon=False, loc="outside upper right", ncols=2)
    return _png(figure)


def _whisker(axes: Any, auc: Estimate, at: float, colour: str) -> None:
    axes.plot([auc.low, auc.high], [at, at], color=colour, linewidth=1.6, solid_capstyle="round")
    axes.plot([auc.value], [at], "o", color=colour, markersize=4.5)


def _called(evaluation: Evaluation, name: str) -> str:
    return f"{name} (challenger)" if name == evaluation.challenger else name


def _style(evaluation: Evaluation, name: str) -> dict[str, Any]:
    css = role(evaluation, name)
    return {
        "color": COLOURS[css],
        "linewidth": 2.2 if css == "challenger" else 1.5,
        "linestyle": "--" if css == "baseline" else "-",
    }


def _figure(height: float = 4.4) -> tuple[Any, Any]:
    """A figure and its axes, without pyplot: no global state, no display."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6.0, height), dpi=110, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    axes.grid(color="#e4e8ee", linewidth=0.8)
    axes.set_axisbelow(True)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    return figure, axes


def _png(figure: Any) -> bytes:
    into = BytesIO()
    figure.savefig(into, format="png")
    return into.getvalue()
