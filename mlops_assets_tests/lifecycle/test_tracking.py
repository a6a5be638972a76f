"""MLflow runs end in a final state, whatever became of the process that began them."""

from __future__ import annotations

import signal
import subprocess
import sys
from typing import TYPE_CHECKING

import dagster as dg
import pytest

from mlops_assets.lifecycle.tracking import RUN_TAG, build_run_closer, end_open_runs
from mlops_assets_tests.services import wait_until

if TYPE_CHECKING:
    from mlops_assets.resources.registry import Registry

BEGIN_AND_HANG = """
import sys, time
import dagster as dg
from mlops_assets.resources.mlflow import mlflow_resource

uri, run_id, status = sys.argv[1:]

@dg.op(required_resource_keys={"mlflow"})
def begin(context):
    mlflow = context.resources.mlflow
    mlflow.start_run(run_name="candidate", nested=True)
    mlflow.set_tag("mlops.dagster_run_id", context.run_id)
    print("begun", flush=True)
    time.sleep(600)

dg.GraphDefinition("hang", node_defs=[begin]).execute_in_process(
    resources={"mlflow": mlflow_resource(uri, "killed")}, run_id=run_id
)
"""


def statuses(registry: Registry, dagster_run: str) -> list[str]:
    """The states of the MLflow runs of a Dagster run, nested ones included."""
    experiments = [e.experiment_id for e in registry.client.search_experiments()]
    runs = registry.client.search_runs(experiments)
    mine = [r for r in runs if dagster_run in (r.data.tags.get(RUN_TAG), r.data.tags.get("dagster_run_id"))]
    return [r.info.status for r in mine]


@pytest.fixture
def instance() -> dg.DagsterInstance:
    return dg.DagsterInstance.ephemeral()


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        (dg.DagsterRunStatus.FAILURE, "FAILED"),
        (dg.DagsterRunStatus.CANCELED, "KILLED"),
        (dg.DagsterRunStatus.SUCCESS, "FINISHED"),
    ],
)
def test_the_runs_of_a_killed_process_end_as_its_dagster_run_did(
    registry: Registry, instance: dg.DagsterInstance, status: dg.DagsterRunStatus, expected: str
) -> None:
    run = instance.create_run_for_job(_job(), status=dg.DagsterRunStatus.STARTED)
    with subprocess.Popen(
        [sys.executable, "-c", BEGIN_AND_HANG, registry.uri, run.run_id, status.value],
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        said = process.stdout
        assert said is not None
        wait_until("the MLflow run", lambda: "begun" in said.readline())
        process.send_signal(signal.SIGKILL)
    assert statuses(registry, run.run_id) == ["RUNNING", "RUNNING"]
    assert end_open_runs(instance, registry) == []  # the Dagster run is not over yet
    _finish(instance, run, status)
    assert len(end_open_runs(instance, registry)) == 2
    assert statuses(registry, run.run_id) == [expected, expected]


def test_runs_that_dagster_does_not_know_are_ended(registry: Registry, instance: dg.DagsterInstance) -> None:
    experiment = registry.client.create_experiment(f"unknown-{id(instance)}")
    run = registry.client.create_run(experiment, tags={RUN_TAG: "no-such-run"})
    assert run.info.run_id in end_open_runs(instance, registry)
    assert registry.client.get_run(run.info.run_id).info.status == "KILLED"


def test_runs_of_others_are_left_alone(registry: Registry, instance: dg.DagsterInstance) -> None:
    experiment = registry.client.create_experiment(f"others-{id(instance)}")
    run = registry.client.create_run(experiment)
    end_open_runs(instance, registry)
    assert registry.client.get_run(run.info.run_id).info.status == "RUNNING"


def test_the_sensor_says_what_it_ended(registry: Registry, instance: dg.DagsterInstance) -> None:
    experiment = registry.client.create_experiment(f"sensor-{id(instance)}")
    registry.client.create_run(experiment, tags={RUN_TAG: "no-such-run"})
    with dg.build_sensor_context(instance=instance) as context:
        data = build_run_closer(registry).evaluate_tick(context)
    assert data.skip_message == "ended 1 MLflow run(s)"


def _job() -> dg.JobDefinition:
    @dg.op
    def nothing() -> None: ...

    return dg.GraphDefinition("job", node_defs=[nothing]).to_job()


def _finish(instance: dg.DagsterInstance, run: dg.DagsterRun, status: dg.DagsterRunStatus) -> None:
    report = {
        dg.DagsterRunStatus.FAILURE: instance.report_run_failed,
        dg.DagsterRunStatus.CANCELED: instance.report_run_canceled,
    }.get(status)
    if report:
        report(run)
    else:
        event = dg.DagsterEvent(dg.DagsterEventType.RUN_SUCCESS.value, run.job_name)
        instance.report_dagster_event(event, run.run_id)
