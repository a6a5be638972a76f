"""Rules for every overlay, held against what kustomize renders."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml

from mlops_assets.catalog import PROJECTS
from mlops_assets.execution.reaping import SELECTOR
from mlops_assets.platform.reap import alive, fine
from mlops_assets.settings import Settings
from mlops_assets_tests.deploy.manifests import (
    OVERLAYS,
    Manifest,
    containers,
    labels,
    named,
    of_kind,
    pod,
    render,
    selects,
    workloads,
)

CUSTOM = {"PrometheusRule", "ServiceMonitor"}
"""Kinds that come with an operator: Kubernetes has no schema of theirs."""

LAUNCHED = {"mlops/role": "run", "app.kubernetes.io/component": "run_worker"}
STEP = LAUNCHED | {"app.kubernetes.io/component": "step_worker"}
NODE = STEP | {"mlops/nodes": "several"}


@pytest.fixture(params=OVERLAYS, scope="module")
def objects(request: pytest.FixtureRequest) -> list[Manifest]:
    return render(request.param)


def test_kubernetes_takes_all_of_it(objects: list[Manifest]) -> None:
    for manifest in objects:
        if manifest["kind"] not in CUSTOM:
            kubernetes_validate.validate(manifest, "1.35", strict=True)


def test_every_image_has_a_tag_that_stays(objects: list[Manifest]) -> None:
    for workload in workloads(objects):
        for container in containers(workload):
            tag = container["image"].rpartition("/")[2].partition(":")[2]
            assert re.match(r"v?\d", tag), container["image"]


def test_every_pod_meets_the_restricted_standard(objects: list[Manifest]) -> None:
    (namespace,) = of_kind(objects, "Namespace")
    assert namespace["metadata"]["labels"]["pod-security.kubernetes.io/enforce"] == "restricted"
    for workload in workloads(objects):
        name = workload["metadata"]["name"]
        context = pod(workload)["securityContext"]
        assert context["runAsNonRoot"] is True, name
        assert context["runAsUser"] > 0, name
        assert context["seccompProfile"]["type"] == "RuntimeDefault", name
        assert not {"hostNetwork", "hostPID", "hostIPC"} & set(pod(workload)), name
        assert not any("hostPath" in volume for volume in pod(workload).get("volumes", [])), name
        for container in containers(workload):
            security = container["securityContext"]
            assert security["allowPrivilegeEscalation"] is False, name
            assert security["readOnlyRootFilesystem"] is True, name
            assert security["capabilities"] == {"drop": ["ALL"]}, name


def test_every_container_says_what_it_takes(objects: list[Manifest]) -> None:
    for workload in workloads(objects):
        for container in containers(workload):
            resources = container["resources"]
            assert {"cpu", "memory", "ephemeral-storage"} <= set(resources["requests"])
            assert {"memory", "ephemeral-storage"} <= set(resources["limits"])
        for volume in pod(workload).get("volumes", []):
            assert "sizeLimit" in volume.get("emptyDir", {"sizeLimit": ""}), volume


def test_every_server_is_probed(objects: list[Manifest]) -> None:
    for workload in of_kind(objects, "Deployment", "StatefulSet"):
        (main,) = containers(workload)
        assert "livenessProbe" in main, workload["metadata"]["name"]
        # The daemon serves nobody.
        assert "readinessProbe" in main or labels(workload)["mlops/role"] == "daemon"


def test_settings_in_config_maps_are_settings(objects: list[Manifest]) -> None:
    data = named(objects, "ConfigMap", "mlops-settings")["data"]
    values = {name.removeprefix("MLOPS_").lower(): value for name, value in data.items()}
    assert set(values) <= set(Settings.model_fields)
    Settings(_env_file=None, **values)
    for workload in workloads(objects):
        for container in containers(workload):
            for variable in container.get("env", []):
                if variable["name"].startswith("MLOPS_"):
                    assert variable["name"].removeprefix("MLOPS_").lower() in Settings.model_fields


def test_no_secret_is_in_a_manifest(objects: list[Manifest]) -> None:
    assert not of_kind(objects, "Secret")
    for config in of_kind(objects, "ConfigMap"):
        for name, value in config["data"].items():
            assert not re.search(r"(PASSWORD|SECRET|TOKEN|API_KEY)$", name), name
            assert not re.search(r"://[^/\s]+:[^/\s]+@", value), name


def test_who_needs_no_secret_of_a_database_is_given_none(objects: list[Manifest]) -> None:
    for workload in workloads(objects):
        role = labels(workload)["mlops/role"]
        given = {
            s["secretRef"]["name"]
            for c in containers(workload)
            for s in c.get("envFrom", [])
            if "secretRef" in s
        }
        assert ("mlops-mlflow-database" in given) == (role in ("mlflow", "migrate")), role
        dagster = role in ("webserver", "daemon", "code-location", "metrics", "reaper", "migrate")
        assert ("mlops-database" in given) == dagster, role
        assert ("mlops-s3" in given) <= (role not in ("metrics", "reaper", "login", "database")), role


def test_accounts_may_launch_pods_in_their_namespace_and_nothing_else(objects: list[Manifest]) -> None:
    assert not of_kind(objects, "ClusterRole", "ClusterRoleBinding")
    for role in of_kind(objects, "Role"):
        for rule in role["rules"]:
            assert "*" not in [*rule["apiGroups"], *rule["resources"], *rule["verbs"]]
            assert not {"secrets", "pods/exec", "serviceaccounts", "configmaps"} & set(rule["resources"])
    bound = {s["name"] for b in of_kind(objects, "RoleBinding") for s in b["subjects"]}
    assert bound == {"dagster", "dagster-run", "reaper"}
    mounted = {
        pod(w)["serviceAccountName"] for w in workloads(objects) if pod(w)["automountServiceAccountToken"]
    }
    assert mounted == {"dagster", "reaper"}
    made = {a["metadata"]["name"] for a in of_kind(objects, "ServiceAccount")}
    assert {pod(w)["serviceAccountName"] for w in workloads(objects)} | {"dagster-run"} <= made


def test_the_launcher_may_do_what_dagster_k8s_does(objects: list[Manifest]) -> None:
    """The calls of dagster_k8s' client (create, status, delete of Jobs; pods, their logs and events)."""
    needed = {
        ("jobs", "create"), ("jobs", "delete"), ("jobs", "list"), ("jobs/status", "get"),
        ("pods", "list"), ("pods", "get"), ("pods", "delete"), ("pods/log", "get"), ("events", "list"),
    }  # fmt: skip
    role = named(objects, "Role", "launch-pods")
    granted = {
        (resource, verb) for rule in role["rules"] for resource in rule["resources"] for verb in rule["verbs"]
    }
    assert needed <= granted


def test_the_reaper_may_do_what_it_does_and_make_nothing(objects: list[Manifest]) -> None:
    bindings = of_kind(objects, "RoleBinding")
    (binding,) = [b for b in bindings if "reaper" in {subject["name"] for subject in b["subjects"]}]
    rules = named(objects, "Role", binding["roleRef"]["name"])["rules"]
    granted = {(resource, verb) for rule in rules for resource in rule["resources"] for verb in rule["verbs"]}
    assert granted == {
        ("jobs", "list"), ("jobs", "delete"), ("pods", "list"), ("pods", "delete"), ("events", "list"),
    }  # fmt: skip
    (main,) = containers(named(objects, "Deployment", "reaper"))
    assert main["command"] == ["mlops", "reap", "--watch"]
    probes = {name: main[f"{name}Probe"]["exec"]["command"][-1] for name in ("liveness", "readiness")}
    home = Settings(_env_file=None, home=Path("/var/lib/mlops"))
    assert f" {alive(home)} " in probes["liveness"], "restarted when it does not look"
    assert f" {fine(home)} " in probes["readiness"], "not ready when its looks meet errors"


def test_a_run_that_does_not_start_is_the_reapers_before_it_is_run_monitorings(
    objects: list[Manifest],
) -> None:
    data = named(objects, "ConfigMap", "mlops-settings")["data"]
    values = {name.removeprefix("MLOPS_").lower(): value for name, value in data.items()}
    patience = Settings(_env_file=None, **values).kubernetes_start_minutes * 60
    instance = yaml.safe_load(named(objects, "ConfigMap", "dagster-instance")["data"]["dagster.yaml"])
    assert instance["run_monitoring"]["start_timeout_seconds"] >= patience + 600
    labels = instance["run_launcher"]["config"]["labels"]
    assert [f"{name}={value}" for name, value in labels.items()] == [
        one for one in SELECTOR.split(",") if one.startswith("mlops/")
    ], "the reaper goes by it"


def test_everything_is_in_one_namespace(objects: list[Manifest]) -> None:
    for manifest in objects:
        if manifest["kind"] != "Namespace":
            assert manifest["metadata"]["namespace"] == "mlops", manifest["metadata"]["name"]


def test_names_that_are_referred_to_are_there(objects: list[Manifest]) -> None:
    maps = {m["metadata"]["name"] for m in of_kind(objects, "ConfigMap")}
    for workload in workloads(objects):
        for volume in pod(workload).get("volumes", []):
            assert volume.get("configMap", {"name": None})["name"] in {None, *maps}
        for container in containers(workload):
            for source in container.get("envFrom", []):
                assert source.get("configMapRef", {"name": None})["name"] in {None, *maps}


def test_what_points_at_pods_finds_some(objects: list[Manifest]) -> None:
    services = {m["metadata"]["name"]: m for m in of_kind(objects, "Service")}
    training = services["training"]["spec"]
    assert selects({"matchLabels": training["selector"]}, NODE)
    assert not selects({"matchLabels": training["selector"]}, STEP)
    for service in services.values():
        if service["spec"] == training:
            continue  # its pods are there only while they train
        chosen = [
            w for w in workloads(objects) if selects({"matchLabels": service["spec"]["selector"]}, labels(w))
        ]
        (only,) = chosen
        ports = {port["name"] for container in containers(only) for port in container["ports"]}
        assert {port["targetPort"] for port in service["spec"]["ports"]} <= ports
    for ingress in of_kind(objects, "Ingress"):
        for rule in ingress["spec"]["rules"]:
            for path in rule["http"]["paths"]:
                assert path["backend"]["service"]["name"] in services
    for scaler in of_kind(objects, "HorizontalPodAutoscaler"):
        target = named(objects, "Deployment", scaler["spec"]["scaleTargetRef"]["name"])
        assert "replicas" not in target["spec"], "each apply would undo what the autoscaler did"
    for budget in of_kind(objects, "PodDisruptionBudget"):
        assert any(selects(budget["spec"]["selector"], labels(w)) for w in workloads(objects))


@pytest.mark.parametrize("project", PROJECTS, ids=lambda project: project.name)
def test_every_project_has_an_endpoint_that_drains(objects: list[Manifest], project: Any) -> None:
    name = f"endpoint-{project.name.replace('_', '-')}"
    endpoint = named(objects, "Deployment", name)
    (main,) = containers(endpoint)
    assert main["args"] == ["--project", project.name]
    assert main["readinessProbe"]["httpGet"]["path"] == "/health"
    assert main["livenessProbe"].get("httpGet", {}).get("path") != "/health", (
        "no champion is no reason to restart"
    )
    assert endpoint["spec"]["strategy"]["rollingUpdate"] == {"maxUnavailable": 0, "maxSurge": 1}
    assert main["lifecycle"]["preStop"]["exec"]["command"] == ["sleep", "5"]
    assert pod(endpoint)["terminationGracePeriodSeconds"] >= 5 + 20 + 15
    for kind in ("HorizontalPodAutoscaler", "PodDisruptionBudget", "Service"):
        named(objects, kind, name)
    address = named(objects, "ConfigMap", "mlops-settings")["data"]["MLOPS_ENDPOINT_ADDRESS"]
    service = named(objects, "Service", name)
    port = service["spec"]["ports"][0]["port"]
    assert (
        Settings(_env_file=None, endpoint_address=address).endpoint_url(0, project.name)
        == f"http://{name}:{port}"
    )


def test_pods_of_runs_have_the_code_locations_image(objects: list[Manifest]) -> None:
    (main,) = containers(named(objects, "Deployment", "code-location"))
    assert {"name": "DAGSTER_CURRENT_IMAGE", "value": main["image"]} in main["env"]


def test_there_is_never_a_second_daemon(objects: list[Manifest]) -> None:
    daemon = named(objects, "Deployment", "daemon")["spec"]
    assert daemon["replicas"] == 1
    assert daemon["strategy"] == {"type": "Recreate"}
