"""The classes that ``dagster.yaml`` names: dagster-postgres and dagster-aws, pointed by our settings.

Dagster's own classes take their addresses from environment variables that must all be set before
any command works. These read ``mlops_assets.settings`` instead, so that ``dagster dev`` and ``dg``
meet the running platform from any shell. None of them contacts anything when it is made.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import sqlalchemy as sa
from dagster._core.launcher import CheckRunHealthResult, DefaultRunLauncher, WorkerStatus
from dagster._core.storage.defs_state.blob_storage_state_storage import UPathDefsStateStorage
from dagster._core.storage.tags import GRPC_INFO_TAG
from dagster_aws.s3 import S3ComputeLogManager
from dagster_postgres import DagsterPostgresStorage

from mlops_assets.platform.database import execute
from mlops_assets.platform.service import NotReadyError
from mlops_assets.settings import get_settings

if TYPE_CHECKING:
    from collections.abc import Mapping

    from dagster import DagsterRun
    from dagster._serdes import ConfigurableClassData

_FIND_TABLES = "SELECT to_regclass(name) FROM unnest(ARRAY['runs', 'event_logs', 'jobs']) AS name"
"""One table of each of Dagster's three storages, each of which makes all of its own or none."""

_TABLES_LOCK = 0x6D6C6F70  # any number, the same for all
_LOGS_PREFIX = "dagster/logs"


class Storage(DagsterPostgresStorage):
    """Runs, events and schedules in the platform's database."""

    @classmethod
    def config_type(cls) -> dict[str, Any]:
        return {}

    @classmethod
    def from_config_value(
        cls, inst_data: ConfigurableClassData | None, config_value: Mapping[str, Any]
    ) -> Storage:
        url = get_settings().dagster_database
        ensure_tables(url)
        return cls(inst_data=inst_data, postgres_url=url, should_autocreate_tables=False, **config_value)


def ensure_tables(url: str) -> None:
    """Make Dagster's tables at ``url`` where they are missing, in one process at a time.

    Does nothing when the database does not answer: ``dg check defs`` needs none, and whatever does
    says so at its first query.
    """
    try:
        found = execute(url, _FIND_TABLES)
    except NotReadyError:
        return
    if all(name for (name,) in found):
        return
    engine = sa.create_engine(url, poolclass=sa.NullPool)
    with engine.connect() as connection:  # the lock goes with the connection, however this ends
        connection.execute(sa.text("SELECT pg_advisory_lock(:key)"), {"key": _TABLES_LOCK})
        DagsterPostgresStorage(url, should_autocreate_tables=True)


class DefinitionsState(UPathDefsStateStorage):
    """Where the state of Dagster's state-backed components would be. The platform has none of them.

    Dagster's default asks the database for it whenever definitions are loaded; this one does not,
    so that ``dg check defs`` works where no platform runs.
    """

    @classmethod
    def config_type(cls) -> Any:
        return {}

    @classmethod
    def from_config_value(
        cls, inst_data: ConfigurableClassData, config_value: Mapping[str, Any]
    ) -> DefinitionsState:
        from upath import UPath

        folder = UPath(get_settings().dagster_home / "definitions_state")
        return cls(base_path=folder, inst_data=inst_data, **config_value)

    def get_latest_defs_state_info(self) -> None:
        return None


class ComputeLogs(S3ComputeLogManager):
    """What runs print, in the lake bucket."""

    @classmethod
    def config_type(cls) -> dict[str, Any]:
        return {}

    @classmethod
    def from_config_value(
        cls, inst_data: ConfigurableClassData, config_value: Mapping[str, Any]
    ) -> ComputeLogs:
        from mlops_assets.platform.object_store import s3_client

        settings = get_settings()
        made = cls(
            bucket=settings.lake_bucket,
            local_dir=str(settings.state / "dagster" / "compute_logs"),
            prefix=_LOGS_PREFIX,
            endpoint_url=settings.s3_url,
            region=settings.s3_region,
            skip_empty_files=True,
            inst_data=inst_data,
            **config_value,
        )
        made._s3_session = s3_client(settings)  # theirs knows only AWS_* variables
        return made


class RunLauncher(DefaultRunLauncher):
    """Dagster's default, and it knows when a run's process is gone: killed with the code location.

    Without that, such a run stays "started" for ever. With it, run monitoring fails the run within
    its poll interval, and run retries start it again.
    """

    @property
    def supports_check_run_worker_health(self) -> bool:
        return True

    def check_run_worker_health(self, run: DagsterRun) -> CheckRunHealthResult:
        """Ask the code location that started ``run`` whether it still executes it."""
        from dagster._core.errors import DagsterUserCodeUnreachableError
        from dagster._grpc.types import CanCancelExecutionRequest, CanCancelExecutionResult
        from dagster._serdes import deserialize_value

        if GRPC_INFO_TAG not in run.tags:
            return CheckRunHealthResult(WorkerStatus.UNKNOWN, "no code location started it")
        client = self._get_grpc_client_for_termination(run.run_id)  # type: ignore[no-untyped-call]
        if client is None:  # it has ended meanwhile
            return CheckRunHealthResult(WorkerStatus.SUCCESS)
        try:
            answer = client.can_cancel_execution(CanCancelExecutionRequest(run_id=run.run_id), timeout=5)
        except DagsterUserCodeUnreachableError:
            # Being restarted, or busy. Once it answers, it knows whether the run is its own.
            return CheckRunHealthResult(WorkerStatus.RUNNING, "its code location does not answer")
        if deserialize_value(answer, CanCancelExecutionResult).can_cancel:
            return CheckRunHealthResult(WorkerStatus.RUNNING)
        return CheckRunHealthResult(WorkerStatus.FAILED, "its process is gone")
