"""The replay's tables in the terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.console import Group
from rich.table import Table
from rich.text import Text

from mlops_assets.replay.compare import EVERY_NAME

if TYPE_CHECKING:
    from mlops_assets.replay.compare import Comparison, Entry

TARGET_GAIN, TARGET_TRAININGS = 0.95, 0.60
"""What a good policy reaches at least, and needs at most, of training at every chance."""


def tables(comparison: Comparison) -> Group:
    """All of them: strategies, partitions, and each policy's trainings."""
    ledgers = [trainings(entry) for entry in comparison.policies]
    return Group(strategies(comparison), Text(), by_partition(comparison), Text(), *ledgers)


def strategies(comparison: Comparison) -> Table:
    """One row a strategy: its trainings and what users would have got."""
    table = _table(f"{comparison.project}: {comparison.partitions[0]} to {comparison.partitions[-1]}")
    table.add_column("strategy")
    for name in ("retrainings", "of every", "ROC AUC", "gain", "log loss", "gain "):
        table.add_column(name, justify="right")
    for entry in comparison.entries:
        style = "bold" if entry.policy else "dim" if entry.played is None else ""
        table.add_row(
            entry.name,
            str(entry.trainings),
            percent(comparison.effort(entry)),
            f"{entry.line.roc_auc:.4f}",
            percent(comparison.gain(entry)),
            f"{entry.line.log_loss:.4f}",
            percent(comparison.loss_gain(entry)),
            style=style,
        )
    return table


def by_partition(comparison: Comparison) -> Table:
    """ROC AUC and the version that served, a row for each partition."""
    table = _table("ROC AUC (version)")
    table.add_column("partition")
    for entry in comparison.entries:
        table.add_column(entry.name, justify="right", style="bold" if entry.policy else "")
    for partition in comparison.partitions:
        cells = []
        for entry in comparison.entries:
            part = entry.line.parts.get(partition)
            versions = "/".join(entry.line.versions.get(partition, ()))
            cells.append(f"{part.roc_auc:.3f} [dim]({versions})[/dim]" if part else "")
        table.add_row(partition, *cells)
    return table


def trainings(entry: Entry) -> Table:
    """When a policy trained, why, and what the gate said."""
    table = _table(f"Trainings of {entry.name}")
    for name in ("when", "cause", "trained on", "held out", "gate", "why"):
        table.add_column(name)
    for one in entry.played.trainings if entry.played else ():
        said = f"version {one.version}" if one.version else f"[red]refused[/red]: {', '.join(one.refused)}"
        on = one.on[0] if len(one.on) == 1 else f"{one.on[0]} to {one.on[-1]}"
        table.add_row(f"{one.at:%Y-%m-%d}", one.cause, on, one.held_out, said, one.why)
    return table


def verdict(comparison: Comparison, entry: Entry) -> str:
    """One sentence that can be copied: gain and trainings of ``entry`` beside every chance."""
    every = comparison.entry(EVERY_NAME)
    return (
        f"{entry.name}: {percent(comparison.gain(entry))} of the gain in ROC AUC of retraining at every "
        f"chance ({percent(comparison.loss_gain(entry))} in log loss), with {entry.trainings} of its "
        f"{every.trainings} retrainings ({percent(comparison.effort(entry))})."
    )


def percent(share: float) -> str:
    return "-" if share != share else f"{share:.0%}".replace("-0%", "0%")  # noqa: PLR0124 - NaN alone


def _table(title: str) -> Table:
    return Table(title=title, title_justify="left", box=None, pad_edge=False)
