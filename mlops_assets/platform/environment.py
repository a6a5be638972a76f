"""The environments of the services, each given what it needs and no more, and of a user's shell."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from mlops_assets.platform.orphans import MARKER
from mlops_assets.settings import ambient_aws_environment, inherited_environment

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mlops_assets.settings import Settings

_QUIET = {
    "PYTHONUNBUFFERED": "1",
    "DO_NOT_TRACK": "1",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "DAGSTER_DISABLE_TELEMETRY": "1",
    "LITSERVE_DISABLE_TELEMETRY": "1",
    "GIT_PYTHON_REFRESH": "quiet",
}
_THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMEXPR_NUM_THREADS")


def service_environment(  # noqa: PLR0913 - each says one thing a service may be given
    settings: Settings,
    name: str,
    *,
    store: bool = False,
    secrets: bool = True,
    threads: int = 1,
    extra: Mapping[str, str] | None = None,
) -> dict[str, str]:
    """The whole environment of service ``name``.

    ``store``: it talks to the object store with the AWS variables. ``secrets``: it gets the
    settings with credentials of the store and the databases too.
    """
    own = settings.environment()
    if not secrets:
        own = {key: value for key, value in own.items() if "S3_" not in key and "DATABASE" not in key}
    return {
        **inherited_environment(),
        **_QUIET,
        **dict.fromkeys(_THREADS, str(threads)),
        **own,
        **(aws_environment(settings) if store else {}),
        **(extra or {}),
        MARKER: f"{settings.state}:{name}",
    }


def cores() -> int:
    """CPU cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else (os.cpu_count() or 1)


def aws_environment(settings: Settings) -> dict[str, str]:
    """What boto3 needs to reach the platform's object store, whichever that is."""
    key, secret = settings.s3_credentials
    keys = {"AWS_ACCESS_KEY_ID": key, "AWS_SECRET_ACCESS_KEY": secret}
    return {
        **({} if key else ambient_aws_environment()),
        **(keys if key else {}),
        "AWS_DEFAULT_REGION": settings.s3_region,
        "AWS_ENDPOINT_URL_S3": settings.s3_url,
        "MLFLOW_S3_ENDPOINT_URL": settings.s3_url,
    }


def shell_environment(settings: Settings) -> dict[str, str]:
    """What other tools (aws, mlflow, dagster, psql) need in a user's shell to meet the platform."""
    return {
        "DAGSTER_HOME": str(settings.dagster_home),
        "MLFLOW_TRACKING_URI": settings.mlflow_url,
        **{key: value for key, value in aws_environment(settings).items() if not key.startswith("MLFLOW")},
        "MLOPS_HOME": str(settings.state),
    }
