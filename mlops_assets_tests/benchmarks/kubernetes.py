"""What a pod for each step costs, on the stand-in for Kubernetes, beside one for each run.

Both launch runs by dagster-k8s's launcher; the peer's steps run in the run's own process. Pods are processes
of this machine: what a cluster adds (finding a node, pulling an image, the network) is not in it.
"""

from __future__ import annotations

import tempfile
import time
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING

import dagster as dg
from dagster._core.launcher import LaunchRunContext

from mlops_assets_tests.benchmarks.rows import Row
from mlops_assets_tests.kube import steps
from mlops_assets_tests.kube.daemon import daemon_of
from mlops_assets_tests.kube.looping import LOOP, is_closed, looping, serving, upload
from mlops_assets_tests.kube.standin import stop_warm_process
from mlops_assets_tests.kube.world import WARM
from mlops_assets_tests.services import (
    ObjectStore,
    PostgresServer,
    free_port,
    start_mlflow,
    start_object_store,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from mlops_assets_tests.kube.world import Platform

ROUNDS = 3


def run(rounds: int = ROUNDS) -> list[Row]:
    """Rows in seconds for a run and for a step, and of the loop's pods."""
    with tempfile.TemporaryDirectory() as name, ExitStack() as stack:
        folder = Path(name)
        store = start_object_store(folder / "s3")
        stack.callback(store.service.stop)
        postgres = PostgresServer(folder / "postgres")
        stack.callback(postgres.stop)
        services = _Services(folder, store, postgres)
        return _of_steps(services, rounds) + _of_the_loop(services)


@dataclass(frozen=True)
class _Services:
    """What platforms on stand-ins need."""

    folder: Path
    store: ObjectStore
    postgres: PostgresServer

    def platform(self, name: str, executor: str, warm: tuple[str, ...], stack: ExitStack) -> Platform:
        """A platform with a registry of its own."""
        port, bucket = free_port(), f"{name}-mlflow"
        self.store.client.create_bucket(Bucket=bucket)
        url = self.postgres.url(bucket)
        mlflow = start_mlflow(self.folder / bucket, url, self.store, bucket, port)
        stack.callback(mlflow.stop)
        address, url = f"http://127.0.0.1:{port}", self.postgres.url(name)
        return stack.enter_context(looping(self.folder / name, self.store, url, address, warm, executor))


def _of_steps(services: _Services, rounds: int) -> list[Row]:
    """What one more run and one more step take, from the launch to the end; each pod starts from nothing."""
    made = {
        "one": (steps.make_one_in_pods, steps.make_one_in_process),
        "four": (steps.make_four_in_pods, steps.make_four_in_process),
    }
    with ExitStack() as stack:
        platform = services.platform("steps", "kubernetes", (), stack)
        took: dict[str, list[list[float]]] = {name: [[], []] for name in made}
        for number in range(rounds):
            for name, makers in made.items():
                for which, make in enumerate(makers):
                    took[name][which].append(_seconds(platform, make))
            print(f"round {number + 1}: { ({name: [each[-1] for each in took[name]] for name in took}) }")
    ours, peer = ({name: median(took[name][which]) for name in took} for which in (0, 1))
    further = [(each["four"] - each["one"]) / 3 for each in (ours, peer)]
    return [
        _row("kubernetes: a run of one step", ours["one"], peer["one"], "s"),
        _row("kubernetes: each further step", further[0], further[1], "s"),
    ]


def _seconds(platform: Platform, make: Callable[[], dg.JobDefinition]) -> float:
    """From the launch of a run to its end."""
    job = dg.reconstructable(make)
    run = platform.instance.create_run_for_job(job.get_definition(), job_code_origin=job.get_python_origin())
    started = time.monotonic()
    platform.instance.run_launcher.launch_run(LaunchRunContext(dagster_run=run, workspace=None))
    ended = platform.kube.until("the run's end", lambda: _ended(platform, run.run_id), 600)
    if ended.status != dg.DagsterRunStatus.SUCCESS:
        raise RuntimeError(f"{make.__name__}: the run is {ended.status.value}")
    return time.monotonic() - started


def _ended(platform: Platform, run_id: str) -> dg.DagsterRun | None:
    run = platform.instance.get_run_by_id(run_id)
    return run if run is not None and run.is_finished else None


def _of_the_loop(services: _Services) -> list[Row]:
    """The pods from two months' objects to an endpoint that answers, which find all modules imported."""
    found = [_loop(services, executor) for executor in ("kubernetes", "in_process")]
    stop_warm_process()
    (ours, our_seconds, our_time), (peer, peer_seconds, peer_time) = found
    return [
        _row("kubernetes: the loop's pods", ours, peer, "pods"),
        _row("kubernetes: the same, all pods' time", our_seconds, peer_seconds, "s"),
        _row("kubernetes: the same, upload to endpoint", our_time, peer_time, "s"),
    ]


def _loop(services: _Services, executor: str) -> tuple[int, float, float]:
    """How many pods, their seconds together, and the seconds from the upload to the endpoint's answer."""
    with ExitStack() as stack:
        platform = services.platform(f"loop-{executor.replace('_', '-')}", executor, WARM, stack)
        daemon = stack.enter_context(daemon_of(platform.instance, LOOP, "make_definitions"))
        stack.enter_context(serving(platform, platform.home))
        started = time.monotonic()
        upload(platform, services.store)
        daemon.until("the loop is closed", lambda: is_closed(platform), 900)
        took = time.monotonic() - started
        lives = [life for life in platform.kube.lives if life.started is not None]
        platform.kube.until("all pods have ended", lambda: all(life.ended for life in lives))
        return len(lives), sum((life.ended or 0) - (life.started or 0) for life in lives), took


def _row(name: str, ours: float, peer: float, unit: str) -> Row:
    return Row(name, ours, peer, unit, ours / peer if peer else float("inf"))
