"""The replay as one picture: ROC AUC by partition and strategy, and which version served when, and why."""

from __future__ import annotations

from datetime import timedelta
from io import BytesIO
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from mlops_assets.replay.calendar import begin, end
from mlops_assets.replay.show import percent

if TYPE_CHECKING:
    from datetime import datetime

    from mlops_assets.replay.calendar import Every
    from mlops_assets.replay.compare import Comparison, Entry
    from mlops_assets.replay.play import Note, Training

_INK, _FAINT, _GRID = "#1f2937", "#8a94a3", "#e4e8ee"
_POLICY = ("#0b6bcb", "#8e44ad", "#00838f")
_NEVER, _EVERY, _HINDSIGHT = "#a3adba", "#334155", "#7f93ad"
CAUSES = {
    "first": "#1f2937",
    "performance": "#c0392b",
    "drift": "#d97706",
    "code": "#b455a0",
    "freshness": "#7c5cd6",
    "new_data": "#0f9d78",
}
"""Colours of a training's cause."""


def draw(comparison: Comparison, every: Every) -> bytes:
    """PNG, about 1,400 by 900 pixels. ``every``: how long a partition is."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    rows = [entry for entry in comparison.entries if entry.played is not None]
    figure = Figure(figsize=(11.5, 4.6 + 0.75 * len(rows)), dpi=120, layout="constrained")
    FigureCanvasAgg(figure)
    above, below = figure.subplots(2, 1, height_ratios=[3.8, 0.85 * len(rows)], sharex=True)
    figure.suptitle(_title(comparison), x=0.01, ha="left", fontsize=12, fontweight="bold", color=_INK)
    _curves(above, comparison, every)
    _versions(below, rows, comparison, every)
    _time_axis(below, comparison, every)
    into = BytesIO()
    figure.savefig(into, format="png")
    return into.getvalue()


def _title(comparison: Comparison) -> str:
    policy = comparison.policies[0]
    return (
        f"{comparison.project}: the {policy.name} policy gets {percent(comparison.gain(policy))} of the gain "
        f"of retraining\nat every chance, with {percent(comparison.effort(policy))} of its retrainings"
    )


def _curves(axes: Any, comparison: Comparison, every: Every) -> None:
    policies = 0
    for entry in comparison.entries:
        style = _style(entry, policies)
        policies += entry.policy
        x = [_middle(p, every) for p in entry.line.parts]
        y = [part.roc_auc for part in entry.line.parts.values()]
        label = f"{entry.name}\n{entry.line.roc_auc:.4f}, {entry.trainings} retrainings"
        axes.plot(x, y, label=label, solid_capstyle="round", **style)
    for colour, entry in zip(_POLICY, comparison.policies, strict=False):
        _mark_trainings(axes, entry, colour, every)
    axes.set_ylabel("ROC AUC that users got", color=_INK)
    axes.legend(frameon=False, fontsize=9, loc="upper left", bbox_to_anchor=(1.005, 1.02), labelspacing=0.8,
                title="ROC AUC over all", title_fontsize=9, alignment="left")  # fmt: skip
    _tidy(axes)
    axes.grid(axis="y", color=_GRID, linewidth=0.8)


def _mark_trainings(axes: Any, entry: Entry, colour: str, every: Every) -> None:
    """A dot where a new version first answered, in the colour of the cause."""
    seen: set[str] = set()
    causes = {t.version: t for t in (entry.played.trainings if entry.played else ()) if t.version}
    for partition, part in entry.line.parts.items():
        new = [v for v in entry.line.versions[partition] if v not in seen]
        seen.update(new)
        if new and (training := causes.get(new[-1])) is not None:
            axes.plot(
                [_middle(partition, every)], [part.roc_auc], "o", markersize=8, zorder=6,
                color=CAUSES.get(training.cause, colour), markeredgecolor="white", markeredgewidth=1.4,
            )  # fmt: skip


def _style(entry: Entry, policies: int) -> dict[str, Any]:
    if entry.policy:
        return {"color": _POLICY[policies % len(_POLICY)], "linewidth": 2.6, "zorder": 5}
    if entry.played is None:
        dashes = (0, (1, 1.2)) if "version" in entry.name else (0, (4, 2))
        return {"color": _HINDSIGHT, "linewidth": 1.3, "linestyle": dashes, "zorder": 2}
    never = entry.trainings == 0
    return {"color": _NEVER if never else _EVERY, "linewidth": 1.9, "zorder": 3}


def _versions(axes: Any, rows: list[Entry], comparison: Comparison, every: Every) -> None:
    """A band for each strategy: which version served, and each training's moment and cause."""
    used: dict[str, bool] = {}
    refused, failing = False, set[str]()
    policies, last = 0, end(every, comparison.partitions[-1])
    for at, entry in enumerate(reversed(rows)):
        style = _style(entry, 0)
        if entry.policy:
            style = _style(entry, len(comparison.policies) - 1 - policies)
            policies += 1
        ledger = entry.played.trainings if entry.played else []
        _band(axes, at, [t for t in ledger if t.version], style["color"], last)
        failing |= _failing(axes, at, entry.played.notes if entry.played else [])
        for training in ledger:
            used[training.cause] = True
            refused = refused or training.version is None
            _pin(axes, at, training)
    axes.set(ylim=(-0.55, len(rows) - 0.3), yticks=range(len(rows)))
    axes.set_yticklabels([entry.name for entry in reversed(rows)], color=_INK)
    for cause in (cause for cause in CAUSES if cause in used):
        axes.plot([], [], "o", color=CAUSES[cause], markersize=7, label=cause.replace("_", " "))
    if refused:
        axes.plot([], [], "x", color=_INK, markersize=6, label="refused by the gate")
    for cause in sorted(failing):
        axes.plot([], [], color=CAUSES[cause], linewidth=3, label=f"the {cause} check fails")
    axes.legend(frameon=False, fontsize=9, loc="upper left", bbox_to_anchor=(1.005, 1.05),
                title="trained because of", title_fontsize=9, alignment="left")  # fmt: skip
    _tidy(axes)
    axes.spines["left"].set_visible(False)
    axes.tick_params(axis="y", length=0)


def _band(axes: Any, at: int, promoted: list[Training], colour: str, last: datetime) -> None:
    """One block a version, until the next one was promoted or the ``last`` moment."""
    for number, one in enumerate(promoted):
        start = one.at
        until = promoted[number + 1].at if number + 1 < len(promoted) else last
        days = (until - start) / timedelta(days=1)
        axes.barh(
            at, until - start, left=start, height=0.42, color=colour, edgecolor="white", linewidth=1.5,
            alpha=0.30 if number % 2 else 0.18,
        )  # fmt: skip
        if days > 0.03 * ((last - promoted[0].at) / timedelta(days=1)):
            middle = start + (until - start) / 2
            axes.text(middle, at, f"v{one.version}", ha="center", va="center", fontsize=8.5, color=_INK)


def _failing(axes: Any, at: int, notes: list[Note]) -> set[str]:
    """A line below the band while a check fails; the causes of which there was one."""
    found = set()
    for note, following in pairwise(notes):
        for lower, cause in enumerate(("drift", "performance")):
            if "failed" in note.said.get(cause, ""):
                found.add(cause)
                y = at - 0.28 - 0.08 * lower
                axes.plot([note.at, following.at], [y, y], color=CAUSES[cause], linewidth=3,
                          solid_capstyle="butt")  # fmt: skip
    return found


def _pin(axes: Any, at: int, training: Training) -> None:
    colour = CAUSES.get(training.cause, _FAINT)
    if training.version is None:
        axes.plot([training.at], [at + 0.36], "x", color=colour, markersize=6, markeredgewidth=1.8, zorder=6)
    else:
        axes.plot([training.at], [at + 0.36], "o", color=colour, markersize=6.5, zorder=6,
                  markeredgecolor="white", markeredgewidth=1)  # fmt: skip


def _time_axis(axes: Any, comparison: Comparison, every: Every) -> None:
    first, last = comparison.partitions[0], comparison.partitions[-1]
    pad = (end(every, last) - begin(first)) * 0.012
    axes.set_xlim(begin(first) - pad, end(every, last) + pad)
    shown = comparison.partitions[:: max(1, len(comparison.partitions) // 14)]
    axes.set_xticks([_middle(p, every) for p in shown])
    axes.set_xticklabels(shown, color=_INK)
    axes.tick_params(axis="x", length=0)


def _tidy(axes: Any) -> None:
    axes.set_axisbelow(True)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    for side in ("left", "bottom"):
        axes.spines[side].set_color(_FAINT)


def _middle(partition: str, every: Every) -> datetime:
    first = begin(partition)
    return first + (end(every, partition) - first) / 2
