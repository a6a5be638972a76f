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
