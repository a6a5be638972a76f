"""Dagster's own commands at the root, for people who know those. No platform runs here."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from dagster._core.workspace.load_target import (
    PyProjectFileTarget,
    WorkspaceFileTarget,
    WorkspaceLoadTarget,
)
from dagster_shared.yaml_utils import load_yaml_from_path

from mlops_assets.platform import orchestrator

ROOT = Path(__file__).parents[2]
BIN = Path(sys.executable).parent


def _run(tmp_path: Path, *command: str) -> subprocess.CompletedProcess[str]:
    # Settings as in a fresh clone: a home without a platform in it, and nothing of Dagster's own.
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("DAGSTER_", "MLOPS_"))}
    return subprocess.run(
        [str(BIN / command[0]), *command[1:]],
        cwd=ROOT,
        env={**clean, "MLOPS_HOME": str(tmp_path / "home"), "VIRTUAL_ENV": str(BIN.parent), "COLUMNS": "200"},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def test_dg_check_defs(tmp_path: Path) -> None:
    done = _run(tmp_path, "dg", "check", "defs")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "All definitions loaded successfully" in done.stdout + done.stderr


def test_dg_list_defs(tmp_path: Path) -> None:
    done = _run(tmp_path, "dg", "list", "defs", "--json")
    assert done.returncode == 0, done.stdout + done.stderr
    keys = {asset["asset_key"] for asset in json.loads(done.stdout)["assets"]}
    assert "flight_delays/champion" in keys


def test_dagster_definitions_validate_takes_the_workspace(tmp_path: Path) -> None:
    done = _run(tmp_path, "dagster", "definitions", "validate", "--workspace", "workspace.yaml")
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize(
    "target",
    [PyProjectFileTarget(str(ROOT / "pyproject.toml")), WorkspaceFileTarget([str(ROOT / "workspace.yaml")])],
)
def test_the_code_location_has_one_name(target: WorkspaceLoadTarget) -> None:
    assert [origin.location_name for origin in target.create_origins()] == [orchestrator.LOCATION_NAME]


def test_dagster_yaml_keeps_nothing_for_ever_that_ticks() -> None:
    retention = load_yaml_from_path(str(ROOT / "dagster.yaml"))["retention"]  # type: ignore[index]
    assert {kind: rule["purge_after_days"]["skipped"] for kind, rule in retention.items()} == {
        "schedule": 1,
        "sensor": 1,
        "auto_materialize": 1,
    }
