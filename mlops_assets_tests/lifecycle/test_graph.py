"""The asset graph follows STAGES, and each asset says what it is and whose."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from mlops_assets.catalog import PROJECTS
from mlops_assets.definitions import build_definitions
from mlops_assets.lifecycle import STAGES
from mlops_assets.settings import Settings

if TYPE_CHECKING:
    import dagster as dg

# Nobody listens on port 1: whatever would contact a service fails at once.
NOWHERE = {
    "MLOPS_S3_ENDPOINT_URL": "http://127.0.0.1:1",
    "MLOPS_S3_ACCESS_KEY_ID": "nobody",
    "MLOPS_S3_SECRET_ACCESS_KEY": "nowhere",
    "MLOPS_DATABASE_URL": "postgresql://u:p@127.0.0.1:1/none",
    "MLOPS_MLFLOW_URI": "http://127.0.0.1:1",
}
LOAD = """
import socket, sys
def refuse(*_): raise SystemExit("definitions contact a service")
socket.socket.connect = socket.create_connection = socket.getaddrinfo = refuse
import mlops_assets.definitions as d
assert len(list(d.defs.resolve_asset_graph().get_all_asset_keys())) >= 10
heavy = {"torch", "sklearn", "mlflow", "matplotlib", "dagster_mlflow", "evidently"} & set(sys.modules)
assert not heavy, heavy
print("loaded")
"""


MADE_FROM: dict[str, set[str]] = {
    "raw": set(),
    "features": {"raw"},
    "training_set": {"features"},
    "candidates": {"training_set"},
    "evaluation": {"candidates"},
    "champion": {"evaluation"},
    "reference_profile": {"champion"},
    "endpoint": {"champion"},
    "predictions": {"endpoint"},
    "outcomes": {"features", "predictions"},
    "drift": {"reference_profile", "predictions"},
    "drift_report": {"drift"},
    "performance": {"outcomes", "reference_profile"},
}


@pytest.fixture(scope="module")
def graph() -> dg.AssetGraph:
    return build_definitions(Settings(_env_file=None)).get_repository_def().asset_graph


def lifecycle(graph: dg.AssetGraph) -> list[dg.AssetKey]:
    """All assets but the alerts', which are about all projects and no stage of one."""
    return [key for key in graph.get_all_asset_keys() if key.path[0] != "alerts"]


def test_keys_are_project_stage_and_name(graph: dg.AssetGraph) -> None:
    names = {project.name for project in PROJECTS}
    for key in lifecycle(graph):
        project, stage, *rest = key.path
        assert project in names, key
        assert stage in STAGES, key
        assert len(rest) == (stage in {"raw", "candidates"}), key


@pytest.mark.parametrize("project", PROJECTS, ids=lambda project: project.name)
def test_every_project_has_every_stage(graph: dg.AssetGraph, project: object) -> None:
    name = getattr(project, "name", "")
    assert {key.path[1] for key in graph.get_all_asset_keys() if key.path[0] == name} == set(STAGES)


def test_each_stage_depends_on_what_it_is_made_from_alone(graph: dg.AssetGraph) -> None:
    for key in lifecycle(graph):
        parents = {parent.path[1] for parent in graph.get(key).parent_keys}
        assert parents == MADE_FROM[key.path[1]], key


def test_no_stage_depends_on_a_later_one(graph: dg.AssetGraph) -> None:
    assert set(MADE_FROM) == set(STAGES)
    for key in lifecycle(graph):
        for parent in graph.get(key).parent_keys:
            assert STAGES.index(parent.path[1]) < STAGES.index(key.path[1]), (key, parent)


def test_only_what_follows_a_training_comes_by_itself(graph: dg.AssetGraph) -> None:
    """The stages that watch are asked for by their sensor: automation, which targets all, leaves them be."""
    for key in lifecycle(graph):
        stage = key.path[1]
        watches = STAGES.index(stage) > STAGES.index("endpoint")
        assert not (watches or stage == "raw") or graph.get(key).automation_condition is None, key
        if stage in {"champion", "reference_profile", "endpoint"}:
            assert graph.get(key).automation_condition is not None, key


def test_each_asset_says_what_it_is_and_whose(graph: dg.AssetGraph) -> None:
    for key in lifecycle(graph):
        node = graph.get(key)
        assert node.owners, key
        assert node.kinds, key
        assert node.group_name == key.path[0], key
        assert len(node.description or "") > 20, key
        assert node.tags["mlops/stage"] == key.path[1], key


def test_definitions_load_fast_and_contact_nothing() -> None:
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", LOAD], env=NOWHERE, capture_output=True, text=True, check=False
    )
    assert done.stdout == "loaded\n", done.stdout + done.stderr
