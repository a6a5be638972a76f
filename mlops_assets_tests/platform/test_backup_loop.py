"""Dump, wipe, restore: a platform of its own loses all that it has, gets it back, and the loop goes on."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from typer.testing import CliRunner

from mlops_assets.catalog import get_project
from mlops_assets.cli import app
from mlops_assets.families.boosting import Boosting
from mlops_assets.lifecycle.describe import asset_key
from mlops_assets.lifecycle.lineage import latest
from mlops_assets.platform.object_store import s3_client
from mlops_assets.platform.rollback import platform_instance
from mlops_assets.resources.registry import Registry
from mlops_assets.resources.tables import engine_for
from mlops_assets_tests.lifecycle.data import month, planes, thin_sources
from mlops_assets_tests.lifecycle.world import World
from mlops_assets_tests.services import ObjectStore, Service, wait_until
from serving.prediction_log.objects import put_rows
from serving.predictor import Predictor

if TYPE_CHECKING:
    import dagster as dg

    from mlops_assets.settings import Settings

REAL = get_project("flight_delays")
PROJECT = REAL.model_copy(update={"sources": thin_sources(REAL), "families": (Boosting(stages=40),)})
TRAINING = ("training_set", "candidates/boosting", "evaluation", "champion")
REQUEST = "01a20770c7c27bb2aafbf3b7ddd627f4"


def mlops(*arguments: object) -> str:
    done = CliRunner().invoke(app, [str(argument) for argument in arguments])
    assert done.exit_code == 0, done.output
    return done.output


def world_on(settings: Settings, instance: dg.DagsterInstance) -> World:
    store = ObjectStore(settings.s3_url, *settings.s3_credentials, service=None)  # type: ignore[arg-type]
    return World(PROJECT, settings, store, instance)


def version_of(settings: Settings) -> str:
    """The champion, which loads and predicts what it has stored as its proof."""
    registry = Registry(settings.mlflow_url)
    champion = registry.champion(PROJECT.name)
    assert champion is not None
    Predictor.load(registry.model_bytes(champion.model_uri), PROJECT).prove()
    return champion.number


def traced(settings: Settings, folder: Path) -> list[dict[str, Any]]:
    """What ``mlops trace`` tells of the raw objects, with Dagster's webserver as the only other part up."""
    port = str(settings.dagster_port)
    command = [str(Path(sys.executable).with_name("dagster-webserver")), "--empty-workspace", "-p", port]
    env = {"DAGSTER_HOME": str(settings.dagster_home), **settings.environment()}
    webserver = Service(command, folder / "webserver.log", env)
    try:
        wait_until("Dagster", lambda: httpx.get(f"{settings.dagster_url}/server_info").is_success, webserver)
        (model,) = json.loads(mlops("trace", REQUEST, "--json"))["models"]
    finally:
        webserver.stop()
    assert model["is_champion"]
    assert [one["kind"] for one in model["promotions"]] == ["promotion"]
    return [one for part in model["training_set"]["features"] for one in part["objects"]]


@pytest.mark.timeout(900)
def test_a_platform_that_lost_everything_goes_on_where_it_was(shell: Settings, tmp_path: Path) -> None:
    folder = tmp_path / "backup"
    mlops("up", "object-store", "database", "registry")
    with platform_instance(shell) as instance:
        world = world_on(shell, instance)
        for name in ("2013-01", "2013-02"):
            for key, data in month(name, every=8).items():
                world.upload(key, data)
        uploaded = {
            world.upload("planes/planes.csv", planes(without=1)),
            world.upload("planes/planes.csv", planes()),
        }
        world.settle()
        assert world.train(*TRAINING).success
    assert version_of(shell) == "1"
    asked = {"request_id": [REQUEST], "row": [0], "version": ["1"], "received.carrier": ["DL"]}
    put_rows(s3_client(shell), shell.lake_bucket, REAL, asked)
    engine_for(shell.dagster_database).dispose()

    said = mlops("backup", folder)  # with the registry at work
    assert "bucket raw: 5 objects, 6 versions" in said
    refused = CliRunner().invoke(app, ["restore", str(folder)])
    assert refused.exit_code == 1
    assert "The platform runs (registry). Stop it (mlops down)" in " ".join(refused.output.split())
    mlops("reset", "--yes")
    assert not shell.state.exists()
    said = mlops("restore", folder)
    assert "mlops up" in said
    mlops("up", "registry")

    assert version_of(shell) == "1"
    objects = traced(shell, tmp_path)
    assert len(objects) == 6
    for one in objects:
        head = s3_client(shell).head_object(Bucket=one["bucket"], Key=one["key"], VersionId=one["version_id"])
        assert head["ETag"].strip('"') == one["etag"]
        assert one["version_id"] not in uploaded
        assert one["read_by"]["run_id"]
    with platform_instance(shell) as instance:
        world = world_on(shell, instance)
        assert [entry.version for entry in world.promotions()] == ["1"]
        assert world.settle() == [], "what was read is not read again"
        for key, data in month("2013-03", every=8).items():
            world.upload(key, data)
        assert all(run.success for run in world.settle())
        result = world.train(*TRAINING)
        judged = latest(instance, asset_key(PROJECT, "evaluation")).metadata
        assert (judged["held out"], judged["evidence"]["champion"]) == ("2013-03", "1")
    assert version_of(shell) == ("2" if result.success else "1")
    engine_for(shell.dagster_database).dispose()
