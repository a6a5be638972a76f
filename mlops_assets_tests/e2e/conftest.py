"""One platform for the whole module, in a folder of its own, and the real command line on it."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from mlops_assets import platform
from mlops_assets.observe import Dagster
from mlops_assets.platform import orphans
from mlops_assets.platform.supervision import Supervisor
from mlops_assets.settings import inherited_environment
from mlops_assets_tests.platform.conftest import settings_for

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

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

    @property
    def dagster(self) -> Dagster:
        return Dagster(self.settings.dagster_url)

    def asset(self, name: str) -> Asset:
        return self.dagster.assets(PROJECT)[name]

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
        from mlops_assets.resources.registry import Registry

        client = Registry(self.settings.mlflow_url).client
        found = client.search_runs([e.experiment_id for e in client.search_experiments()])
        return [run.info.status for run in found if dagster_run in run.data.tags.values()]


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    folder = tmp_path_factory.mktemp("e2e")
    settings = settings_for(folder / "home")
    yield Stage(settings, folder)
    platform.down(settings)
    orphans.end(orphans.platform(settings.state).processes())
