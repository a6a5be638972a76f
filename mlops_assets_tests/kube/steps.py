"""A run of many small steps, each in a pod of its own, by the platform's own executor."""

# Dagster takes a context's annotation only when it is not a string.

import json
import time
from typing import Any

import dagster as dg

from mlops_assets.execution.kubernetes import build_kubernetes_executor
from mlops_assets.execution.pods import CONFIG, tags
from mlops_assets.needs import Needs
from mlops_assets.settings import get_settings

WORKING = "is at work"
SLEEPERS = ("evicted", "preempted", "killed", "lost", "late")
"""They work until they are ended, at their first attempt; all others are done at once."""
QUICK = ("undisturbed", "wrong", "no_image", "no_node")
REFUSED = ("there", "throttled", "in_trouble", "reset", "over_quota", "forbidden", "unwatched")
"""Those that have trouble with the API."""


def _op(name: str) -> dg.OpDefinition:
    config: dict[str, Any] = tags(Needs(), "toy", "features", name)[CONFIG]
    if name == "late":
        config["job_spec_config"]["active_deadline_seconds"] = 8

    @dg.op(name=name, tags={CONFIG: json.dumps(config)})
    def step(context: dg.OpExecutionContext) -> None:
        if name == "wrong":
            raise ZeroDivisionError("of the code's own making")
        if name in SLEEPERS and context.retry_number == 0:
            print(WORKING, flush=True)
            time.sleep(60)

    return step


def _job(names: tuple[str, ...]) -> dg.JobDefinition:
    @dg.job(executor_def=build_kubernetes_executor(get_settings()))
    def steps() -> None:
        for name in names:
            _op(name)()

    return steps


def make_disturbed() -> dg.JobDefinition:
    """For ``reconstructable``: steps to whose pods something happens."""
    return _job(SLEEPERS + QUICK)


def make_refused() -> dg.JobDefinition:
    """For ``reconstructable``: steps with which the API has trouble."""
    return _job(REFUSED)


def make_one_in_process() -> dg.JobDefinition:
    """For ``reconstructable``, as the rest: one step that does nothing, in the run's own process."""
    return _chain(1, dg.in_process_executor)


def make_four_in_process() -> dg.JobDefinition:
    """Four steps that do nothing, one after the other, in the run's own process."""
    return _chain(4, dg.in_process_executor)


def make_one_in_pods() -> dg.JobDefinition:
    """One step that does nothing, in a pod of its own."""
    return _chain(1, build_kubernetes_executor(get_settings()))


def make_four_in_pods() -> dg.JobDefinition:
    """Four steps that do nothing, one after the other, each in a pod of its own."""
    return _chain(4, build_kubernetes_executor(get_settings()))


def _chain(length: int, executor: dg.ExecutorDefinition) -> dg.JobDefinition:
    @dg.op(ins={"before": dg.In(dg.Nothing)}, out=dg.Out(dg.Nothing))
    def step() -> None:
        """Nothing."""

    @dg.job(executor_def=executor)
    def chain() -> None:
        last = step.alias("first")()
        for number in range(1, length):
            last = step.alias(f"step_{number}")(before=last)

    return chain
