"""The values for Dagster's own chart say the same as our manifests do."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[2]
VALUES: dict[str, Any] = yaml.safe_load((ROOT / "deploy/helm/dagster-values.yaml").read_text())
DAGSTER: dict[str, Any] = yaml.safe_load((ROOT / "deploy/k8s/base/dagster/dagster.yaml").read_text())
LAUNCHER: dict[str, Any] = VALUES["runLauncher"]["config"]["k8sRunLauncher"]


def snake(value: Any) -> Any:
    """The keys as dagster.yaml has them."""
    if isinstance(value, dict):
        return {"".join(f"_{c.lower()}" if c.isupper() else c for c in k): snake(v) for k, v in value.items()}
    return [snake(one) for one in value] if isinstance(value, list) else value


def test_runs_are_launched_alike() -> None:
    ours = DAGSTER["run_launcher"]["config"]
    for key in ("resources", "labels", "imagePullPolicy", "jobNamespace"):
        assert snake(LAUNCHER[key]) == snake(ours["".join(snake({key: 0}))]), key
    assert snake(LAUNCHER["securityContext"]) == snake(ours["security_context"])
    assert [one["name"] for one in LAUNCHER["envConfigMaps"]] == ours["env_config_maps"]
    assert [one["name"] for one in LAUNCHER["envSecrets"]] == ours["env_secrets"]
    theirs = snake(LAUNCHER["runK8sConfig"])
    assert theirs["job_spec_config"] == snake(ours["run_k8s_config"]["job_spec_config"])
    assert theirs["pod_spec_config"].pop("service_account_name") == ours["service_account_name"]
    assert theirs["pod_spec_config"] == snake(ours["run_k8s_config"]["pod_spec_config"])


def test_runs_are_watched_and_queued_alike() -> None:
    daemon = VALUES["dagsterDaemon"]
    assert snake(daemon["runMonitoring"]) == DAGSTER["run_monitoring"]
    assert snake(daemon["runRetries"]) == DAGSTER["run_retries"]
    limit = daemon["runCoordinator"]["config"]["queuedRunCoordinator"]["maxConcurrentRuns"]
    assert limit == DAGSTER["concurrency"]["runs"]["max_concurrent_runs"]
    assert VALUES["concurrency"]["pools"] == DAGSTER["concurrency"]["pools"]


def test_the_chart_runs_our_image_closed_up() -> None:
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    (location,) = VALUES["dagster-user-deployments"]["deployments"]
    for part in (VALUES["dagsterWebserver"], VALUES["dagsterDaemon"], location):
        assert part["image"]["tag"] == version
        assert part["podSecurityContext"]["runAsNonRoot"] is True
        assert part["securityContext"]["readOnlyRootFilesystem"] is True
        assert "limits" in part["resources"]
        assert "mlops/role" in part["labels"], "the network policies go by it"
    assert VALUES["postgresql"]["enabled"] is False


def test_the_charts_version_is_the_locked_dagsters() -> None:
    lock = (ROOT / "requirements.lock").read_text()
    text = (ROOT / "deploy/helm/dagster-values.yaml").read_text()
    (version,) = [
        line.removeprefix("dagster==") for line in lock.splitlines() if line.startswith("dagster==")
    ]
    assert f"--version {version} " in text
