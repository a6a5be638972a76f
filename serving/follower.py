"""Follows the registry's alias ``champion``: brings the version's model here, then says it is wanted.

It only ever adds to the local store, so that nothing it meets (a registry or store that is down, a
version without a model) takes anything away from what is served.
"""

from __future__ import annotations

import logging
import tempfile
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlops_assets.bundle import FILE
from serving.store import Copy, RegistryNote

if TYPE_CHECKING:
    from serving.store import Store

SCORES = ("roc_auc", "log_loss", "brier")
ALIAS = "champion"
LONGEST_WAIT = 30.0
"""Seconds between two tries of a download that fails again and again."""

logger = logging.getLogger(__name__)


class Follower:
    """One endpoint's eye on the registry. MLflow is imported in ``run``'s thread: that takes seconds."""

    def __init__(self, registry: str, project: str, store: Store, poll_seconds: float) -> None:
        self._uri = registry
        self._project = project
        self._store = store
        self._poll_seconds = poll_seconds
        self._whole: Copy | None = None
        self._failures = 0
        self._not_before = 0.0
        self._failed: Copy | None = None
        self._said: str | None = None

    def start(self) -> None:
        threading.Thread(target=self.run, name="champion-follower", daemon=True).start()

    def run(self) -> None:
        """Look again and again, for ever."""
        while True:
            try:
                self.look()
            except Exception:
                logger.exception("following the alias failed; trying again")
            time.sleep(self._poll_seconds)

    def look(self) -> None:
        """Ask the registry once, bring what is new, and leave a note of how it went."""
        champion = None
        try:
            champion = self._champion()
            if champion is not None:
                self._bring(champion)
        except Exception as error:  # noqa: BLE001 - whatever a client library calls "down"
            what = f"the model of version {champion.version} cannot be fetched" if champion else "no answer"
            self._note(champion, f"registry {self._uri}: {what}: {_first_line(error)}")
            return
        if champion is None or champion != self._failed:
            self._note(champion, None)

    def _note(self, champion: Copy | None, error: str | None) -> None:
        if error != self._said:
            logger.warning("%s", error) if error else logger.info("registry %s answers", self._uri)
        self._said = error
        version = champion.version if champion else None
        self._store.registry = RegistryNote(up=error is None, at=time.time(), champion=version, error=error)

    def _champion(self) -> Copy | None:
        """The version that the alias names, None if it names none; raises if the registry does not answer."""
        from mlflow.exceptions import MlflowException

        try:
            found = self._client().get_model_version_by_alias(self._project, ALIAS)
        except MlflowException as error:
            if error.error_code in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"):
                return None
            raise
        return Copy(
            version=str(found.version),
            source=f"{found.source}#{found.creation_timestamp}",
            held_out=found.tags.get("held_out", ""),
            scores={name: float(found.tags[name]) for name in SCORES if name in found.tags},
        )

    def _client(self) -> Any:
        import mlflow
        from mlflow.environment_variables import MLFLOW_HTTP_REQUEST_MAX_RETRIES, MLFLOW_HTTP_REQUEST_TIMEOUT

        # MLflow's own patience with a registry that is down is minutes; the next look is a second away.
        logging.getLogger("urllib3.connectionpool").setLevel(logging.ERROR)
        MLFLOW_HTTP_REQUEST_MAX_RETRIES.set(1)  # type: ignore[no-untyped-call]
        MLFLOW_HTTP_REQUEST_TIMEOUT.set(10)  # type: ignore[no-untyped-call]
        return mlflow.MlflowClient(tracking_uri=self._uri, registry_uri=self._uri)

    def _bring(self, champion: Copy) -> None:
        wanted = self._store.wanted
        known = wanted is not None and wanted.folder == champion.folder
        if known and self._whole == champion:
            return
        if champion == self._failed and time.monotonic() < self._not_before:
            return
        try:
            kept = self._store.find(champion) or self._download(champion)
        except Exception:
            # The alias is asked as often as ever; only a download that fails again and again waits.
            self._failures = self._failures + 1 if champion == self._failed else 1
            self._failed = champion
            wait = min(self._poll_seconds * 2**self._failures, LONGEST_WAIT)
            self._not_before = time.monotonic() + wait
            raise
        self._failed = None
        self._whole = champion
        self._store.prune([kept, wanted, self._store.current])
        if kept != wanted:
            self._store.wanted = kept

    def _download(self, champion: Copy) -> Copy:
        import mlflow
        from mlflow.environment_variables import MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR

        # By name and version, not by the source: MLflow cannot list the artifacts of models:/m-...
        uri = f"models:/{self._project}/{champion.version}"
        started = time.monotonic()
        mlflow.set_tracking_uri(self._uri)
        MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR.set(False)  # type: ignore[no-untyped-call]
        names = [
            Path(found.path).name
            for found in mlflow.artifacts.list_artifacts(artifact_uri=uri, tracking_uri=self._uri)
        ]
        if names and FILE not in names:
            problem = f"version {champion.version} holds no {FILE}, but {', '.join(sorted(names))}"
            return self._store.add(
                Copy(version=champion.version, source=champion.source, problem=problem), None
            )
        with tempfile.TemporaryDirectory() as folder:
            path = mlflow.artifacts.download_artifacts(
                artifact_uri=f"{uri}/{FILE}", dst_path=folder, tracking_uri=self._uri
            )
            kept = self._store.add(champion, Path(path).read_bytes())
        logger.info("version %s came in %.2f s", champion.version, time.monotonic() - started)
        return kept


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [""])[0][:200]
