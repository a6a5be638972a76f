"""Runs as Dagster has them, and the Jobs and pods of their work on the stand-in."""

from __future__ import annotations

import hashlib
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, cast

import dagster as dg
from dagster._core.launcher import LaunchRunContext
from dagster._core.test_utils import create_run_for_test
from dagster_k8s.job import construct_dagster_k8s_job

from mlops_assets.execution.kubernetes import build_kubernetes_executor
from mlops_assets.settings import Settings
from mlops_assets_tests.kube.standin import ROOT

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from dagster._core.storage.dagster_run import DagsterRunStatus
    from dagster_k8s import K8sRunLauncher

    from mlops_assets_tests.kube.standin import StandIn

REFUSED = 'Error creating: pods "x" is forbidden: exceeded quota: pods'


def launcher_config(kubeconfig: Path) -> dict[str, Any]:
    return {
        "module": "dagster_k8s",
        "class": "K8sRunLauncher",
        "config": {
            "load_incluster_config": False,
            "kubeconfig_file": str(kubeconfig),
            "job_namespace": "mlops",
            "job_image": "platform",
            "service_account_name": "dagster-run",
            "instance_config_map": "dagster-instance",
            "dagster_home": str(ROOT),
            "labels": {"mlops/role": "run"},
            "run_k8s_config": {"job_spec_config": {"backoff_limit": 0}},
        },
    }


@contextmanager
def instance_on(kube: StandIn, database_url: str) -> Iterator[dg.DagsterInstance]:
    overrides = {
        "storage": {"postgres": {"postgres_url": database_url}},
        "run_launcher": launcher_config(kube.kubeconfig),
        "run_retries": {"enabled": True, "max_retries": 3, "retry_on_asset_or_op_failure": False},
    }
    with dg.instance_for_test(overrides=overrides) as made:
        yield made


def a_run(instance: dg.DagsterInstance, name: str, status: DagsterRunStatus, **tags: str) -> dg.DagsterRun:
    origin = dg.reconstructable(refused).get_python_origin()
    return create_run_for_test(instance, name, status=status, tags=tags, job_code_origin=origin)


def launch(instance: dg.DagsterInstance, run: dg.DagsterRun) -> str:
    """Have the run launcher make its Job; the Job's name."""
    instance.run_launcher.launch_run(LaunchRunContext(run, None))
    return f"dagster-run-{run.run_id}"


def at_work(kube: StandIn, instance: dg.DagsterInstance, run: dg.DagsterRun, step: str = "") -> str:
    """A Job as dagster-k8s makes it for the run, or a step, whose pod runs until it is ended; its name."""
    hashed = hashlib.md5(f"{run.run_id}{step}".encode(), usedforsecurity=False).hexdigest()
    name = f"dagster-step-{hashed}" if step else f"dagster-run-{run.run_id}"
    launcher = cast("K8sRunLauncher", instance.run_launcher)
    context = launcher.get_container_context_for_run(run)
    job = construct_dagster_k8s_job(
        job_config=context.get_k8s_job_config("platform", launcher),
        args=["sleep", "600"],
        job_name=name,
        component="step_worker" if step else "run_worker",
        user_defined_k8s_config=context.run_k8s_config,
        labels={"dagster/job": run.job_name, "dagster/run-id": run.run_id},
    )
    launcher._api_client.create_namespaced_job_with_retries(job, "mlops")
    kube.until(f"{name} is at work", lambda: phase_of(kube, name) == "Running")
    return name


def phase_of(kube: StandIn, job: str) -> str | None:
    found = [pod["status"]["phase"] for pod in kube.find("pods", f"job-name={job}")]
    return found[0] if found else None


def complain(kube: StandIn, job: str) -> None:
    """The event of a Job whose pods a quota refuses."""
    kube.create(
        "events",
        f"{job[:50]}.{len(kube.find('events'))}",
        involvedObject={"kind": "Job", "name": job},
        type="Warning",
        reason="FailedCreate",
        message=REFUSED,
    )


def refused() -> dg.JobDefinition:
    """A job whose step's Job makes no pod: as if a quota refused it."""

    @dg.op(tags={"dagster-k8s/config": {"job_spec_config": {"parallelism": 0}}})
    def train() -> None: ...

    settings = Settings(_env_file=None, executor="kubernetes", kubernetes_start_minutes=0.01, step_retries=1)

    @dg.job(executor_def=build_kubernetes_executor(settings))
    def training() -> None:
        train()

    return training
