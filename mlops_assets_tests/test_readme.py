"""The README (and what it links to) names only commands, files and pages that exist."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest
from typer.main import get_command

from mlops_assets.cli import app
from mlops_assets.settings import Settings

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
FOLDERS = ("mlops_assets", "mlops_assets_tests", "serving", "docs", "tools", ".ci", "deploy")


def text(page: Path) -> str:
    return page.read_text(encoding="utf-8")


def code_lines(page: Path) -> list[str]:
    """The lines of shell code: indented blocks and fenced ones without a language of another kind."""
    fenced = re.findall(r"^```(?:sh|bash|shell|console)?\n(.*?)^```", text(page), re.MULTILINE | re.DOTALL)
    plain = re.sub(r"^```.*?^```", "", text(page), flags=re.MULTILINE | re.DOTALL)
    indented = re.findall(r"^ {4}(\S.*)$", plain, re.MULTILINE)
    return [
        line.removeprefix("$ ").strip()
        for line in [*"\n".join(fenced).splitlines(), *indented]
        if line.strip()
    ]


def spans(page: Path) -> list[str]:
    """What stands between backticks in the text."""
    return re.findall(r"`([^`\n]+)`", re.sub(r"^```.*?^```", "", text(page), flags=re.MULTILINE | re.DOTALL))


def commands(page: Path, tool: str) -> list[list[str]]:
    """The arguments of each use of ``tool`` (make, mlops) in code or in backticks."""
    found = []
    for line in [*code_lines(page), *spans(page)]:
        for used in re.finditer(rf"(?:^|[\s\"(])(?:\.venv/bin/)?{tool} (.+)$", line):
            part = re.split(r"\s{2,}#|\s#|\)", used.group(1))[0]
            found.append(shlex.split(part.replace("...", "")) if part.count("'") % 2 == 0 else part.split())
    return [arguments for arguments in found if arguments]


@cache
def targets() -> set[str]:
    return set(re.findall(r"^([a-z]+):", text(ROOT / "Makefile"), re.MULTILINE))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_make_targets_exist(page: Path) -> None:
    for first, *_ in commands(page, "make"):
        if re.fullmatch(r"[a-z]+", first):
            assert first in targets(), f"{page.name}: make {first}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_mlops_commands_and_their_options_exist(page: Path) -> None:
    known = getattr(get_command(app), "commands", {})
    for first, *rest in commands(page, "mlops"):
        if first.startswith("-"):
            continue
        assert first in known, f"{page.name}: mlops {first}"
        options = {option for parameter in known[first].params for option in parameter.opts} | {"--help"}
        for word in rest:
            if word.startswith("-") and word != "-":
                assert word in options, f"{page.name}: mlops {first} {word}"


def test_the_two_commands_are_in_the_readme() -> None:
    lines = code_lines(PAGES[0])
    assert "make demo" in lines
    assert "make test" in lines


def test_the_readmes_commands_are_found_at_all() -> None:
    assert {"up", "upload", "predict", "trace", "why", "rollback", "down"} <= {
        first for first, *_ in commands(PAGES[0], "mlops")
    }
    assert {"demo", "test", "bench", "help"} <= {first for first, *_ in commands(PAGES[0], "make")}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_named_files_exist(page: Path) -> None:
    for span in spans(page):
        name = span.rstrip("/").split(":")[0]
        inside = name.split("/")[0] in FOLDERS and "/" in name
        if (inside or re.fullmatch(r"[\w.-]+\.(py|md|toml|lock|yaml|example)", name)) and not re.search(
            r"[<>*{}\s]", name
        ):
            places = [ROOT / name, page.parent / name, ROOT / "mlops_assets" / name]
            found = any(place.exists() for place in places) or bool(
                list(ROOT.glob(f"mlops_assets/**/{name}"))
            )
            assert found, f"{page.name} names {span}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_and_pictures_resolve(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#\s]+)[^)]*\)", text(page)):
        if not re.match(r"[a-z]+:", target):
            assert (page.parent / target).exists(), f"{page.name} links to {target}"


def test_settings_that_are_named_exist() -> None:
    known = {f"MLOPS_{name.upper()}" for name in Settings.model_fields}
    example = text(ROOT / ".env.example")
    for page in [*PAGES, ROOT / ".env.example"]:
        named = set(re.findall(r"\bMLOPS_[A-Z0-9_]+\b", text(page)))
        wrong = {
            name
            for name in named - known
            if not (name.endswith("_") and any(k.startswith(name) for k in known))
        }
        assert wrong == set(), page.name
    assert {name for name in known if name not in example} == set()


def test_the_help_of_make_names_the_targets_that_the_readme_tells() -> None:
    shown = subprocess.run(["make", "help"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert {"demo", "test", "lint", "bench", "up", "down", "help"} <= set(re.findall(r"make (\w+)", shown))


def test_the_command_lines_help_works() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "mlops_assets.cli", "--help"], capture_output=True, text=True, check=True
    )
    for command in (
        "up",
        "down",
        "status",
        "logs",
        "reset",
        "upload",
        "predict",
        "rollback",
        "trace",
        "demo",
    ):
        assert re.search(rf"\b{command}\b", done.stdout)
