"""A training over two nodes, end to end: an Indexed Job of two pods, one of which is evicted midway."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any, cast

import dagster as dg
import numpy as np
import pytest
from dagster_k8s.container_context import K8sContainerContext
from dagster_k8s.executor import K8sStepHandler

from mlops_assets.execution import kubernetes, retrying
from mlops_assets.execution.kubernetes import StepPods
from mlops_assets_tests.kube.standin import StandIn
from mlops_assets_tests.kube.training import EPOCH, NETWORK, examples, make_training
from mlops_assets_tests.services import free_port

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

INDEX = "batch.kubernetes.io/job-completion-index"


@pytest.fixture
def kube(tmp_path: Path) -> Iterator[StandIn]:
    image = {"MLOPS_KUBERNETES_NODES_ADDRESS": f"127.0.0.1:{free_port()}"}
    with StandIn(tmp_path / "kube", image=image) as kube:
        yield kube


@pytest.fixture
def instance(kube: StandIn, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[dg.DagsterInstance]:
    """One whose steps are pods of ``kube``; they find it in the same folder."""
    monkeypatch.delenv("HOSTNAME", raising=False)  # this process is no pod
    monkeypatch.setenv("DAGSTER_STEP_DELEGATING_EXECUTOR_SLEEP_SECONDS", "0.2")
    monkeypatch.setattr(retrying, "FIRST_WAIT_SECONDS", 5)
    monkeypatch.setattr(kubernetes, "CHECK_SECONDS", 1)
    home = tmp_path / "home"
    home.mkdir()
    launcher = {
        "load_incluster_config": False,
        "kubeconfig_file": str(kube.kubeconfig),
        "job_namespace": kube.namespace,
        "job_image": "mlops-assets/platform:tests",
        "instance_config_map": "none",
        "service_account_name": "dagster-run",
        "dagster_home": str(home),
    }
    overrides = {"run_launcher": {"module": "dagster_k8s", "class": "K8sRunLauncher", "config": launcher}}
    with dg.instance_for_test(overrides, temp_dir=str(home)) as instance:
        yield instance


def test_an_eviction_of_the_second_node_costs_an_epoch_and_nothing_else(
    kube: StandIn, instance: dg.DagsterInstance
) -> None:
    def has_kept_an_epoch(_: Any) -> bool:
        return any(f"{EPOCH} 2" in kube.log(life.pod["metadata"]["name"]) for life in kube.lives)

    evicted = kube.fault("evict", {INDEX: "1"}, when=has_kept_an_epoch)
    with dg.execute_job(dg.reconstructable(make_training), instance) as result:
        assert result.success
        trained = result.output_for_node("train")
        again = result.filter_events(lambda event: event.is_step_up_for_retry)
    assert len(evicted.happened) == 1
    # Pods share this machine's ports: if the first attempt's is not free yet, there is a third.
    assert len(kube.jobs) == len(again) + 1 in (2, 3)
    assert {job["spec"]["completionMode"] for job in kube.jobs} == {"Indexed"}
    assert trained["nodes"] == 2
    assert trained["resumed_at_epoch"] >= 1
    alone = NETWORK.fit(examples(), lambda *_: None)
    for name in ("train_loss", "validation_loss"):
        curve, expected = ([row[name] for row in each] for each in (trained["history"], alone.history))
        np.testing.assert_allclose(curve, expected, rtol=1e-3)
    kube.until("all have ended", lambda: all(life.ended for life in kube.lives))
    last = kube.jobs[-1]["metadata"]["name"]
    codes = [life.exit_code for life in kube.lives if life.pod["metadata"]["labels"]["job-name"] == last]
    assert codes == [0, 0]


class OneJob(K8sStepHandler):
    """dagster-k8s's own, for a Job that is there without a run."""

    def __init__(self, kube: StandIn, name: str) -> None:
        super().__init__(
            image=None,
            container_context=K8sContainerContext(),
            load_incluster_config=False,
            kubeconfig_file=str(kube.kubeconfig),
        )
        self._kube = kube
        self._name = name

    def _get_step_key(self, *_: Any) -> str:
        return self._name

    def _get_k8s_step_job_name(self, *_: Any) -> str:
        return self._name

    def _get_container_context(self, *_: Any) -> K8sContainerContext:
        return K8sContainerContext(namespace=self._kube.namespace)


def health(kube: StandIn, name: str, script: str, *, seconds: float = 60) -> Callable[[], Any]:
    """How a step is whose Job has two pods that run ``script``, each time that it is asked for."""
    indexed = {"completionMode": "Indexed", "completions": 2, "parallelism": 2, "backoffLimit": 0}
    container = {"name": "main", "image": "shell", "command": ["sh", "-c", script]}
    template = {
        "metadata": {"labels": {"name": name}},
        "spec": {"restartPolicy": "Never", "containers": [container]},
    }
    kube.create("jobs", name, spec={**indexed, "template": template}, status={})
    steps = StepPods(OneJob(kube, name), timedelta(seconds=seconds))
    return lambda: steps.check_step_health(cast("Any", None))


def test_a_step_over_two_nodes_is_as_its_first_pod_is(kube: StandIn) -> None:
    def lives(name: str) -> list[Any]:
        found = [life for life in kube.lives if life.pod["metadata"]["labels"]["name"] == name]
        return sorted(found, key=lambda life: life.pod["metadata"]["labels"][INDEX])

    helped = health(kube, "helped", "[ $JOB_COMPLETION_INDEX = 1 ] || sleep 60")
    ending = 'trap "sleep 5; exit 1" TERM; [ $JOB_COMPLETION_INDEX = 0 ] || exit 1; sleep 60 & wait'
    failed = health(kube, "failed", ending)
    kube.fault("unschedulable", {"name": "waiting", INDEX: "1"})
    waiting = health(kube, "waiting", "sleep 60", seconds=0.1)

    def codes(name: str) -> list[int | None]:
        return [life.exit_code for life in lives(name)]

    kube.until("the second has done its part", lambda: codes("helped")[1:] == [0])
    assert all(helped().is_healthy for _ in range(3))

    kube.until("the second has failed", lambda: codes("failed")[1:] == [1])
    kube.until("the first is told to end", lambda: "deletionTimestamp" in lives("failed")[0].pod["metadata"])
    assert failed().is_healthy
    kube.until("the first has ended", lambda: lives("failed")[0].ended)
    assert kube.until("it is noticed", lambda: failed().unhealthy_reason)

    kube.until("the first runs", lambda: lives("waiting") and lives("waiting")[0].started)
    why = kube.until("it has waited long enough", lambda: waiting().unhealthy_reason, seconds=20)
    assert "pod waiting-1-" in why
    assert "Unschedulable" in why
