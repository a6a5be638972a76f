"""Steps as processes of this machine, run by the executor under test; how each ends is told by a file."""

# Dagster takes a config's annotation only when it is not a string.

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import dagster as dg
from dagster._core.events import DagsterEvent
from dagster._core.execution.retries import RetryMode
from dagster._core.executor.step_delegating import CheckStepHealthResult, StepHandler, StepHandlerContext

from mlops_assets.execution import retrying
from mlops_assets.execution.retrying import RetryingExecutor
from mlops_assets.families import NodeLostError

RETRIES = 2
STARTED: list[subprocess.Popen[bytes]] = []


class Processes(StepHandler):
    """Each step a process, as on Kubernetes each is a pod."""

    def __init__(self) -> None:
        super().__init__()
        self._processes: dict[str, subprocess.Popen[bytes]] = {}

    @property
    def name(self) -> str:
        return "Processes"

    def launch_step(self, step_handler_context: StepHandlerContext) -> Iterator[DagsterEvent]:
        arguments = step_handler_context.execute_step_args
        (step,) = arguments.step_keys_to_execute or ()
        yield DagsterEvent.step_worker_starting(step_handler_context.get_step_context(step), "process", {})
        self._processes[step] = subprocess.Popen([sys.executable, "-m", *arguments.get_command_args()])
        STARTED.append(self._processes[step])

    def check_step_health(self, step_handler_context: StepHandlerContext) -> CheckStepHealthResult:
        (step,) = step_handler_context.execute_step_args.step_keys_to_execute or ()
        status = self._processes[step].poll()
        if status:
            return CheckStepHealthResult.unhealthy(f"its process ended with {status}")
        return CheckStepHealthResult.healthy()

    def terminate_step(self, step_handler_context: StepHandlerContext) -> Iterator[DagsterEvent]:
        (step,) = step_handler_context.execute_step_args.step_keys_to_execute or ()
        self._processes[step].terminate()
        return iter(())


@dg.executor(name="processes", requirements=dg.multiple_process_executor_requirements())
def processes(_context: dg.InitExecutorContext) -> RetryingExecutor:
    retrying.FIRST_WAIT_SECONDS = 0
    return RetryingExecutor(
        Processes(),
        retries=RetryMode.ENABLED,
        sleep_seconds=0.1,
        check_step_health_interval_seconds=1,
        step_retries=RETRIES,
    )


class Train(dg.Config):
    """``endings``: how the first attempts end, in order; any after them succeeds."""

    folder: str
    endings: list[str]


@dg.op
def train(config: Train) -> None:
    attempts = len(list(Path(config.folder).iterdir()))
    Path(config.folder, str(attempts)).touch()
    if attempts >= len(config.endings):
        return
    match config.endings[attempts]:
        case "killed":
            os.kill(os.getpid(), signal.SIGKILL)
        case "told to stop":
            os.kill(os.getpid(), signal.SIGTERM)
            time.sleep(30)
        case "node lost":
            raise NodeLostError("of three, two are left")
        case "wrong code":
            raise ZeroDivisionError("of the code's own making")


@dg.job(executor_def=processes)
def training() -> None:
    train()


def make_training() -> dg.JobDefinition:
    """For ``reconstructable``."""
    return training
