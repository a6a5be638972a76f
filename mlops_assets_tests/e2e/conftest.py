"""One platform for the whole module, in a folder of its own, and the real command line on it."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import httpx
import pandas as pd
import pytest

from mlops_assets import platform
from mlops_assets.catalog import get_project
from mlops_assets.demo.eyes import Eyes
from mlops_assets.observe import Dagster
from mlops_assets.platform import orphans
from mlops_assets.platform.object_store import s3_client
from mlops_assets.platform.supervision import Supervisor
from mlops_assets.resources.registry import Registry
from mlops_assets.settings import inherited_environment
from mlops_assets_tests.platform.conftest import settings_for
from serving.prediction_log.objects import list_objects
from serving.prediction_log.reader import read_batches

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from mlops_assets.demo.story import Seen
    from mlops_assets.observe import Asset, Run
    from mlops_assets.settings import Settings

PROJECT = "flight_delays"


@dataclass
class Stage:
    """The platform under test, seen from outside."""

    settings: Settings
    folder: Path

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        """``mlops ARGUMENTS`` as a process of its own."""
        return subprocess.Popen(
            [sys.executable, "-m", "mlops_assets.cli", *arguments],
            env={**inherited_environment(), **self.settings.environment(), "COLUMNS": "200"},
            cwd=self.folder,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def mlops(self, *arguments: str, code: int = 0) -> str:
        """What ``mlops ARGUMENTS`` prints; it must end with ``code``."""
        with self.start(*arguments) as process:
            said = process.communicate()[0]
        assert process.returncode == code, said
        return said

    @cached_property
    def dagster(self) -> Dagster:
        return Dagster(self.settings.dagster_url)

    @cached_property
    def registry(self) -> Registry:
        return Registry(self.settings.mlflow_url)

    @cached_property
    def seen(self) -> Seen:
        """Verdicts, alerts, trainings and promotions, by Dagster and the platform's tables."""
        return Eyes(self.settings, get_project(PROJECT), self.dagster).look(0, latest=200)

    def asset(self, name: str) -> Asset:
        return self.dagster.assets(PROJECT)[name]

    def logged(self) -> pd.DataFrame:
        """All rows of the prediction log in S3, by time of arrival."""
        client, lake = s3_client(self.settings), self.settings.lake_bucket
        keys = [found.key for found in list_objects(client, lake, PROJECT)]
        columns = ["request_id", "row", "time", "version", "received.scheduled_departure"]
        return pd.concat(
            batch.to_pandas() for batch in read_batches(client, lake, keys, columns)
        ).sort_values("time", ignore_index=True)

    def runs(self) -> list[Run]:
        return self.dagster.runs(0.0)

    def info(self) -> dict[str, Any]:
        """What the endpoint says of itself."""
        return dict(httpx.get(f"{self.settings.endpoint_url(0)}/info", timeout=10).json())

    def pid(self, service: str) -> int:
        return Supervisor(self.settings).processes()[service].pid

    def messages(self, run: str) -> str:
        """All that Dagster has noted of a run."""
        query = """query Log($run: ID!) { logsForRun(runId: $run) { ... on EventConnection {
            events { ... on MessageEvent { message } } } } }"""
        body = {"query": query, "variables": {"run": run}}
        answer = httpx.post(f"{self.settings.dagster_url}/graphql", json=body, timeout=30).json()
        return "\n".join(event["message"] for event in answer["data"]["logsForRun"]["events"])

    def mlflow_runs(self, dagster_run: str) -> list[str]:
        """The states of the MLflow runs that a Dagster run began."""
        client = self.registry.client
        found = client.search_runs([e.experiment_id for e in client.search_experiments()])
        return [run.info.status for run in found if dagster_run in run.data.tags.values()]


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    folder = tmp_path_factory.mktemp("e2e")
    settings = settings_for(folder / "home")
    yield Stage(settings, folder)
    platform.down(settings)
    orphans.end(orphans.platform(settings.state).processes())
