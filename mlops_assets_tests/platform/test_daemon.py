"""A run that was lost is started again, whenever its code location comes back: on a real one."""

from __future__ import annotations

import logging
import subprocess
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING

import dagster as dg
import pytest
from dagster._core.events import RunFailureReason
from dagster._core.storage.tags import RUN_FAILURE_REASON_TAG, WILL_RETRY_TAG
from dagster._core.workspace.context import WorkspaceProcessContext
from dagster._core.workspace.load_target import EmptyWorkspaceTarget, GrpcServerTarget
from dagster._daemon.auto_run_reexecution.event_log_consumer import EventLogConsumerDaemon
from dagster._daemon.controller import create_daemon_of_type

from mlops_assets.platform import daemon
from mlops_assets.platform.orchestrator import ServesGrpc
from mlops_assets_tests.services import free_port, wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from dagster._core.remote_representation.external import RemoteJob

DEFINITIONS = """
import dagster as dg

@dg.op
def train():
    pass

@dg.job
def training():
    train()

defs = dg.Definitions(jobs=[training])
"""


@dg.op
def train() -> None:
    """Never executed here."""


@dg.job
def training() -> None:
    train()


RETRIES = {"run_retries": {"enabled": True, "max_retries": 3, "retry_on_asset_or_op_failure": False}}


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    with dg.instance_for_test(overrides=RETRIES) as instance:
        yield instance


@pytest.fixture
def retries(monkeypatch: pytest.MonkeyPatch) -> daemon.RetryDaemon:
    """The daemon that Dagster's own process makes after ``install``."""
    monkeypatch.setattr("dagster._daemon.controller.EventLogConsumerDaemon", EventLogConsumerDaemon)
    daemon.install()
    made = create_daemon_of_type(daemon.RetryDaemon.daemon_type(), dg.DagsterInstance.ephemeral())
    assert isinstance(made, daemon.RetryDaemon)
    made._logger = logging.getLogger("tests")
    return made


@contextmanager
def served(folder: Path, port: int, instance: dg.DagsterInstance) -> Iterator[None]:
    """A code location, as a process."""
    (folder / "lost.py").write_text(DEFINITIONS)
    command = [sys.executable, "-m", "dagster", "api", "grpc", "--host", "127.0.0.1", "--port", str(port)]
    process = subprocess.Popen(
        [*command, "--python-file", str(folder / "lost.py"), "--location-name", "lost"],
        env={"DAGSTER_HOME": instance.root_directory, "PATH": "/usr/bin:/bin"},
    )
    try:
        wait_until("the code location", lambda: ServesGrpc(port)() is None)
        yield
    finally:
        process.kill()
        process.wait()


def failed_run(instance: dg.DagsterInstance, job: RemoteJob) -> str:
    """A run that failed without a word: no event tells of it."""
    run = instance.create_run_for_job(
        training,
        status=dg.DagsterRunStatus.FAILURE,
        remote_job_origin=job.get_remote_origin(),
        job_code_origin=job.get_python_origin(),
    )
    return run.run_id


def children(instance: dg.DagsterInstance, run: str) -> list[dg.DagsterRun]:
    return [one for one in instance.get_runs() if one.parent_run_id == run]


def said(instance: dg.DagsterInstance, run: str) -> list[str]:
    return [entry.message for entry in instance.all_logs(run)]


@pytest.mark.filterwarnings("ignore::UserWarning")  # the location cannot be loaded, as it should be
def test_a_lost_run_waits_for_its_code_location(
    tmp_path: Path,
    instance: dg.DagsterInstance,
    retries: daemon.RetryDaemon,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    port = free_port()
    target = GrpcServerTarget(host="127.0.0.1", port=port, socket=None, location_name="lost")
    with served(tmp_path, port, instance), WorkspaceProcessContext(instance, target) as context:
        location = context.create_request_context().get_code_location("lost")
        lost = failed_run(instance, location.get_repository("__repository__").get_full_job("training"))
    with WorkspaceProcessContext(instance, target) as context:  # it is away
        for _ in range(3):
            list(retries.run_iteration(context))
        assert not children(instance, lost)
        assert sum("cannot be started again yet" in text for text in said(instance, lost)) == 1
        assert tag(instance, lost) == "true"
        with served(tmp_path, port, instance):
            context.refresh_code_location("lost")
            for _ in range(2):
                list(retries.run_iteration(context))
            (again,) = children(instance, lost)
        # Away once more, and for too long.
        instance.report_run_failed(again)
        monkeypatch.setattr(daemon, "PATIENCE_SECONDS", -1)
        context.refresh_code_location("lost")
        for _ in range(3):
            list(retries.run_iteration(context))
        assert not children(instance, again.run_id)
        assert sum("is not started again" in text for text in said(instance, again.run_id)) == 1
        assert tag(instance, again.run_id) == "false"


def tag(instance: dg.DagsterInstance, run: str) -> str | None:
    found = instance.get_run_by_id(run)
    assert found is not None
    return found.tags.get(WILL_RETRY_TAG)


def test_an_error_of_the_code_is_no_reason_and_its_run_says_so_once(
    instance: dg.DagsterInstance, retries: daemon.RetryDaemon
) -> None:
    tags = {RUN_FAILURE_REASON_TAG: RunFailureReason.STEP_FAILURE.value}
    wrong = instance.create_run_for_job(training, status=dg.DagsterRunStatus.FAILURE, tags=tags).run_id
    with WorkspaceProcessContext(instance, EmptyWorkspaceTarget()) as context:
        for _ in range(2):
            list(retries.run_iteration(context))
    assert tag(instance, wrong) == "false"
    assert sum("failed due to an asset or op failure" in text for text in said(instance, wrong)) == 1
