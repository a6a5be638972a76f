"""MLflow's model registry: which version is the champion, and the bytes of a model."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlops_assets.bundle import FILE

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mlflow import MlflowClient

CHAMPION = "champion"
"""The alias that says which version is served; nothing else does."""


@dataclass(frozen=True)
class Version:
    """A registered model version of a project."""

    project: str
    number: str
    model_uri: str
    tags: Mapping[str, str]


class Registry:
    """The registered model of each project, named after it. MLflow is imported at first use."""

    def __init__(self, uri: str) -> None:
        self.uri = uri

    @cached_property
    def client(self) -> MlflowClient:
        import mlflow

        mlflow.set_tracking_uri(self.uri)
        return mlflow.MlflowClient(tracking_uri=self.uri, registry_uri=self.uri)

    def champion(self, project: str) -> Version | None:
        """The version that holds the alias, or None before the first promotion.

        Raises ``mlflow.exceptions.MlflowException`` when the registry cannot be asked.
        """
        from mlflow.exceptions import MlflowException

        try:
            return self._version(self.client.get_model_version_by_alias(project, CHAMPION))
        except MlflowException as error:
            if error.error_code in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"):
                return None
            raise

    def version(self, project: str, number: str) -> Version:
        return self._version(self.client.get_model_version(project, number))

    def versions(self, project: str) -> list[Version]:
        """All versions, newest first."""
        found = self.client.search_model_versions(f"name = '{project}'")
        return [self._version(v) for v in sorted(found, key=lambda v: -int(v.version))]

    def register(self, project: str, model_uri: str, run_id: str, tags: Mapping[str, str]) -> Version:
        """A version of the logged model; one made before by the same model and run is returned again."""
        for known in self.versions(project):
            if known.model_uri == model_uri:
                return known
        from mlflow.exceptions import MlflowException

        try:
            self.client.create_registered_model(project)
        except MlflowException as error:
            if error.error_code != "RESOURCE_ALREADY_EXISTS":
                raise
        made = self.client.create_model_version(
            project, source=model_uri, run_id=run_id, tags=dict(tags), model_id=model_uri.rpartition("/")[2]
        )
        return self._version(made)

    def tag(self, version: Version, name: str, value: str) -> None:
        """Tag the version."""
        self.client.set_model_version_tag(version.project, version.number, name, value)

    def point_champion(self, project: str, number: str) -> None:
        """Move the alias: one atomic write in the registry's database."""
        self.client.set_registered_model_alias(project, CHAMPION, number)

    def remove_champion(self, project: str) -> None:
        """Take the alias away: no version is the champion."""
        self.client.delete_registered_model_alias(project, CHAMPION)

    def model_bytes(self, model_uri: str) -> bytes:
        """The bundle of a logged model (``models:/m-...``), as the registry's store has it."""
        from mlflow.artifacts import download_artifacts

        logged = self.client.get_logged_model(model_uri.rpartition("/")[2])
        with tempfile.TemporaryDirectory() as folder:
            uri = f"{logged.artifact_location}/{FILE}"
            found = download_artifacts(artifact_uri=uri, dst_path=folder, tracking_uri=self.uri)
            return Path(found).read_bytes()

    @staticmethod
    def _version(found: Any) -> Version:
        return Version(found.name, str(found.version), found.source, dict(found.tags))
