"""The command line, on a platform of its own (its store and database: the quick ones)."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from typing import TYPE_CHECKING

from typer.testing import CliRunner

from mlops_assets.cli import app
from mlops_assets.platform import orphans
from mlops_assets.settings import get_settings

if TYPE_CHECKING:
    from pathlib import Path

    import pytest

    from mlops_assets.settings import Settings

COMMANDS = (
    "up",
    "down",
    "restart",
    "status",
    "logs",
    "reset",
    "env",
    "upload",
    "predict",
    "why",
    "rollback",
    "backup",
    "restore",
    "demo",
)
run = CliRunner()


def test_help_names_every_command_without_heavy_imports() -> None:
    code = (
        "import sys, mlops_assets.cli\n"
        "print([m for m in ('dagster', 'pandas', 'boto3', 'mlflow', 'torch') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
    shown = run.invoke(app, ["--help"]).stdout
    assert all(command in shown for command in COMMANDS)


def test_up_status_logs_restart_reset(shell: Settings) -> None:
    started = run.invoke(app, ["up", "object-store", "database"])
    assert started.exit_code == 0, started.output
    assert shell.s3_url in started.output

    listed = run.invoke(app, ["status", "--json", "object-store", "database"])
    assert listed.exit_code == 0
    rows = {row["name"]: row for row in json.loads(listed.stdout)}
    assert {name: row["state"] for name, row in rows.items()} == {
        "object-store": "ready",
        "database": "ready",
    }

    whole = run.invoke(app, ["status"])
    assert whole.exit_code == 1, "the registry was not started"
    assert "stopped" in whole.output

    logged = run.invoke(app, ["logs", "database"])
    assert "ready to accept connections" in logged.stdout
    assert "\x1b" not in logged.stdout
    assert "spawned: 'database'" in run.invoke(app, ["logs", "supervisord"]).stdout

    assert run.invoke(app, ["restart", "object-store"]).exit_code == 0
    again = json.loads(run.invoke(app, ["status", "--json", "object-store"]).stdout)[0]
    assert again["pid"] != rows["object-store"]["pid"]

    kept = run.invoke(app, ["reset"], input="n\n")
    assert kept.exit_code == 1
    assert str(shell.state) in kept.output
    assert shell.secrets_file.exists()
    assert run.invoke(app, ["reset", "--yes"]).exit_code == 0
    assert not shell.state.exists()
    assert orphans.platform(shell.state).processes() == []


def test_env_is_for_a_shell(shell: Settings) -> None:
    shown = run.invoke(app, ["env"]).stdout
    bash = shutil.which("sh")
    assert bash is not None
    script = f'{shown}\nprintf %s "$DAGSTER_HOME"'
    done = subprocess.run([bash, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout == str(shell.dagster_home)


def test_an_error_is_a_message_and_an_exit_code(shell: Settings, tmp_path: Path) -> None:
    del shell
    refused = run.invoke(app, ["upload", "flight_delays", str(tmp_path / "gone.csv")])
    assert refused.exit_code == 1
    assert "There is no file" in refused.output
    assert isinstance(refused.exception, SystemExit), "no traceback"
    unknown = run.invoke(app, ["predict", "trains", "{}"])
    assert unknown.exit_code == 2
    assert "flight_delays" in unknown.output


def test_a_wrong_setting_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLOPS_S3_PORT", "many")
    get_settings.cache_clear()
    refused = run.invoke(app, ["status"])
    get_settings.cache_clear()
    assert refused.exit_code == 2
    assert "MLOPS_S3_PORT" in refused.output
