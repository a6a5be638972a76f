"""PromQL as the files of ``deploy/`` hold it: where it stands, and which metrics it names."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[2]
PROMETHEUS = ROOT / "deploy" / "prometheus"
DASHBOARDS = sorted((ROOT / "deploy" / "grafana" / "dashboards").glob("*.json"))
BY_PROMETHEUS = {"up", "ALERTS"}
"""Series that Prometheus makes itself."""

_WORDS = {"and", "or", "unless", "bool", "offset", "inf", "nan"}


def rules() -> list[dict[str, Any]]:
    """The alert rules."""
    groups = yaml.safe_load((PROMETHEUS / "rules.yml").read_text())["groups"]
    return [rule for group in groups for rule in group["rules"]]


def dashboard(file: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(file.read_text())
    return found


def panels(file: Path) -> list[dict[str, Any]]:
    """The panels that ask something: all but the rows."""
    return [panel for panel in dashboard(file)["panels"] if panel["type"] != "row"]


def queries(file: Path) -> list[tuple[str, str]]:
    """(the panel's title, its expression), for each target."""
    return [(panel["title"], target["expr"]) for panel in panels(file) for target in panel["targets"]]


def metrics_in(expression: str) -> set[str]:
    """The metrics that ``expression`` names: what is left when all else of the grammar is taken away."""
    bare = re.sub(r'"[^"]*"|\{[^}]*\}|\[[^\]]*\]', " ", re.sub(r"\{([^}]*)\}", "{}", expression))
    bare = re.sub(r"\b(by|without|on|ignoring|group_left|group_right)\s*\([^)]*\)", " ", bare)
    return {
        match[1] for match in re.finditer(r"\b([a-zA-Z_:][\w:]*)\b(?!\s*\()", bare) if match[1] not in _WORDS
    }


def exposed(text: str) -> set[str]:
    """The names of the series that a page of ``/metrics`` may hold, also of those without a sample yet."""
    names: set[str] = set()
    for name, kind in re.findall(r"^# TYPE (\S+) (\S+)", text, re.MULTILINE):
        names |= {f"{name}_{part}" for part in ("bucket", "count", "sum")} if kind == "histogram" else {name}
    return names
