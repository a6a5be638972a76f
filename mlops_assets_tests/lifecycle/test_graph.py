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
heavy = {"torch", "sklearn", "mlflow", "matplotlib", "dagster_mlflow"} & set(sys.modules)
assert not heavy, heavy
print("loaded")
"""


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


def test_each_stage_depends_on_the_stage_before_it_alone(graph: dg.AssetGraph) -> None:
    for key in lifecycle(graph):
        place = STAGES.index(key.path[1])
        parents = {parent.path[1] for parent in graph.get(key).parent_keys}
        assert parents == ({STAGES[place - 1]} if place else set()), key


def test_the_graphs_own_order_is_that_of_the_stages(graph: dg.AssetGraph) -> None:
    for project in PROJECTS:
        order = [
            STAGES.index(key.path[1])
            for level in graph.toposorted_asset_keys_by_level
            for key in level
            if key.path[0] == project.name
        ]
        assert order == sorted(order)


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
