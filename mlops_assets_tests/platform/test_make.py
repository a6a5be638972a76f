"""The Makefile's set-up, without its downloads (CI does those)."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PIP = Path(sys.executable).with_name("pip")


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """What make needs of a checkout, without a .venv."""
    for name in ("Makefile", "pyproject.toml", "requirements.lock"):
        shutil.copy(ROOT / name, tmp_path)
    shutil.copytree(ROOT / "tools", tmp_path / "tools")
    return tmp_path


def _make(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = ["make", "--no-print-directory", *arguments]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)


def test_help_is_the_default_and_names_every_target(checkout: Path) -> None:
    done = _make(checkout)
    assert done.returncode == 0
    for target in ("demo", "test", "lint", "bench", "up", "down", "lock"):
        assert f"make {target} " in done.stdout


def test_without_a_python_that_is_new_enough_make_says_so(checkout: Path) -> None:
    done = _make(checkout, "up", "PYTHON=")
    assert done.returncode != 0
    assert "No Python 3.11 or newer" in done.stderr
    assert not (checkout / ".venv").exists()


def test_a_second_run_installs_nothing(checkout: Path) -> None:
    assert "pip install" in _make(checkout, "-n", "up").stdout
    (checkout / ".venv" / "bin").mkdir(parents=True)
    (checkout / ".venv" / "bin" / "uv").touch()
    (checkout / ".venv" / ".installed").touch()
    assert _make(checkout, "-n", "up").stdout.strip() == ".venv/bin/mlops up"


def test_a_changed_lock_is_installed(checkout: Path) -> None:
    (checkout / ".venv" / "bin").mkdir(parents=True)
    (checkout / ".venv" / "bin" / "uv").touch()
    (checkout / ".venv" / ".installed").touch()
    newer = (checkout / ".venv" / ".installed").stat().st_mtime + 10
    os.utime(checkout / "requirements.lock", (newer, newer))
    assert "pip install" in _make(checkout, "-n", "test").stdout


@pytest.mark.skipif(not PIP.exists(), reason="this environment has no pip")
def test_uv_is_told_what_pip_is_told(tmp_path: Path) -> None:
    config = tmp_path / "pip.conf"
    config.write_text("[global]\nindex-url = http://conf.invalid/simple\ntrusted-host = conf.invalid\n")
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("PIP_", "UV_"))}
    told = {
        **clean,
        "PIP_CONFIG_FILE": str(config),
        "PIP_FIND_LINKS": "/wheels /more",
        "PIP_EXTRA_INDEX_URL": "http://extra.invalid/simple",
        "UV_INSECURE_HOST": "mine.invalid",
    }
    done = subprocess.run(
        [str(ROOT / "tools" / "pip-settings-for-uv"), str(PIP)],
        env=told,
        capture_output=True,
        text=True,
        check=True,
    )
    lines = {line.removeprefix("export ") for line in done.stdout.splitlines()}
    assert {
        "UV_DEFAULT_INDEX='http://conf.invalid/simple'",
        "UV_FIND_LINKS='/wheels,/more'",
        "UV_EXTRA_INDEX_URL='http://extra.invalid/simple'",
        "UV_INDEX_STRATEGY=unsafe-best-match",
    } <= lines
    assert not any(line.startswith("UV_INSECURE_HOST") for line in lines), "set already: left alone"
