"""GitHub's workflows and the Jenkinsfile say the same, and say it in make targets alone."""

from __future__ import annotations

import importlib.util
import json
import re
import shutil
import subprocess
import tomllib
from dataclasses import dataclass
from importlib.machinery import SourceFileLoader
from pathlib import Path
from typing import Any

import pytest
import yaml

from mlops_assets.catalog import PROJECTS

ROOT = Path(__file__).parents[2]
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
JENKINSFILE = (ROOT / "Jenkinsfile").read_text()
TARGETS = set(re.findall(r"^([a-z0-9-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
BESIDE_MAKE = (
    "git diff --exit-code",  # what was generated is what is committed
    'echo "version=${TAG#v}" >> "$GITHUB_OUTPUT"',
    'aws eks update-kubeconfig --name "$CLUSTER"',  # a login, as the actions' are
)


def workflow(file: Path) -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load(file.read_text())
    return found


def steps(file: Path) -> list[dict[str, Any]]:
    return [step for job in workflow(file)["jobs"].values() for step in job["steps"]]


def targets_of(command: str) -> set[str]:
    assert command.startswith("make ")
    words = re.sub(r"\"[^\"]*\"", "", command).split()[1:]
    return {word for word in words if "=" not in word}


@pytest.mark.parametrize("file", WORKFLOWS, ids=lambda file: file.stem)
def test_a_workflow_calls_only_make_targets_that_there_are(file: Path) -> None:
    for step in steps(file):
        if "run" in step and step["run"] not in BESIDE_MAKE:
            assert targets_of(step["run"]) <= TARGETS, step["run"]


@pytest.mark.parametrize("file", WORKFLOWS, ids=lambda file: file.stem)
def test_a_workflow_may_no_more_than_it_needs(file: Path) -> None:
    found = workflow(file)
    assert found["permissions"] == {"contents": "read"}
    for name, job in found["jobs"].items():
        assert "timeout-minutes" in job, name
        for step in job["steps"]:
            assert re.fullmatch(r"[\w./-]+@v\d[\w.]*", step.get("uses", "a@v1")), step
            if step.get("uses", "").startswith("actions/checkout@"):
                assert step["with"]["persist-credentials"] is False
            # What a stranger may name (a branch, a tag) reaches a shell only through the environment.
            assert "${{" not in step.get("run", ""), step


def test_jenkins_calls_only_make_targets_that_there_are() -> None:
    commands = re.findall(r"\bsh '([^']+)'", JENKINSFILE)
    assert len(commands) > 10
    for command in commands:
        if command not in BESIDE_MAKE:
            assert targets_of(command) <= TARGETS, command


def test_both_run_the_same_targets() -> None:
    github = {
        target
        for file in WORKFLOWS
        for step in steps(file)
        if step.get("run", "").startswith("make")
        for target in targets_of(step["run"])
    }
    jenkins = {
        target
        for command in re.findall(r"\bsh '(make [^']+)'", JENKINSFILE)
        for target in targets_of(command)
    }
    assert github - jenkins == {"release-notes"}, "GitHub's own"
    assert jenkins - github == {"kind-down"}, "GitHub's machines are thrown away"


def test_jenkins_pipeline_is_declarative_and_closed() -> None:
    """Balanced, one pipeline with agent and stages, each stage with steps: Jenkins itself says the rest."""
    code = re.sub(r"//[^\n]*|'[^'\n]*'|\"[^\"\n]*\"", "", JENKINSFILE)
    depth = 0
    for character in code:
        depth += {"{": 1, "}": -1}.get(character, 0)
        assert depth >= 0
    assert depth == 0
    assert re.match(r"\s*pipeline \{\s+agent ", code)
    assert code.count("stage(") == len(re.findall(r"\bsteps \{", code)) > 4


def test_the_released_version_is_the_packages() -> None:
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    for image in yaml.safe_load((ROOT / "deploy/k8s/base/kustomization.yaml").read_text())["images"]:
        assert image["newTag"] == version
    assert f"VERSION ?= {version}" in (ROOT / "Makefile").read_text()
    assert f"{version}-cuda" in (ROOT / "deploy/k8s/overlays/eks/settings.env").read_text()


def changed_projects() -> Any:
    loader = SourceFileLoader("changed_projects", str(ROOT / "tools" / "changed-projects"))
    spec = importlib.util.spec_from_loader(loader.name, loader)
    assert spec is not None
    module = importlib.util.module_from_spec(spec)
    loader.exec_module(module)
    return module


@pytest.mark.parametrize(
    ("changed", "projects", "platform"),
    [
        (["mlops_assets/projects/a/features.py"], ["a"], False),
        (["mlops_assets/projects/a/features.py", "README.md"], ["a"], False),
        (["mlops_assets/projects/a/features.py", "mlops_assets/bundle.py"], ["a", "b"], True),
        (["mlops_assets/projects/a/x.py", "mlops_assets/projects/b/x.py"], ["a", "b"], False),
        (["mlops_assets/catalog.py"], ["a", "b"], True),
        (["mlops_assets/projects/__init__.py"], ["a", "b"], True),
        (["requirements.lock"], ["a", "b"], True),
        (["docs/x.md", "mlops_assets_tests/x.py"], [], False),
        (["mlops_assets/projects/gone/x.py"], [], False),
    ],
)
def test_a_change_to_a_project_alone_concerns_it_alone(
    changed: list[str], projects: list[str], *, platform: bool
) -> None:
    found = changed_projects().concerned(changed, ["a", "b"])
    assert found == {"projects": projects, "platform": platform}


@dataclass(frozen=True)
class Repository:
    """A repository with two projects' folders and the tools; ``path`` holds a stand-in for kubectl."""

    root: Path
    path: Path

    def commit(self, file: str, text: str) -> None:
        (self.root / file).parent.mkdir(parents=True, exist_ok=True)
        (self.root / file).write_text(text)
        self.git("add", ".")
        self.git("commit", "-qm", "one more")

    def git(self, *arguments: str) -> None:
        who = ("-c", "user.name=t", "-c", "user.email=t@example.org", "-c", "commit.gpgsign=false")
        subprocess.run(["git", "-C", str(self.root), *who, *arguments], check=True, capture_output=True)

    def ship(self) -> list[str]:
        """What ``make k8s-ship`` tells kubectl to do about the last commit."""
        told = self.path / "told"
        told.write_text("")
        command = ["make", "-C", str(self.root), "k8s-ship", "BASELINE=HEAD^", "IMAGE=r", "VERSION=2"]
        env = {"PATH": f"{self.path}:/usr/bin:/bin"}
        subprocess.run(command, env=env, capture_output=True, text=True, check=True)
        return told.read_text().splitlines()


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    made = Repository(tmp_path / "root", tmp_path)
    kubectl = tmp_path / "kubectl"
    kubectl.write_text(f'#!/bin/sh\necho "$*" >> {tmp_path}/told\n')
    kubectl.chmod(0o755)
    (made.root / "tools").mkdir(parents=True)
    shutil.copy(ROOT / "tools" / "changed-projects", made.root / "tools")
    shutil.copy(ROOT / "Makefile", made.root)
    made.git("init", "-q")
    for project in (*(p.name for p in PROJECTS), "another_one"):
        made.commit(f"mlops_assets/projects/{project}/project.py", "1")
    return made


def test_the_tool_knows_the_projects_of_the_catalog(repository: Repository) -> None:
    repository.commit(f"mlops_assets/projects/{PROJECTS[0].name}/project.py", "2")
    tool = repository.root / "tools" / "changed-projects"
    done = subprocess.run(["python3", str(tool), "HEAD^"], capture_output=True, text=True, check=True)
    assert json.loads(done.stdout) == {"projects": [PROJECTS[0].name], "platform": False}


def test_a_projects_change_ships_the_code_location_and_its_endpoint_alone(repository: Repository) -> None:
    repository.commit("mlops_assets/projects/another_one/features.py", "2")
    assert repository.ship() == [
        "--namespace mlops set image deployment/code-location main=r/platform:2",
        "--namespace mlops set env deployment/code-location DAGSTER_CURRENT_IMAGE=r/platform:2",
        "--namespace mlops set image deployment/endpoint-another-one main=r/serving:2",
        "--namespace mlops rollout status --timeout=600s deployment/code-location",
        "--namespace mlops rollout status --timeout=600s deployment/endpoint-another-one",
    ]
    repository.commit("docs/x.md", "2")
    assert repository.ship() == []
    repository.commit("mlops_assets/bundle.py", "2")
    assert "apply -k deploy/k8s/overlays/eks" in repository.ship()
