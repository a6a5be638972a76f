"""The platform on the stand-in: Dagster's instance as it is deployed, in real PostgreSQL and S3."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import dagster as dg
import pytest
import yaml

from mlops_assets.settings import get_settings
from mlops_assets_tests.kube.standin import ROOT, StandIn

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from mlops_assets.settings import Settings

IMAGE = "mlops-assets/platform:tests"
WARM = (
    "dagster_k8s",
    "dagster_postgres",
    "dagster_mlflow",
    "dagster._cli",
    "dagster._cli.api",
    "mlops_assets.execution.kubernetes",
    "mlops_assets.lifecycle.project_assets",
    "mlops_assets_tests.kube.containers",
    "mlops_assets_tests.retraining.flow",
    "pyarrow.parquet",
    "mlflow.data.pandas_dataset",
    "matplotlib.backends.backend_agg",
    "onnx",
    "onnxruntime",
    "torch._dynamo",
)
"""What pods find imported. Nothing of it reads settings when it is."""
_SECRET = {
    "MLOPS_DATABASE_URL": "mlops-database",
    "MLOPS_S3_ACCESS_KEY_ID": "mlops-s3",
    "MLOPS_S3_SECRET_ACCESS_KEY": "mlops-s3",
}


@dataclass(frozen=True)
class Platform:
    """Dagster's instance and the cluster that its runs and steps go to."""

    kube: StandIn
    settings: Settings
    home: Path
    instance: dg.DagsterInstance


@contextmanager
def platform_on(kube: StandIn, settings: Settings, **more: str) -> Iterator[Platform]:
    """The platform with ``settings`` on ``kube``, also as this process's own; ``more`` is what pods find set.

    The instance is configured by the file that is deployed, but for where the cluster is.
    """
    home = settings.state
    home.mkdir(parents=True, exist_ok=True)
    (home / "dagster.yaml").write_text(yaml.safe_dump(_instance_config(kube, home)))
    _configure(kube, settings.environment() | more)
    with pytest.MonkeyPatch.context() as patch:
        for name, value in (settings.environment() | more).items():
            patch.setenv(name, value)
        patch.delenv("HOSTNAME", raising=False)  # this process is no pod
        get_settings.cache_clear()
        with dg.DagsterInstance.from_config(str(home)) as instance:
            yield Platform(kube, settings, home, instance)
    get_settings.cache_clear()


def _instance_config(kube: StandIn, home: Path) -> dict[str, Any]:
    config: dict[str, Any] = yaml.safe_load(
        (ROOT / "deploy" / "k8s" / "base" / "dagster" / "dagster.yaml").read_text()
    )
    config["run_launcher"]["config"] |= {
        "load_incluster_config": False,
        "kubeconfig_file": str(kube.kubeconfig),
        "job_namespace": kube.namespace,
        "job_image": IMAGE,
        "dagster_home": str(home),
    }
    return config


def _configure(kube: StandIn, environment: dict[str, str]) -> None:
    """The ConfigMap and the Secrets that the deployed instance names."""
    data: dict[str, dict[str, str]] = {}
    for name, value in environment.items():
        data.setdefault(_SECRET.get(name, "mlops-settings"), {})[name] = value
    for name, values in data.items():
        if name == "mlops-settings":
            kube.config_map(name, values)
        else:
            kube.secret(name, values)
