"""The platform of ``loop.py`` on a stand-in of two nodes, one with a GPU: for tests, and to measure it."""

from __future__ import annotations

import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from mlops_assets.execution import kubernetes, retrying
from mlops_assets.lifecycle.describe import asset_key
from mlops_assets_tests.kube.loop import GPU_NODES, PROJECT
from mlops_assets_tests.kube.nodes import Node
from mlops_assets_tests.kube.standin import ROOT, StandIn
from mlops_assets_tests.kube.world import Platform, platform_on
from mlops_assets_tests.lifecycle.world import world_settings
from mlops_assets_tests.retraining.flow import rows
from mlops_assets_tests.services import Service, free_port

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from mlops_assets_tests.services import ObjectStore

LOOP = "mlops_assets_tests.kube.loop"
MONTHS = ("2013-01", "2013-02")


@contextmanager
def looping(
    folder: Path,
    store: ObjectStore,
    database: str,
    mlflow: str,
    warm: Sequence[str],
    executor: str = "kubernetes",
) -> Iterator[Platform]:
    """The platform with buckets of its own; nothing has been uploaded yet."""
    raw, lake = f"{folder.name}-raw".replace("_", "-"), f"{folder.name}-lake".replace("_", "-")
    for bucket in (raw, lake):
        store.client.create_bucket(Bucket=bucket)
    store.client.put_bucket_versioning(Bucket=raw, VersioningConfiguration={"Status": "Enabled"})
    found = world_settings(folder / "home", store, (raw, lake), database, mlflow)
    settings = found.model_copy(update={"executor": executor, "endpoint_base_port": free_port()})
    nodes = [Node("plain"), Node("with-gpu", gpus=1, labels=GPU_NODES)]
    with (
        pytest.MonkeyPatch.context() as patch,
        StandIn(folder / "kube", nodes=nodes, warm=warm) as kube,
        platform_on(kube, settings, DAGSTER_STEP_DELEGATING_EXECUTOR_SLEEP_SECONDS="0.3") as platform,
    ):
        for module, constant in ((retrying, "FIRST_WAIT_SECONDS"), (kubernetes, "CHECK_SECONDS")):
            patch.setattr(module, constant, getattr(module, constant))  # so that they are set back
        yield platform


@contextmanager
def serving(platform: Platform, folder: Path) -> Iterator[str]:
    """The address of the project's LitServe server."""
    settings = platform.settings
    # fmt: off
    command = [
        sys.executable, "-m", "serving", "--project", f"{LOOP}:PROJECT", "--host", "127.0.0.1",
        "--port", str(settings.endpoint_base_port), "--registry", settings.mlflow_url, "--store", str(folder),
    ]
    # fmt: on
    env = {"PYTHONPATH": str(ROOT), "HOME": str(folder), "MLOPS_PREDICTION_LOG": "off"}
    server = Service(command, folder / "endpoint.log", env)
    yield settings.endpoint_url(0)
    server.stop()


def upload(platform: Platform, store: ObjectStore) -> dict[str, str]:
    """Put the objects of ``MONTHS``; the version id of each, by month."""
    return {
        month: store.client.put_object(
            Bucket=platform.settings.raw_bucket, Key=f"{PROJECT.name}/rows/{month}.csv", Body=rows(month)
        )["VersionId"]
        for month in MONTHS
    }


def is_closed(platform: Platform) -> bool:
    """Whether the endpoint was seen to answer with the champion, and no run is under way."""
    made = platform.instance.get_latest_materialization_event(asset_key(PROJECT, "endpoint"))
    return made is not None and all(run.is_finished for run in platform.instance.get_runs())
