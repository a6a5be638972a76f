"""A training over two nodes, end to end: an Indexed Job of two pods, one of which is evicted midway."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import dagster as dg
import numpy as np
import pytest

from mlops_assets.execution import retrying
from mlops_assets_tests.kube.standin import StandIn
from mlops_assets_tests.kube.training import EPOCH, NETWORK, examples, make_training
from mlops_assets_tests.services import free_port

if TYPE_CHECKING:
    from collections.abc import Iterator
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
    monkeypatch.setattr(retrying, "FIRST_WAIT_SECONDS", 2)
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
    def first_has_done_an_epoch(_: Any) -> bool:
        return any(EPOCH in kube.log(life.pod["metadata"]["name"]) for life in kube.lives)

    evicted = kube.fault("evict", {INDEX: "1"}, when=first_has_done_an_epoch)
    with dg.execute_job(dg.reconstructable(make_training), instance) as result:
        assert result.success
        trained = result.output_for_node("train")
        again = result.filter_events(lambda event: event.is_step_up_for_retry)
    assert len(evicted.happened) == len(again) == 1
    assert len(kube.jobs) == 2
    assert {job["spec"]["completionMode"] for job in kube.jobs} == {"Indexed"}
    assert trained["nodes"] == 2
    assert trained["resumed_at_epoch"] >= 1
    alone = NETWORK.fit(examples(), lambda *_: None)
    for name in ("train_loss", "validation_loss"):
        curves = [[row[name] for row in history] for history in (trained["history"], alone.history)]
        np.testing.assert_allclose(*curves, rtol=1e-3)
    kube.until("all have ended", lambda: all(life.ended for life in kube.lives))
    last = kube.jobs[-1]["metadata"]["name"]
    codes = [life.exit_code for life in kube.lives if life.pod["metadata"]["labels"]["job-name"] == last]
    assert codes == [0, 0]
