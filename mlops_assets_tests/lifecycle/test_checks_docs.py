"""The table of checks says what the definitions say, and every check says what it is."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from mlops_assets.definitions import build_definitions
from mlops_assets.project import Freshness, Leakage, Project, Quality
from mlops_assets.settings import Settings
from mlops_assets_tests.quality.data import PROJECT

PAGE = (Path(__file__).parents[2] / "docs" / "checks.md").read_text("utf-8")
ROW = re.compile(
    r"^\| `([a-z_/<>]+)` \| `([a-z_]+)` \| (\w+) \| (\w+) \| (.+) \| (.+) \| (.+) \|$", re.MULTILINE
)


def declared() -> dict[tuple[str, str], dict[str, Any]]:
    """(asset without the project, check) -> metadata and blocking of its definition."""
    graph = build_definitions(Settings(_env_file=None)).get_repository_def().asset_graph
    found = {}
    for key in graph.asset_check_keys:
        if key.asset_key.path[0] != PROJECT.name:
            continue
        node, spec = graph.get(key), graph.get_check_spec(key)
        stage = "raw/<source>" if key.asset_key.path[1] == "raw" else "/".join(key.asset_key.path[1:])
        found[stage, key.name] = {**spec.metadata, "dagster": node.blocking, "description": spec.description}
    return found


CHECKS = declared()


def test_the_page_lists_every_check_and_no_other() -> None:
    assert sorted((row[0], row[1]) for row in ROW.findall(PAGE)) == sorted(CHECKS)


@pytest.mark.parametrize("row", ROW.findall(PAGE), ids=lambda row: f"{row[0]}:{row[1]}")
def test_each_row_says_what_the_definition_says(row: tuple[str, ...]) -> None:
    asset, check, severity, blocks, *told = row
    spec = CHECKS[asset, check]
    assert (spec["severity"], spec["blocks"]) == (severity, blocks)
    assert spec["dagster"] == (blocks == "downstream")
    assert len(spec["description"] or "") > 20
    assert all(len(text.strip()) > 3 for text in told)


def test_limits_are_named_and_their_defaults_are_the_codes() -> None:
    for model in (Quality, Leakage):
        for name in model.model_fields:
            assert f"`{name}`" in PAGE or name in {"min_others", "accepted"}, name
    quality, leakage = Quality(), Leakage()
    least, most = quality.rows_to_usual
    for words in (
        f"`rows_to_usual` ({least:.0%} to {most:.0%})",
        f"`max_null_rise` ({quality.max_null_rise:.0%} of the rows)",
        f"`max_null_rise` ({leakage.max_null_rise:.0%} of the rows)",
        f"`max_column_auc` ({leakage.max_column_auc:g})",
        f"{leakage.max_refused:.0%} refused rows (`max_refused`)",
        f"{leakage.max_seen:.0%} (`max_seen`)",
    ):
        assert words in PAGE, words
    assert quality.max_spread_change == 4.0
    assert "a quarter to four times (`max_spread_change`)" in PAGE
    assert quality.min_others == leakage.min_others == 2
    assert "needs two of them" in PAGE


def test_freshness_defaults_are_the_codes() -> None:
    assert Project.model_fields["freshness"].default == Freshness()
    fresh = Freshness()
    for name, text in (("raw", "40 days"), ("champion", "120 days"), ("endpoint", "3 hours")):
        window = getattr(fresh, name)
        hours = window.total_seconds() / 3600
        assert text == (f"{hours:g} hours" if hours < 24 else f"{hours / 24:g} days")
        assert re.search(rf"\| `{name}[^|]*\| {text} \|", PAGE), name
    assert re.search(r"\| `predictions` \| 1 day \|", PAGE)
