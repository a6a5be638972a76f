"""What ``mlops demo`` shows: the flow while it is under way, and tables of what happened."""

from __future__ import annotations

import datetime as dt
import os
import shutil
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Group
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text

from mlops_assets.lifecycle import STAGES

if TYPE_CHECKING:
    from mlops_assets.demo.outcome import Outcome
    from mlops_assets.observe import Asset, Run
    from mlops_assets.settings import Settings


@dataclass
class Chapter:
    """What one upload led to. ``outcome`` is None as long as it is open."""

    months: tuple[str, ...]
    held_out: str
    uploaded: float
    outcome: Outcome | None = None
    moments: list[tuple[str, float]] = field(default_factory=list)


def moments(chapter: Chapter, assets: dict[str, Asset]) -> list[tuple[str, float]]:
    """When each asset of the chapter was first there, in order of time."""
    found = []
    for asset in assets.values():
        for made in asset.since(chapter.uploaded):
            rows = made.metadata.get("dagster/row_count")
            size = f", {rows:,} rows" if isinstance(rows, int) else ""
            where = f" [{made.partition}]" if made.partition else ""
            found.append((f"{asset.name}{where}{size}", made.at))
    return sorted(found, key=lambda moment: moment[1])


def picture(chapter: Chapter, assets: dict[str, Asset], runs: list[Run]) -> Group:
    """The state of the flow, one line an asset."""
    table = Table.grid(padding=(0, 2))
    busy = {step.split("__", 1)[-1].replace("__", "/") for run in runs for step in run.running}
    for name in _flow_order(assets):
        made = assets[name].since(chapter.uploaded)
        if name in busy:
            state: Any = Text("running", "yellow")
        elif made:
            state = Text(f"done at +{made[0].at - chapter.uploaded:.1f} s", "green")
        else:
            state = Text("waiting", "dim")
        parts = ", ".join(sorted({m.partition for m in made if m.partition}))
        table.add_row(f"  {name}", state, Text(parts, "dim"))
    waited = f"+{time.time() - chapter.uploaded:.0f} s, {sum(r.ended is None for r in runs)} run(s) under way"
    return Group(table, Spinner("dots", text=waited))


def _flow_order(assets: dict[str, Asset]) -> list[str]:
    return sorted(assets, key=lambda name: (STAGES.index(name.split("/", maxsplit=1)[0]), name))


def timeline(chapter: Chapter) -> Table:
    table = Table("when", "what", title="The first champion", title_justify="left", box=None)
    table.add_row(clock(chapter.uploaded), f"uploaded {', '.join(chapter.months)}")
    for what, at in chapter.moments:
        if not what.startswith("raw/"):
            table.add_row(clock(at), f"{what}  [dim]+{at - chapter.uploaded:.1f} s[/dim]")
    if chapter.outcome is not None:
        table.add_row("", f"[bold]version {chapter.outcome.version} served[/bold]")
    return table


def scores(chapter: Chapter) -> Table:
    """What the gate saw of each model."""
    table = Table(
        "held out", "model", "ROC AUC", "log loss", "Brier", title="Scores", title_justify="left", box=None
    )
    evidence = chapter.outcome.evidence if chapter.outcome else {}
    for model, score in evidence.get("scores", {}).items():
        chosen = " (challenger)" if model == evidence["challenger"] else ""
        numbers = [f"{score[name]:.4f}" for name in ("roc_auc", "log_loss", "brier")]
        table.add_row(evidence["held_out"], f"{model}{chosen}", *numbers)
    return table


def addresses(settings: Settings, endpoint: str) -> Table:
    table = Table("page", "address", title="Open", title_justify="left", box=None)
    table.add_row("Dagster: assets, runs, checks, the evaluation's report", settings.dagster_url)
    table.add_row("MLflow: candidates, the registry", settings.mlflow_url)
    table.add_row("Endpoint: a form, /docs, /info, /metrics", endpoint)
    return table


def program() -> str:
    """How the command line is called from here: ``make demo`` does not put it on the PATH."""
    called = Path(sys.argv[0])
    on_path = called.name != "mlops" or shutil.which("mlops") is not None
    return "mlops" if on_path else min(str(called), os.path.relpath(called), key=len)


def flight(example: dict[str, Any]) -> str:
    return ", ".join(f"{name} {value}" for name, value in list(example.items())[:4])


def clock(moment: float) -> str:
    return dt.datetime.fromtimestamp(moment).astimezone().strftime("%H:%M:%S")
