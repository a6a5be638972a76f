"""The stand-in does what Kubernetes does, where the platform depends on it; Kubernetes' own client asks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import kubernetes.config
import pytest
from kubernetes.client import ApiException, BatchV1Api, CoreV1Api

from mlops_assets_tests.kube.nodes import Node
from mlops_assets_tests.kube.standin import StandIn

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

NAMESPACE = "mlops"
GPU = "nvidia.com/gpu"


@pytest.fixture
def kube(tmp_path: Path) -> Iterator[StandIn]:
    with StandIn(tmp_path / "kube", nodes=[Node(gpus=1)]) as kube:
        kubernetes.config.load_kube_config(str(kube.kubeconfig))
        yield kube


@pytest.fixture
def batch(kube: StandIn) -> BatchV1Api:
    return BatchV1Api()


@pytest.fixture
def core(kube: StandIn) -> CoreV1Api:
    return CoreV1Api()


def job(name: str, script: str, **spec: Any) -> dict[str, Any]:
    """A Job whose pods run ``script`` in a shell; prefixes say what is the container's, what the pod's."""
    container = {"name": "main", "image": "shell", "command": ["sh", "-c", script]}
    container |= {key[10:]: value for key, value in spec.items() if key.startswith("container_")}
    pod = {key[4:]: value for key, value in spec.items() if key.startswith("pod_")}
    rest = {key: value for key, value in spec.items() if not key.startswith(("container_", "pod_"))}
    template = {
        "metadata": {"labels": {"name": name}},
        "spec": {"restartPolicy": "Never", "containers": [container], **pod},
    }
    return {"metadata": {"name": name}, "spec": {"backoffLimit": 0, "template": template, **rest}}


def condition(kube: StandIn, name: str) -> str | None:
    """Why a Job has ended; None while it has not."""
    (found,) = [each for each in kube.jobs if each["metadata"]["name"] == name]
    ends = [c for c in found.get("status", {}).get("conditions", []) if c["type"] in ("Complete", "Failed")]
    return ends[0]["reason"] if ends else None


def phases(kube: StandIn, name: str) -> list[str]:
    return [
        life.pod["status"]["phase"] for life in kube.lives if life.pod["metadata"]["labels"]["name"] == name
    ]


def test_a_job_runs_its_command_and_tells_how_it_ended(
    kube: StandIn, batch: BatchV1Api, core: CoreV1Api
) -> None:
    kube.config_map("settings", {"COLOUR": "green"})
    kube.secret("keys", {"KEY": "se$cret"})
    sources: list[Any] = [{"configMapRef": {"name": "settings"}}, {"secretRef": {"name": "keys"}}]
    sources += [{"secretRef": {"name": "none", "optional": True}}]
    env = [{"name": "BOTH", "value": "$(COLOUR)-$(KEY)-$$(KEY)"}]
    batch.create_namespaced_job(
        NAMESPACE, job("good", 'echo "$BOTH on $HOSTNAME"', container_envFrom=sources, container_env=env)
    )
    batch.create_namespaced_job(NAMESPACE, job("bad", "echo wrong; exit 3"))
    assert kube.until("the end", lambda: condition(kube, "good")) == "CompletionsReached"
    assert kube.until("the end", lambda: condition(kube, "bad")) == "BackoffLimitExceeded"
    (pod,) = core.list_namespaced_pod(NAMESPACE, label_selector="job-name=good").items
    assert pod.status.phase == "Succeeded"
    log = core.read_namespaced_pod_log(pod.metadata.name, NAMESPACE, _preload_content=False).data
    assert log.decode() == f"green-se$cret-$(KEY) on {pod.metadata.name}\n"
    (failed,) = core.list_namespaced_pod(NAMESPACE, label_selector="batch.kubernetes.io/job-name=bad").items
    assert failed.status.container_statuses[0].state.terminated.exit_code == 3
    status = batch.read_namespaced_job_status("bad", NAMESPACE).status
    assert (status.active, status.succeeded, status.failed) == (None, None, 1)
    assert status.conditions[-1].type == "Failed"
    with pytest.raises(ApiException, match="AlreadyExists"):
        batch.create_namespaced_job(NAMESPACE, job("good", "true"))
    with pytest.raises(ApiException, match="NotFound"):
        batch.read_namespaced_job("none", NAMESPACE)


def test_what_is_deleted_takes_its_own_with_it_unless_it_is_told_to_leave_them(
    kube: StandIn, batch: BatchV1Api, core: CoreV1Api
) -> None:
    trapping = 'trap "echo told; exit 1" TERM; sleep 60 & wait'
    for name in ("alone", "owner"):
        batch.create_namespaced_job(NAMESPACE, job(name, trapping))
    kube.until("both run", lambda: phases(kube, "alone") == phases(kube, "owner") == ["Running"])
    owner = next(pod for pod in kube.pods if pod["metadata"]["labels"]["name"] == "owner")["metadata"]
    reference = {"apiVersion": "v1", "kind": "Pod", "name": owner["name"], "uid": owner["uid"]}
    owned = job("owned", trapping)
    owned["metadata"]["ownerReferences"] = [reference]
    batch.create_namespaced_job(NAMESPACE, owned)
    kube.until("it runs", lambda: phases(kube, "owned") == ["Running"])

    batch.delete_namespaced_job("alone", NAMESPACE)  # the API's default leaves a Job's pods behind
    assert [each["metadata"]["name"] for each in kube.jobs] == ["owner", "owned"]
    core.delete_namespaced_pod(owner["name"], NAMESPACE)
    kube.until("the owned Job and its pod are gone", lambda: len(kube.jobs) == len(kube.pods) == 1)
    assert condition(kube, "owner") == "BackoffLimitExceeded"  # a pod that was deleted has failed
    (left,) = kube.pods
    assert left["metadata"]["labels"]["name"] == "alone"
    kube.delete("pods", left["metadata"]["name"])
    kube.until("it is gone", lambda: not kube.pods)
    assert {kube.log(life.pod["metadata"]["name"]) for life in kube.lives} == {"told\n"}


def test_a_pod_waits_for_a_gpu_and_a_job_ends_when_its_time_is_over(kube: StandIn, batch: BatchV1Api) -> None:
    wanting = {"limits": {GPU: "1"}}
    batch.create_namespaced_job(
        NAMESPACE, job("first", "sleep 60", container_resources=wanting, activeDeadlineSeconds=1)
    )
    kube.until("it runs", lambda: phases(kube, "first") == ["Running"])
    batch.create_namespaced_job(NAMESPACE, job("second", "true", container_resources=wanting))
    batch.create_namespaced_job(NAMESPACE, job("third", "true", pod_nodeSelector={"zone": "b"}))
    unscheduled = kube.until(
        "two cannot be scheduled",
        lambda: [
            c for pod in kube.pods for c in pod["status"].get("conditions", []) if c["status"] == "False"
        ][1:],
    )
    assert unscheduled[0]["reason"] == "Unschedulable"
    assert phases(kube, "third") == ["Pending"]
    assert kube.until("the end", lambda: condition(kube, "first")) == "DeadlineExceeded"
    assert kube.until("the end", lambda: condition(kube, "second")) == "CompletionsReached"
    assert [pod["metadata"]["labels"]["name"] for pod in kube.pods] == ["second", "third"]


def test_pods_of_an_indexed_job_have_numbers_and_one_may_speak_for_all(
    kube: StandIn, batch: BatchV1Api
) -> None:
    indexed = {"completionMode": "Indexed", "completions": 3, "parallelism": 3}
    policy = {"rules": [{"succeededIndexes": "0"}]}
    script = "echo $JOB_COMPLETION_INDEX $HOSTNAME; test $JOB_COMPLETION_INDEX = 0 || sleep 60"
    batch.create_namespaced_job(NAMESPACE, job("team", script, successPolicy=policy, **indexed))
    assert kube.until("the end", lambda: condition(kube, "team")) == "SuccessPolicy"
    said = {kube.log(life.pod["metadata"]["name"]) for life in kube.lives}
    assert said >= {"0 team-0\n"}
    kube.until("only the first is left", lambda: len(kube.pods) == 1)
    status = next(each["status"] for each in kube.jobs)
    assert (status["succeeded"], status["completedIndexes"]) == (1, "0")


def test_what_goes_wrong_on_purpose_goes_wrong(kube: StandIn, batch: BatchV1Api, core: CoreV1Api) -> None:
    for what in ("oom", "evict", "lost", "image", "unschedulable", "preempt", "uncreated"):
        kube.fault(what, {"name": what})
        batch.create_namespaced_job(NAMESPACE, job(what, "sleep 60"))
    for what in ("oom", "evict", "lost", "preempt"):
        assert kube.until(what, lambda what=what: condition(kube, what)) == "BackoffLimitExceeded"  # type: ignore[misc]
    (event,) = core.list_namespaced_event(NAMESPACE, field_selector="involvedObject.name=uncreated").items
    assert (event.type, event.reason) == ("Warning", "FailedCreate")
    statuses = {pod["metadata"]["labels"]["name"]: pod["status"] for pod in kube.pods}
    assert set(statuses) == {"oom", "evict", "image", "unschedulable"}
    ended = statuses["oom"]["containerStatuses"][0]["state"]["terminated"]
    assert (ended["reason"], ended["exitCode"]) == ("OOMKilled", 137)
    assert statuses["evict"]["reason"] == "Evicted"
    assert statuses["image"]["containerStatuses"][0]["state"]["waiting"]["reason"] == "ImagePullBackOff"
    assert statuses["unschedulable"]["phase"] == "Pending"

    throttled = kube.fail("GET", "/pods", status=429)
    with pytest.raises(ApiException, match="TooManyRequests"):
        core.list_namespaced_pod(NAMESPACE)
    reset = kube.fail("POST", "/jobs", about="ambiguous", done=True)
    with pytest.raises(Exception, match="reset by peer"):
        batch.create_namespaced_job(NAMESPACE, job("ambiguous", "true"))
    assert len(throttled.happened) == len(reset.happened) == 1
    assert kube.until("it was made", lambda: condition(kube, "ambiguous")) == "CompletionsReached"
