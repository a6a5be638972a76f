"""Runs on the platform's code location: forked warm, started again when they vanished, bounded by pools."""

from __future__ import annotations

import os
import signal
import time
from itertools import accumulate
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from mlops_assets import platform
from mlops_assets.platform import orchestrator
from mlops_assets.platform.migrate import migrate_dagster
from mlops_assets.platform.supervision import Supervisor
from mlops_assets_tests.platform.conftest import settings_for

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from mlops_assets.settings import Settings

DEFINITIONS = """
import time
from itertools import accumulate
from pathlib import Path
import dagster as dg

@dg.asset
def slow_at_first(context):
    seen = Path("seen")
    if not seen.exists():
        seen.write_text("")
        time.sleep(120)
    return 1

@dg.asset
def warm(context):
    import sys
    return dg.MaterializeResult(metadata={"torch": "torch" in sys.modules})

MONTHS = dg.StaticPartitionsDefinition(["2013-01", "2013-02"])
SEEN = Path("steps").resolve()

def most_at_once(pool):
    inside = [int(line.split()[1]) for line in SEEN.read_text().splitlines() if line.split()[0] == pool]
    return max(accumulate(inside), default=0)

def note(pool, entered):
    with SEEN.open("a") as seen:
        seen.write(f"{pool} {entered}\\n")

def monthly(name, pool, company, deps=()):
    @dg.asset(name=name, partitions_def=MONTHS, pool=pool, deps=deps)
    def step():
        note(pool, 1)
        deadline = time.monotonic() + 60
        while most_at_once(pool) < company and time.monotonic() < deadline:
            time.sleep(0.05)
        time.sleep(0.5)  # long enough for one more to come in, if it may
        note(pool, -1)
    return step

sources = [monthly(name, "s3", 2) for name in ("flights", "weather", "planes")]
networks = [monthly(name, "gpu", 1, deps=sources) for name in ("network", "larger_network")]
several = dg.multiprocess_executor.configured({"max_concurrent": 3, "start_method": {"forkserver": {}}})
months = dg.define_asset_job("months", [*sources, *networks], executor_def=several)
defs = dg.Definitions(
    assets=[slow_at_first, warm, *sources, *networks], jobs=[months], executor=dg.in_process_executor
)
"""
LAUNCH = """mutation($e: ExecutionParams!) { launchPipelineExecution(executionParams: $e) {
  __typename ... on LaunchRunSuccess { run { runId } } ... on PythonError { message } } }"""
BACKFILL = """mutation($b: LaunchBackfillParams!) { launchPartitionBackfill(backfillParams: $b) {
  __typename ... on LaunchBackfillSuccess { backfillId } ... on PythonError { message } } }"""
RUNS = """{ runsOrError { ... on Runs { results {
  runId jobName status parentRunId
  assetMaterializations { metadataEntries { ... on BoolMetadataEntry { boolValue } } }
} } } }"""


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Settings]:
    settings = settings_for(tmp_path_factory.mktemp("runs") / "home")
    settings.state.mkdir()
    (settings.state / "test_definitions.py").write_text(DEFINITIONS)  # the services' working folder
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(orchestrator, "DEFINITIONS", "test_definitions")
        platform.up(settings, {"webserver"})
        migrate_dagster(settings.model_copy(update={"pool_s3": 2, "pool_gpu": 1}), print)
        _backfill(settings)
        # The daemon looks for backfills as it starts, and then each half minute.
        platform.up(settings, {"orchestrator"})
        yield settings
        platform.down(settings)


def _ask(settings: Settings, query: str, **variables: Any) -> Any:
    body = {"query": query, "variables": variables}
    return httpx.post(f"{settings.dagster_url}/graphql", json=body, timeout=30).json()["data"]


def _backfill(settings: Settings) -> None:
    repository = {
        "repositoryLocationName": orchestrator.LOCATION_NAME,
        "repositoryName": "__repository__",
    }
    selector = {"partitionSetName": "months_partition_set", "repositorySelector": repository}
    asked = {"selector": selector, "partitionNames": ["2013-01", "2013-02"]}
    answer = _ask(settings, BACKFILL, b=asked)["launchPartitionBackfill"]
    assert answer["__typename"] == "LaunchBackfillSuccess", answer


def _launch(settings: Settings, asset: str) -> str:
    selector = {
        "repositoryLocationName": orchestrator.LOCATION_NAME,
        "repositoryName": "__repository__",
        "pipelineName": "__ASSET_JOB",
        "assetSelection": [{"path": [asset]}],
    }
    answer = _ask(settings, LAUNCH, e={"selector": selector, "mode": "default", "runConfigData": {}})
    return str(answer["launchPipelineExecution"]["run"]["runId"])


def _wait(settings: Settings, ready: Callable[[list[Any]], Any], seconds: float = 60) -> Any:
    deadline = time.monotonic() + seconds
    while not (found := ready(runs := _ask(settings, RUNS)["runsOrError"]["results"])):
        assert time.monotonic() < deadline, runs
        time.sleep(0.2)
    return found


def test_only_what_is_needed_is_started(running: Settings) -> None:
    alive = {name for name, process in Supervisor(running).processes().items() if process.alive}
    assert alive == {"object-store", "database", "code-location", "webserver", "daemon"}


def test_a_backfills_steps_run_side_by_side_and_never_more_than_their_pools_let_through(
    running: Settings,
) -> None:
    def done(runs: list[Any]) -> bool:
        assert "FAILURE" not in {run["status"] for run in runs}
        return [(r["jobName"], r["status"]) for r in runs] == [("months", "SUCCESS")] * 2

    _wait(running, done, 200)
    steps = [line.split() for line in (running.state / "steps").read_text().splitlines()]
    inside = {pool: list(accumulate(int(n) for p, n in steps if p == pool)) for pool in ("s3", "gpu")}
    assert {pool: (len(counts), max(counts)) for pool, counts in inside.items()} == {
        "s3": (2 * 3 * 2, 2),
        "gpu": (2 * 2 * 2, 1),
    }


def test_a_run_starts_with_everything_imported(running: Settings) -> None:
    run = _launch(running, "warm")
    done = _wait(running, lambda runs: [r for r in runs if r["runId"] == run and r["status"] == "SUCCESS"])
    assert done[0]["assetMaterializations"][0]["metadataEntries"] == [{"boolValue": True}]


def test_a_run_that_vanishes_with_its_code_location_is_run_again(running: Settings) -> None:
    run = _launch(running, "slow_at_first")
    _wait(running, lambda runs: [r for r in runs if r["runId"] == run and r["status"] == "STARTED"])
    while not (running.state / "seen").exists():
        time.sleep(0.05)
    os.kill(Supervisor(running).processes()["code-location"].pid, signal.SIGKILL)
    _wait(running, lambda runs: [r for r in runs if r["runId"] == run and r["status"] == "FAILURE"])
    again = lambda runs: [r for r in runs if r["parentRunId"] == run and r["status"] == "SUCCESS"]  # noqa: E731
    _wait(running, again, 180)  # what runs are forked from imports everything anew first
