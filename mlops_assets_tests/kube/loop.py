"""What the code location on the stand-in defines: a small project's real assets and automation."""

import time
from collections.abc import Iterator

import dagster as dg

from mlops_assets.automation.plan import Limits
from mlops_assets.definitions import build_definitions
from mlops_assets.execution import kubernetes, retrying
from mlops_assets.families.network import Network
from mlops_assets.needs import Needs
from mlops_assets.settings import get_settings
from mlops_assets_tests.retraining import flow

GPU_NODES = {"pool": "gpus"}
PROJECT = flow.project(
    name="loop",
    families=(Network(max_epochs=40, patience=40, device="cpu"),),
    needs={"candidates/network": Needs(gpu=1, memory="3Gi", node_selector=GPU_NODES)},
)
SLEEPING = "is asleep"


@dg.asset(key=["loop", "sleeper"])
def sleeper() -> None:
    """Works until it is ended."""
    print(SLEEPING, flush=True)
    time.sleep(120)


@dg.sensor(target=sleeper, minimum_interval_seconds=1, default_status=dg.DefaultSensorStatus.RUNNING)
def asked_by_hand() -> Iterator[dg.RunRequest]:
    """A run of the sleeper for each file in the folder ``asked`` of the platform's state."""
    for asked in get_settings().state.glob("asked/*"):
        yield dg.RunRequest(run_key=asked.name, tags={"asked": asked.name})


def make_definitions() -> dg.Definitions:
    """The platform's own, for this project, with an executor that waits for less long than elsewhere."""
    retrying.FIRST_WAIT_SECONDS, kubernetes.CHECK_SECONDS = 1, 2
    built = build_definitions(get_settings(), Limits(patience=0.0, backoff=0.0), [PROJECT])
    return dg.Definitions.merge(built, dg.Definitions(assets=[sleeper], sensors=[asked_by_hand]))
