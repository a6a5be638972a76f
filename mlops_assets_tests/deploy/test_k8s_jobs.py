"""The Jobs that dagster-k8s makes of an overlay's dagster.yaml and the assets' tags, held to the rules."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, cast

import dagster as dg
import kubernetes_validate
import pytest
import yaml
from dagster._core.definitions.job_base import InMemoryJob
from dagster._core.instance.config import dagster_instance_config
from dagster._core.storage.dagster_run import DagsterRun
from dagster_k8s import K8sRunLauncher
from dagster_k8s.container_context import K8sContainerContext
from dagster_k8s.job import construct_dagster_k8s_job, get_user_defined_k8s_config
from kubernetes.client import ApiClient

from mlops_assets.definitions import build_definitions
from mlops_assets.execution.pods import CONFIG
from mlops_assets.execution.pods import tags as op_tags
from mlops_assets.needs import Needs
from mlops_assets.settings import Settings
from mlops_assets_tests.deploy.manifests import (
    OVERLAYS,
    Manifest,
    containers,
    labels,
    named,
    pod,
    render,
    selects,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

GPU = "nvidia.com/gpu"
SEVERAL = "candidates/several"
IMAGE = "mlops-assets/platform:0.1.0"
KUBECONFIG = {
    "apiVersion": "v1",
    "kind": "Config",
    "clusters": [{"name": "none", "cluster": {"server": "http://127.0.0.1:1"}}],
    "contexts": [{"name": "none", "context": {"cluster": "none", "user": "none"}}],
    "users": [{"name": "none", "user": {}}],
    "current-context": "none",
}


@pytest.fixture(params=OVERLAYS, scope="module")
def objects(request: pytest.FixtureRequest) -> list[Manifest]:
    return render(request.param)


@pytest.fixture(scope="module")
def settings(objects: list[Manifest]) -> Settings:
    data = named(objects, "ConfigMap", "mlops-settings")["data"]
    return Settings(
        _env_file=None, **{name.removeprefix("MLOPS_").lower(): value for name, value in data.items()}
    )


@pytest.fixture(scope="module")
def instance(
    objects: list[Manifest], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[dg.DagsterInstance]:
    """An instance with the run launcher of the overlay's dagster.yaml, and a cluster that is not there."""
    folder = tmp_path_factory.mktemp("instance")
    (folder / "dagster.yaml").write_text(
        named(objects, "ConfigMap", "dagster-instance")["data"]["dagster.yaml"]
    )
    (folder / "kubeconfig").write_text(yaml.safe_dump(KUBECONFIG))
    launcher, _ = dagster_instance_config(str(folder))  # raises for what Dagster does not know
    chosen = launcher["run_launcher"]
    away = {"load_incluster_config": False, "kubeconfig_file": str(folder / "kubeconfig")}
    with dg.instance_for_test(
        overrides={"run_launcher": {**chosen, "config": {**chosen["config"], **away}}}
    ) as instance:
        yield instance


@pytest.fixture(scope="module")
def ops(settings: Settings) -> dict[str, dg.OpDefinition]:
    return {
        "/".join(asset.key.path[1:]): asset.op
        for asset in build_definitions(settings).get_repository_def().assets_defs_by_key.values()
        if asset.is_executable and asset.key.path[0] != "alerts"
    }


@pytest.fixture(scope="module")
def jobs(
    instance: dg.DagsterInstance, settings: Settings, ops: dict[str, dg.OpDefinition]
) -> dict[str, Manifest]:
    """The Job of a run (""), of each step by its asset, and of a training over several nodes (SEVERAL)."""
    job_def = build_definitions(settings).get_repository_def().get_job("__ASSET_JOB")
    executor_def = job_def.executor_def
    config = cast("dict[str, Any]", executor_def.apply_config_mapping({"config": {}}).value)["config"]
    context = dg.InitExecutorContext(InMemoryJob(job_def), executor_def, config, instance)
    executor = cast("Any", executor_def.executor_creation_fn)(context)
    handler = executor._step_handler._handler
    launcher = instance.run_launcher
    assert isinstance(launcher, K8sRunLauncher)
    run = DagsterRun(job_name="x")
    made = {"": job(launcher, launcher.get_container_context_for_run(run), "run_worker")}
    several = op_tags(Needs(nodes=3, gpu=1), "flight_delays", "candidates", "network")[CONFIG]
    for name, tags in (
        {name: op.tags for name, op in ops.items()} | {SEVERAL: {CONFIG: json.dumps(several)}}
    ).items():
        # As K8sStepHandler merges them.
        merged = (
            K8sContainerContext.create_for_run(run, launcher, include_run_tags=False)
            .merge(handler._executor_container_context)
            .merge(K8sContainerContext(run_k8s_config=get_user_defined_k8s_config(tags)))
        )
        made[name] = job(launcher, merged, "step_worker")
    return made


def job(launcher: K8sRunLauncher, context: K8sContainerContext, component: str) -> Manifest:
    """What would be sent to Kubernetes."""
    made = construct_dagster_k8s_job(
        job_config=context.get_k8s_job_config(IMAGE, launcher),
        args=["dagster", "api"],
        job_name="dagster-step-1",
        component=component,
        user_defined_k8s_config=context.run_k8s_config,
    )
    return cast("Manifest", ApiClient().sanitize_for_serialization(made))


def test_kubernetes_takes_them(jobs: dict[str, Manifest]) -> None:
    for made in jobs.values():
        kubernetes_validate.validate(made, "1.35", strict=True)


def test_they_meet_the_restricted_standard(jobs: dict[str, Manifest]) -> None:
    for name, made in jobs.items():
        context = pod(made)["securityContext"]
        assert context["runAsNonRoot"] is True, name
        assert context["seccompProfile"] == {"type": "RuntimeDefault"}, name
        (container,) = containers(made)
        security = container["securityContext"]
        assert security["allowPrivilegeEscalation"] is False, name
        assert security["readOnlyRootFilesystem"] is True, name
        assert security["capabilities"] == {"drop": ["ALL"]}, name


def test_a_gpu_is_on_the_training_steps_pod_and_on_no_other(
    jobs: dict[str, Manifest], settings: Settings
) -> None:
    asking = {name for name, made in jobs.items() if GPU in containers(made)[0]["resources"]["limits"]}
    assert asking == ({"candidates/network", SEVERAL} if settings.kubernetes_gpus else {SEVERAL})
    images = {name for name, made in jobs.items() if containers(made)[0]["image"] != IMAGE}
    assert images == asking - {SEVERAL}
    tolerating = {name for name, made in jobs.items() if pod(made).get("tolerations")}
    assert tolerating == asking - {SEVERAL}


def test_a_training_over_several_nodes_is_a_job_with_a_pod_on_each_that_ends_with_the_first(
    jobs: dict[str, Manifest], objects: list[Manifest], settings: Settings
) -> None:
    made = jobs[SEVERAL]
    assert {name for name, made in jobs.items() if "completionMode" in made["spec"]} == {SEVERAL}
    assert made["spec"]["completionMode"] == "Indexed"
    assert made["spec"]["completions"] == made["spec"]["parallelism"] == 3
    assert made["spec"]["successPolicy"] == {"rules": [{"succeededIndexes": "0"}]}
    (container,) = containers(made)
    assert container["command"] == ["python", "-m", "mlops_assets.execution.node", "3"]
    assert container["args"] == ["dagster", "api"]
    assert container["resources"]["limits"][GPU] == "1"
    # The first pod is <job>-0, and the headless Service gives its pods their names.
    service = named(objects, "Service", pod(made)["subdomain"])["spec"]
    assert service["clusterIP"] == "None"
    assert service["publishNotReadyAddresses"] is True
    assert selects({"matchLabels": service["selector"]}, labels(made))
    host, _, port = settings.kubernetes_nodes_address.format(job="j").rpartition(":")
    assert host == f"j-0.{pod(made)['subdomain']}"
    assert port.isdecimal()


def test_each_step_has_its_own_resources_and_the_runs_pod_few(jobs: dict[str, Manifest]) -> None:
    requested = {name: containers(made)[0]["resources"]["requests"] for name, made in jobs.items()}
    assert requested[""]["memory"] == "512Mi"
    assert requested["raw/flights"] == {"cpu": "500m", "memory": "1Gi", "ephemeral-storage": "2Gi"}
    assert requested["candidates/boosting"]["memory"] == "4Gi"


def test_only_a_runs_pod_has_access_to_kubernetes(jobs: dict[str, Manifest]) -> None:
    for name, made in jobs.items():
        spec = pod(made)
        assert spec["automountServiceAccountToken"] is (name == "")
        assert spec["serviceAccountName"] == ("dagster-step" if name else "dagster-run")


def test_they_are_bounded_in_time_and_not_started_again_by_kubernetes(jobs: dict[str, Manifest]) -> None:
    for name, made in jobs.items():
        assert made["spec"]["backoffLimit"] == 0
        assert made["spec"]["ttlSecondsAfterFinished"] == 3600
        assert pod(made)["restartPolicy"] == "Never"
        assert ("activeDeadlineSeconds" in made["spec"]) == bool(name), name


def test_they_are_given_what_the_code_location_has(
    jobs: dict[str, Manifest], objects: list[Manifest]
) -> None:
    def given(container: Manifest) -> set[str]:
        kinds = ("configMapRef", "secretRef")
        return {source[kind]["name"] for source in container["envFrom"] for kind in kinds if kind in source}

    (location,) = containers(named(objects, "Deployment", "code-location"))
    for made in jobs.values():
        (container,) = containers(made)
        assert given(container) == given(location)
        writable = {mount["mountPath"] for mount in container["volumeMounts"]}
        assert {"/tmp", "/var/lib/mlops", "/opt/dagster"} <= writable  # noqa: S108 - a pod's own


def test_the_network_policies_know_their_labels(jobs: dict[str, Manifest]) -> None:
    for name, made in jobs.items():
        these = labels(made)
        assert these["mlops/role"] == "run"
        assert these["app.kubernetes.io/component"] == ("step_worker" if name else "run_worker")


def test_who_starts_a_run_cannot_give_its_pod_more_by_tags(instance: dg.DagsterInstance) -> None:
    launcher = cast("K8sRunLauncher", instance.run_launcher)
    wanted = {"pod_spec_config": {"host_network": True, "service_account_name": "dagster"}}
    run = DagsterRun(job_name="x", tags={CONFIG: json.dumps(wanted)})
    with pytest.raises(Exception, match=r"host_network"):
        launcher.get_container_context_for_run(run)
