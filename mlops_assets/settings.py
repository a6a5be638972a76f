"""Every setting of the platform. This module is the only reader of the environment.

A part of the platform is embedded (started by ``mlops up``) as long as the setting that names an
outside one is unset; what an embedded part needs is derived here from ports, ``home`` and the
generated credentials, so that every process comes to the same answer.
"""

from __future__ import annotations

import json
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Literal

from pydantic import Field, SecretStr, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

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
    executor: Literal["in_process", "multiprocess"] = "in_process"

    endpoint_host: str = "127.0.0.1"
    endpoint_base_port: int = Field(default=8000, ge=1, le=65535)
    endpoint_api_key: SecretStr | None = None
    endpoint_poll_seconds: float = Field(default=1.0, gt=0)

    sensor_interval_seconds: int = Field(default=2, ge=1)
    automation_interval_seconds: int = Field(default=2, ge=1)

    @field_validator("s3_secret_access_key", "database_url", "mlflow_database_url", "endpoint_api_key")
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

    @cached_property
    def _generated(self) -> dict[str, str]:
        return dict(json.loads(self.secrets_file.read_text())) if self.secrets_file.exists() else {}

    @property
    def s3_url(self) -> str:
        return self.s3_endpoint_url or f"http://127.0.0.1:{self.s3_port}"

    @property
    def s3_credentials(self) -> tuple[str, str]:
        """Access key id and secret key; empty strings where neither set nor generated yet."""
        if self.s3_access_key_id and self.s3_secret_access_key:
            return self.s3_access_key_id, self.s3_secret_access_key.get_secret_value()
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
            return outside.get_secret_value()
        return f"postgresql+psycopg2://postgres@/{name}?host={self.postgres_socket}"

    @property
    def postgres_socket(self) -> Path:
        """The folder of the embedded database's Unix socket."""
        return self.state / "postgres"

    @property
    def mlflow_url(self) -> str:
        return self.mlflow_uri or f"http://127.0.0.1:{self.mlflow_port}"

    @property
    def dagster_url(self) -> str:
        return f"http://127.0.0.1:{self.dagster_port}"


@lru_cache(maxsize=1)
def get_settings() -> Settings:
    """The process's settings, read once."""
    return Settings()
