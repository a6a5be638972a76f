"""Every setting of the platform. This module is the only reader of the environment.

A part of the platform is embedded (started by ``mlops up``) as long as the setting that names an
outside one is unset; what an embedded part needs is derived here from ports, ``home`` and the
generated credentials, so that every process comes to the same answer.
"""

from __future__ import annotations

import hashlib
import json
import os
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from pydantic import Field, SecretStr, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

if TYPE_CHECKING:
    from collections.abc import Mapping

_BARE_POSTGRES = {"postgres", "postgresql"}
_LONGEST_SOCKET_FOLDER = 75
_PLACEHOLDERS = {"changeme", "change-me", "changethis", "password", "secret", "example", "todo", "minioadmin"}


class Settings(BaseSettings):
    """Settings from ``MLOPS_*`` environment variables and ``.env`` (see ``.env.example``).

    Raises ``pydantic.ValidationError`` for a wrong type, an unknown choice or a placeholder secret.
    """

    model_config = SettingsConfigDict(
        env_prefix="MLOPS_", env_file=".env", env_ignore_empty=True, extra="ignore", frozen=True
    )

    home: Path = Path(".mlops")

    s3_endpoint_url: str | None = None
    s3_access_key_id: str | None = None
    s3_secret_access_key: SecretStr | None = None
    s3_region: str = "us-east-1"
    s3_port: int = Field(default=8333, ge=1, le=65535)
    raw_bucket: str = "raw"
    lake_bucket: str = "lake"

    database_url: SecretStr | None = None
    mlflow_database_url: SecretStr | None = None

    mlflow_uri: str | None = None
    mlflow_port: int = Field(default=5000, ge=1, le=65535)

    dagster_port: int = Field(default=3000, ge=1, le=65535)
    code_location_port: int = Field(default=4266, ge=1, le=65535)
    executor: Literal["in_process", "multiprocess", "kubernetes"] = "in_process"
    kubernetes_gpus: bool = True
    kubernetes_gpu_image: str | None = None
    kubernetes_step_account: str | None = None
    kubernetes_start_minutes: float = Field(default=15.0, gt=0)
    kubernetes_reap_seconds: float = Field(default=30.0, gt=0)
    kubernetes_keep_minutes: float = Field(default=120.0, gt=0)
    kubernetes_nodes_address: str = "{job}-0.training:29399"
    step_retries: int = Field(default=2, ge=0)
    pool_gpu: int | None = Field(default=None, ge=1)
    pool_s3: int | None = Field(default=None, ge=1)

    metrics_port: int = Field(default=9464, ge=1, le=65535)

    listen_host: str = "127.0.0.1"
    endpoint_host: str = "127.0.0.1"
    endpoint_address: str | None = None
    endpoint_base_port: int = Field(default=8000, ge=1, le=65535)
    endpoint_api_key: SecretStr | None = None
    endpoint_poll_seconds: float = Field(default=0.5, gt=0)

    prediction_log: Literal["on", "off"] = "on"
    prediction_log_max_bytes: int = Field(default=2 * 1024**3, ge=256 * 1024)
    prediction_log_at_bound: Literal["refuse", "drop_oldest", "unlogged"] = "refuse"
    prediction_log_segment_bytes: int = Field(default=16 * 1024**2, ge=4096, le=256 * 1024**2)
    prediction_log_segment_seconds: float = Field(default=5.0, gt=0, le=600)
    prediction_log_sync: bool = False

    sensor_interval_seconds: int = Field(default=1, ge=1)
    automation_interval_seconds: int = Field(default=1, ge=1)
    watch_interval_seconds: int = Field(default=10, ge=1)

    start_timeout_seconds: float = Field(default=180.0, gt=0)

    alert_interval_seconds: int = Field(default=10, ge=1)
    alert_timeout_seconds: float = Field(default=5.0, gt=0, le=10)
    alert_dagster_url: str | None = None
    alert_alertmanager_url: str | None = None
    alert_slack_url: str = "https://slack.com/api/"
    alert_slack_token: SecretStr | None = None
    alert_slack_channel: str | None = None
    alert_webhook_url: SecretStr | None = None
    alert_webhook_secret: SecretStr | None = None
    alert_smtp_host: str | None = None
    alert_smtp_port: int = Field(default=587, ge=1, le=65535)
    alert_smtp_starttls: bool = True
    alert_smtp_user: str | None = None
    alert_smtp_password: SecretStr | None = None
    alert_email_from: str | None = None
    alert_email_to: str | None = None

    @field_validator(
        "s3_secret_access_key",
        "database_url",
        "mlflow_database_url",
        "endpoint_api_key",
        "alert_slack_token",
        "alert_webhook_secret",
        "alert_smtp_password",
    )
    @classmethod
    def _refuse_placeholders(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None:
            password = value.get_secret_value().split("@")[0].rsplit(":", 1)[-1]
            if password.lower() in _PLACEHOLDERS:
                raise ValueError("is a placeholder, not a secret: generate one (openssl rand -hex 24)")
        return value

    @property
    def state(self) -> Path:
        """The absolute folder of all state of the embedded platform."""
        return self.home.expanduser().resolve()

    @property
    def secrets_file(self) -> Path:
        """JSON, mode 0600, written at the first ``mlops up``: the embedded object store's credentials."""
        return self.state / "secrets.json"

    @property
    def _generated(self) -> dict[str, str]:
        return dict(json.loads(self.secrets_file.read_text())) if self.secrets_file.exists() else {}

    @property
    def dagster_home(self) -> Path:
        """Dagster's folder for the embedded platform: a link to ``dagster.yaml`` and local scratch."""
        return self.state / "dagster"

    @property
    def warm_file(self) -> Path:
        """Written once the server that runs are forked from has imported everything: its process id."""
        return self.dagster_home / "warm"

    def environment(self) -> dict[str, str]:
        """These settings as the environment of a child process, which then comes to equal ones."""
        plain = {name: getattr(self, name) for name in type(self).model_fields} | {"home": self.state}
        return {
            f"MLOPS_{name.upper()}": str(value.get_secret_value() if isinstance(value, SecretStr) else value)
            for name, value in plain.items()
            if value is not None
        }

    @property
    def s3_url(self) -> str:
        return self.s3_endpoint_url or f"http://127.0.0.1:{self.s3_port}"

    @property
    def s3_credentials(self) -> tuple[str, str]:
        """Access key id and secret key; empty strings where neither set nor generated yet."""
        if self.s3_access_key_id and self.s3_secret_access_key:
            return self.s3_access_key_id, self.s3_secret_access_key.get_secret_value()
        if self.s3_endpoint_url is not None:
            return "", ""  # an outside store without keys: the generated ones are not for it
        return self._generated.get("s3_access_key_id", ""), self._generated.get("s3_secret_access_key", "")

    @property
    def dagster_database(self) -> str:
        """SQLAlchemy URL (psycopg2) of the database with Dagster's storage and the platform's tables."""
        return self._database(self.database_url, "dagster")

    @property
    def mlflow_database(self) -> str:
        return self._database(self.mlflow_database_url, "mlflow")

    def _database(self, outside: SecretStr | None, name: str) -> str:
        if outside is not None:
            # SQLAlchemy 2.1 takes a bare postgresql:// to mean psycopg 3, which is not installed.
            scheme, mark, rest = outside.get_secret_value().partition("://")
            return f"{'postgresql+psycopg2' if scheme in _BARE_POSTGRES else scheme}{mark}{rest}"
        return f"postgresql+psycopg2://postgres@/{name}?host={self.postgres_socket}"

    @property
    def sockets(self) -> Path:
        """The folder of the embedded services' Unix sockets.

        A socket's path may have 107 bytes at most, so that a long ``home`` needs a short folder
        elsewhere: one that every process derives from ``home`` alone.
        """
        folder = self.state / "sockets"
        if len(os.fsencode(folder)) <= _LONGEST_SOCKET_FOLDER:
            return folder
        name = hashlib.sha256(os.fsencode(self.state)).hexdigest()[:16]
        return Path("/tmp", f"mlops-{name}")  # noqa: S108 - every process must find the same short one

    @property
    def postgres_socket(self) -> Path:
        """The folder of the embedded database's Unix socket."""
        return self.sockets / "postgres"

    @property
    def mlflow_url(self) -> str:
        return self.mlflow_uri or f"http://127.0.0.1:{self.mlflow_port}"

    def endpoint_url(self, port_offset: int, project: str = "") -> str:
        """The address of a project's endpoint (``Endpoint.port_offset``)."""
        if self.endpoint_address is not None:
            return self.endpoint_address.format(project=project.replace("_", "-"))
        return f"http://{self.endpoint_host}:{self.endpoint_base_port + port_offset}"

    @property
    def dagster_url(self) -> str:
        return f"http://127.0.0.1:{self.dagster_port}"


@lru_cache(maxsize=1)
def get_settings() -> Settings:
    """The process's settings, read once."""
    return Settings()


# What an embedded service may inherit: who and where it is, how it reaches the network and the
# accelerator. All else (AWS_*, MLFLOW_*, DAGSTER_*, PYTHON* of somebody's shell) would bend it.
_INHERITED = (
    "PATH", "HOME", "USER", "LOGNAME", "SHELL", "LANG", "LC_ALL", "LC_CTYPE", "TZ", "TMPDIR",
    "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy",
    "SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE", "AWS_CA_BUNDLE",
    "CUDA_VISIBLE_DEVICES", "LD_LIBRARY_PATH", "NVIDIA_VISIBLE_DEVICES",
)  # fmt: skip


def inherited_environment(source: Mapping[str, str] = os.environ) -> dict[str, str]:
    """The part of this process's environment that an embedded service starts from."""
    return {name: source[name] for name in _INHERITED if name in source}


def ambient_aws_environment(source: Mapping[str, str] = os.environ) -> dict[str, str]:
    """The caller's own ``AWS_*``: how an outside store is reached when no keys are set here."""
    return {name: value for name, value in source.items() if name.startswith("AWS_")}


def add_to_environment(more: Mapping[str, str]) -> None:
    """Set what is not set in this process's environment, for libraries that are told in no other way."""
    for name, value in more.items():
        os.environ.setdefault(name, value)
