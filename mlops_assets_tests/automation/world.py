"""The sensor's surroundings in a test: a bucket, the tables, a Dagster instance, and a hand on the clock."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import dagster as dg
import sqlalchemy as sa

from mlops_assets.automation import s3_sensor
from mlops_assets.automation.plan import Limits
from mlops_assets.automation.requests import RUN_KEY_TAG
from mlops_assets.resources.tables import object_versions, requests
from mlops_assets_tests.automation import toy

if TYPE_CHECKING:
    from dagster._core.definitions.sensor_definition import SensorExecutionData
    from dagster_aws.s3 import S3Resource
    from mypy_boto3_s3 import S3Client

    from mlops_assets.resources.tables import Tables

AT_ONCE = Limits(patience=0.0, backoff=0.0)
"""Nothing waits for time to pass."""


@dataclass
class World:
    """Drives the sensor tick by tick and executes what it asks for, in this process."""

    client: S3Client
    bucket: str
    s3: S3Resource
    tables: Tables
    instance: dg.DagsterInstance
    limits: Limits = AT_ONCE
    cursor: str | None = None
    events: list[dg.AssetCheckEvaluation] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.project = toy.project()
        self.defs = toy.definitions(self.project, self.bucket, self.s3, self.tables, self.limits)
        self.repository = self.defs.get_repository_def()
        self.sensor = self.repository.get_sensor_def("toy_s3")

    def put(self, name: str, text: str = "x\n1\n") -> str:
        """Upload ``toy/<name>``; its version id."""
        return str(
            self.client.put_object(Bucket=self.bucket, Key=f"toy/{name}", Body=text.encode())["VersionId"]
        )

    def delete(self, name: str) -> None:
        self.client.delete_object(Bucket=self.bucket, Key=f"toy/{name}")

    def forget_process(self) -> None:
        """As if another process evaluated the next tick."""
        s3_sensor._memories.clear()

    def evaluate(self) -> SensorExecutionData:
        """One tick, whose answer never reaches Dagster: as if the daemon were killed."""
        with dg.build_sensor_context(
            instance=self.instance,
            cursor=self.cursor,
            definitions=self.defs,
            resources={"s3": self.s3, "tables": self.tables},
        ) as context:
            return self.sensor.evaluate_tick(context)

    def tick(self) -> list[dg.RunRequest]:
        """One tick, with its cursor and events kept; what it asks for."""
        data = self.evaluate()
        self.cursor = data.cursor
        self.events += [e for e in data.asset_events if isinstance(e, dg.AssetCheckEvaluation)]
        return list(data.run_requests or [])

    def execute(self, request: dg.RunRequest) -> dg.ExecuteInProcessResult:
        """Do what the daemon and the launcher do with a request."""
        job = self.repository.get_implicit_job_def_for_assets(request.asset_selection or [])
        assert job is not None
        return job.execute_in_process(
            instance=self.instance,
            partition_key=request.partition_key,
            asset_selection=request.asset_selection,
            tags={**request.tags, RUN_KEY_TAG: request.run_key or ""},
            raise_on_error=False,
        )

    def lose(self, request: dg.RunRequest) -> None:
        """As if the run's process had died before it did anything."""
        run = dg.DagsterRun(
            job_name=request.job_name or "",
            run_id=str(uuid4()),
            status=dg.DagsterRunStatus.FAILURE,
            tags={**request.tags, RUN_KEY_TAG: request.run_key or ""},
        )
        self.instance.add_run(run)

    def settle(self, ticks: int = 20) -> list[dg.RunRequest]:
        """Tick and execute until nothing is asked for twice in a row; all that was asked for."""
        asked: list[dg.RunRequest] = []
        idle = 0
        for _ in range(ticks):
            requests_now = self.tick()
            asked += requests_now
            for request in requests_now:
                self.execute(request)
            idle = 0 if requests_now else idle + 1
            if idle == 2:
                return asked
        raise AssertionError(f"it does not come to rest: {[r.run_key for r in asked]}")

    def materialized(self, *path: str) -> list[tuple[str | None, str]]:
        """(partition, text) of each materialization of ``toy/<path>``, oldest first."""
        records = self.instance.fetch_materializations(dg.AssetKey(["toy", *path]), limit=1000).records
        found = []
        for record in reversed(records):
            event = record.asset_materialization
            assert event is not None
            text = event.metadata.get("text")
            found.append((event.partition, str(text.value) if text else ""))
        return found

    def rows(self) -> list[Any]:
        """The ledger, oldest first."""
        with self.tables.engine.connect() as connection:
            return list(connection.execute(sa.select(object_versions).order_by(object_versions.c.seq)))

    def states(self) -> dict[str, list[str]]:
        """Name -> the states of its versions, oldest first."""
        found: dict[str, list[str]] = {}
        for row in self.rows():
            found.setdefault(row.key.removeprefix("toy/"), []).append(row.state)
        return found

    def asked(self) -> list[Any]:
        """The requests written down, oldest first."""
        with self.tables.engine.connect() as connection:
            return list(connection.execute(sa.select(requests).order_by(requests.c.requested_at)))
