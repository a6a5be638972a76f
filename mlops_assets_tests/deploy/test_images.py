"""What an image must and must not hold, read off its Dockerfile."""

from __future__ import annotations

import ast
import json
import re
import sys
import tomllib
from fnmatch import fnmatch
from importlib.metadata import PackageNotFoundError, packages_distributions, requires
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from mlops_assets_tests.deploy.dockerfile import Stage, parse

ROOT = Path(__file__).parents[2]
FILES = sorted((ROOT / "deploy" / "docker").glob("*.Dockerfile"))
SECRET = re.compile(r"password|secret|token|api_?key|credential", re.IGNORECASE)
pytestmark = pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)


def last(file: Path) -> Stage:
    return parse(file)[1][-1]


def test_there_are_two_images(file: Path) -> None:
    assert file in FILES
    assert {path.stem for path in FILES} == {"platform", "serving"}


def test_it_is_built_in_one_stage_and_runs_in_another(file: Path) -> None:
    before, stages = parse(file)
    assert [stage.name for stage in stages] == ["build", "run"]
    assert {stage.image for stage in stages} == {"${BASE}"}
    (base,) = (i.rest.removeprefix("BASE=") for i in before if i.word == "ARG")
    name, _, tag = base.partition(":")
    assert name
    assert tag not in ("", "latest")


def test_it_runs_as_nobody_in_particular(file: Path) -> None:
    (user,) = last(file).all("USER")
    uid, gid = (int(part) for part in user.split(":"))
    assert uid >= 10_000
    assert gid >= 10_000


def test_nothing_is_installed_or_built_in_the_stage_that_runs(file: Path) -> None:
    run = " ".join(last(file).all("RUN"))
    assert not re.search(r"\b(apt-get|apk|pip install|uv|gcc|make|curl|wget)\b", run)
    assert re.search(r"-m pip uninstall .*\bpip\b", run), "the base's pip stays"
    for copy in last(file).all("COPY"):
        assert copy.startswith("--from=build /opt/mlops ") or "dagster.yaml" in copy
    assert "--without-pip" in " ".join(parse(file)[1][0].all("RUN"))


def test_everything_is_installed_as_locked(file: Path) -> None:
    for run in parse(file)[1][0].all("RUN"):
        for command in re.findall(r"uv pip install[^&]*", run):
            assert "--constraint requirements.lock" in command or "--no-deps" in command, command
        for command in re.findall(r"-m pip install[^&]*", run):
            assert "uv==${UV_VERSION}" in command


def test_what_evidently_calls_tests_stays(file: Path) -> None:
    """Tests of libraries are left out, but ``evidently`` does not load without its own: they test data."""
    (removed,) = (run for run in parse(file)[1][0].all("RUN") if "-name tests" in run)
    evidently = "evidently" in (ROOT / "pyproject.toml").read_text() and file.stem == "platform"
    assert ('-not -path "*/evidently/*"' in removed) == evidently


def test_no_layer_has_a_secret(file: Path) -> None:
    before, stages = parse(file)
    for instruction in [*before, *(i for stage in stages for i in stage.instructions)]:
        if instruction.word in ("ARG", "ENV"):
            assert not SECRET.search(instruction.rest), instruction.rest
        if instruction.word == "COPY":
            assert ".env" not in instruction.rest


def test_it_says_what_it_is_when_it_is_well_and_how_it_is_ended(file: Path) -> None:
    run = last(file)
    labels = " ".join(run.all("LABEL"))
    for name in ("title", "description", "licenses", "version", "revision"):
        assert f"org.opencontainers.image.{name}=" in labels
    assert run.all("STOPSIGNAL") == ["SIGTERM"]
    assert len(run.all("HEALTHCHECK")) == 1
    # A shell between would be sent the signal, and keep it.
    for command in [*run.all("CMD"), *run.all("ENTRYPOINT")]:
        assert isinstance(json.loads(command), list)


def test_what_is_copied_is_there_and_is_sent_to_the_builder(file: Path) -> None:
    rules = [r for r in (ROOT / ".dockerignore").read_text().splitlines() if r and not r.startswith("#")]
    assert rules[0] == "*"
    kept = [rule[1:] for rule in rules if rule.startswith("!")]
    for stage in parse(file)[1]:
        for copy in stage.all("COPY"):
            if copy.startswith("--from="):
                continue
            for source in copy.split()[:-1]:
                assert (ROOT / source).exists(), source
                assert any(fnmatch(source, k) or source.startswith(f"{k}/") for k in kept), source


def closure(names: set[str]) -> set[str]:
    """The distributions that installing ``names`` brings on this machine."""
    found: set[str] = set()
    open_ = {canonicalize_name(name) for name in names}
    while open_:
        name = open_.pop()
        found.add(name)
        try:
            needed = [Requirement(text) for text in requires(name) or []]
        except PackageNotFoundError:  # of another system
            continue
        wanted = {
            canonicalize_name(r.name) for r in needed if r.marker is None or r.marker.evaluate({"extra": ""})
        }
        open_ |= wanted - found
    return found


def serving_group() -> set[str]:
    group = tomllib.loads((ROOT / "pyproject.toml").read_text())["dependency-groups"]["serving"]
    return closure({Requirement(text).name for text in group})


def test_the_endpoints_image_has_what_serving_imports_and_neither_dagster_nor_torch(file: Path) -> None:
    if file.stem != "serving":
        pytest.skip("the platform's image has all of the lock")
    installed = serving_group()
    assert not {n for n in installed if n.startswith("dagster") or n in ("torch", "scikit-learn", "mlflow")}
    owners = packages_distributions()
    for source in sorted((ROOT / "serving").rglob("*.py")):
        for name in imported(source):
            if name in sys.stdlib_module_names or name in ("serving", "mlops_assets"):
                continue
            dists = {canonicalize_name(d) for d in owners.get(name, [])}
            assert dists & installed, f"{source.relative_to(ROOT)} imports {name}, which the image lacks"


def imported(source: Path) -> set[str]:
    """The top-level packages that ``source`` imports when it runs."""
    tree = ast.parse(source.read_text())
    only_for_types = {
        id(node)
        for branch in ast.walk(tree)
        if isinstance(branch, ast.If) and "TYPE_CHECKING" in ast.dump(branch.test)
        for node in ast.walk(branch)
    }
    names: set[str] = set()
    for node in ast.walk(tree):
        if id(node) in only_for_types:
            continue
        if isinstance(node, ast.Import):
            names |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names.add(node.module.partition(".")[0])
    return names
