"""What happens to pods happens to no run: steps go on by themselves, and the run's log says what to do."""

from __future__ import annotations

import os
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import dagster as dg
import pytest
from dagster_k8s.client import DagsterKubernetesClient

from mlops_assets.execution import kubernetes, retrying, steady
from mlops_assets_tests.kube.standin import StandIn
from mlops_assets_tests.kube.steps import QUICK, REFUSED, SLEEPERS, WORKING, make_disturbed, make_refused
from mlops_assets_tests.kube.world import IMAGE, Platform, platform_on
from mlops_assets_tests.lifecycle.world import world_settings

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from mlops_assets_tests.services import ObjectStore, PostgresServer

AT_ALL = 99
PATIENCE = timedelta(seconds=6)


@pytest.fixture(scope="module")
def platform(
    tmp_path_factory: pytest.TempPathFactory,
    postgres_server: PostgresServer,
    object_store: ObjectStore,
    warm: tuple[str, ...],
) -> Iterator[Platform]:
    """The platform, with an executor that waits for nothing as long as it does elsewhere."""
    folder = tmp_path_factory.mktemp("disturbed")
    name = f"disturbed-{os.urandom(4).hex()}"
    object_store.client.create_bucket(Bucket=name)
    found = world_settings(folder / "home", object_store, (name, name), postgres_server.url(name), "")
    settings = found.model_copy(
        update={"executor": "kubernetes", "kubernetes_start_minutes": PATIENCE / timedelta(minutes=1)}
    )
    with (
        StandIn(folder / "kube", warm=warm) as kube,
        platform_on(kube, settings) as platform,
        pytest.MonkeyPatch.context() as patch,
    ):
        patch.setenv("DAGSTER_STEP_DELEGATING_EXECUTOR_SLEEP_SECONDS", "0.2")
        patch.setattr(retrying, "FIRST_WAIT_SECONDS", 1)
        patch.setattr(kubernetes, "CHECK_SECONDS", 1)
        patch.setattr(steady, "WAIT_SECONDS", 0.1)
        for ask in ("get_job_status", "create_namespaced_job_with_retries"):
            patch.setattr(getattr(DagsterKubernetesClient, ask), "__defaults__", (0.2,))
        yield platform


class Told:
    """What a run's log tells of each step."""

    def __init__(self, platform: Platform, make: Callable[[], dg.JobDefinition]) -> None:
        with dg.execute_job(dg.reconstructable(make), platform.instance) as result:
            self.succeeded = result.success
        self.run_id = result.run_id
        records = platform.instance.get_records_for_run(result.run_id, limit=10_000).records
        self.events = [r.event_log_entry.dagster_event for r in records if r.event_log_entry.dagster_event]

    def of(self, step: str, kind: dg.DagsterEventType) -> list[Any]:
        return [e for e in self.events if e.step_key == step and e.event_type == kind]

    def why_again(self, step: str) -> list[str]:
        """The error of each attempt that was tried again."""
        again = self.of(step, dg.DagsterEventType.STEP_UP_FOR_RETRY)
        return [event.step_retry_data.error.to_string() for event in again]

    def ended_well(self, step: str) -> bool:
        return len(self.of(step, dg.DagsterEventType.STEP_SUCCESS)) == 1


@pytest.fixture(scope="module")
def disturbed(platform: Platform) -> Told:
    """A run to whose pods everything happens that can, once each."""
    kube = platform.kube
    working: dict[str, Any] = {"when": lambda pod: WORKING in kube.log(pod["metadata"]["name"])}
    for what, step in (("evict", "evicted"), ("preempt", "preempted"), ("oom", "killed"), ("lost", "lost")):
        kube.fault(what, {"dagster/op": step}, **working)  # type: ignore[arg-type]
    for what, step in (("image", "no_image"), ("unschedulable", "no_node")):
        kube.fault(what, {"dagster/op": step})  # type: ignore[arg-type]
    return Told(platform, make_disturbed)


@pytest.mark.parametrize(
    ("step", "says"),
    [
        ("evicted", ("TerminationByKubelet: The node was low on", "raise Needs.memory")),
        ("preempted", ("reempted", "What to do: nothing, if seldom")),  # by its pod, or by that it is gone
        ("killed", ("status 137 (OOMKilled)", "Needs.memory in the project")),
        ("lost", ("is gone", "whether nodes are out of order")),
        ("late", ("DeadlineExceeded", "Needs.time_limit in the project")),
        ("no_image", ("ImagePullBackOff", IMAGE, "check the image's name")),
        ("no_node", ("Unschedulable", "Insufficient memory", "add nodes, or ask for less")),
    ],
)
def test_a_step_whose_pod_is_disturbed_is_tried_again(
    disturbed: Told, step: str, says: tuple[str, ...]
) -> None:
    (why,) = disturbed.why_again(step)
    assert [part for part in says if part not in why] == []
    assert disturbed.ended_well(step)


def test_other_steps_go_on_and_an_error_of_the_code_is_not_tried_again(disturbed: Told) -> None:
    assert disturbed.why_again("wrong") == []
    assert len(disturbed.of("wrong", dg.DagsterEventType.STEP_FAILURE)) == 1
    assert disturbed.why_again("undisturbed") == []
    assert {step for step in SLEEPERS + QUICK if not disturbed.ended_well(step)} == {"wrong"}
    assert not disturbed.succeeded


def test_no_pod_is_left_running(platform: Platform, disturbed: Told) -> None:
    platform.kube.until(
        "all have ended", lambda: all(life.ended for life in platform.kube.lives if life.started)
    )
    assert {pod["status"]["phase"] for pod in platform.kube.pods} <= {"Succeeded", "Failed"}


@pytest.fixture(scope="module")
def refused(platform: Platform) -> Told:
    """A run with whose requests everything goes wrong that can."""
    fail = platform.kube.fail
    fail("POST", "/jobs", about='"there"', status=409, reason="AlreadyExists", done=True)
    fail("POST", "/jobs", about='"throttled"', status=429, retry_after=1, times=2)
    fail("POST", "/jobs", about='"in_trouble"', status=500, times=6)
    fail("POST", "/jobs", about='"reset"', done=True)
    quota = "exceeded quota: compute, requested: limits.memory=2Gi"
    fail("POST", "/jobs", about='"over_quota"', status=403, message=quota, times=2)
    fail("POST", "/jobs", about='"forbidden"', status=403, message="cannot create resource", times=AT_ALL)
    for status in (429, 500, None):
        fail("GET", "/status", status=status, times=4)
        fail("GET", "/pods", status=status, times=4)
    return Told(platform, make_refused)


def test_what_the_api_refuses_for_now_is_done_later(refused: Told) -> None:
    for step in REFUSED:
        assert refused.ended_well(step) == (step != "forbidden"), step
        assert step == "forbidden" or refused.why_again(step) == []


def test_what_the_api_refuses_for_good_fails_its_step_alone_and_says_what_to_do(refused: Told) -> None:
    (failed,) = refused.of("forbidden", dg.DagsterEventType.STEP_FAILURE)
    why = failed.step_failure_data.error.message
    assert "403: Forbidden: cannot create resource" in why
    assert "the role launch-pods" in why
    assert len(refused.why_again("forbidden")) == 2
