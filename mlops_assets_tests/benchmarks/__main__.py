"""``make bench [ONLY=name]``: run the benchmarks, print one table, write ``.mlops/bench.json``."""

from __future__ import annotations

import importlib
import json
import sys
from dataclasses import asdict
from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table

from mlops_assets.settings import get_settings

if TYPE_CHECKING:
    from mlops_assets_tests.benchmarks.rows import Row

NAMES = ("drift", "replay", "serving", "prediction_log", "sensor", "loop", "kubernetes")
"""The benchmark modules of this folder, cheapest to the machine first."""


def run(only: str | None = None) -> list[Row]:
    """The rows of all benchmarks, or of the one called ``only``; ``SystemExit`` if there is none."""
    if only and only not in NAMES:
        raise SystemExit(f"there is no benchmark {only!r}; there are: {', '.join(NAMES)}")
    rows: list[Row] = []
    for name in [only] if only else NAMES:
        module = importlib.import_module(f"mlops_assets_tests.benchmarks.{name}")
        print(f"--- {name}", flush=True)
        rows.extend(module.run())
    return rows


def write(rows: list[Row]) -> None:
    """Print ``rows`` as a table and keep them as JSON; rows of other benchmarks stay."""
    table = Table("benchmark", "ours", "peer", "unit", "ratio", "target", "met")
    for row in rows:
        met = "" if row.met is None else "yes" if row.met else "NO"
        target = "" if row.target is None else f"{row.target:g}"
        figures = f"{row.ours:,.4g}", f"{row.peer:,.4g}", row.unit, f"{row.ratio:.2f}"
        table.add_row(row.name, *figures, target, met)
    Console().print(table)
    path = get_settings().state / "bench.json"
    kept = json.loads(path.read_text()) if path.exists() else []
    names = {row.name for row in rows}
    path.parent.mkdir(parents=True, exist_ok=True)
    merged = [old for old in kept if old["name"] not in names] + [asdict(row) for row in rows]
    path.write_text(json.dumps(merged, indent=2) + "\n")


if __name__ == "__main__":
    write(run(sys.argv[1] if len(sys.argv) > 1 else None))
