"""The whole flow in this process: real store, tables and registry; Dagster on an ephemeral instance."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import dagster as dg

from mlops_assets.automation.plan import Limits
from mlops_assets.definitions import build_definitions
from mlops_assets.lifecycle.describe import asset_key
from mlops_assets.lifecycle.tracking import end_open_runs
from mlops_assets.resources.promotions import PromotionLog
from mlops_assets.resources.registry import Registry
from mlops_assets.resources.tables import engine_for
from mlops_assets.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from mlops_assets.project import Project
    from mlops_assets.resources.promotions import Promotion
    from mlops_assets_tests.services import ObjectStore

AT_ONCE = Limits(patience=0.0, backoff=0.0)


@dataclass
class World:
    """One project's flow, driven by hand: ``tick`` the sensor, ``train`` what follows."""

    project: Project
    settings: Settings
    store: ObjectStore
    instance: dg.DagsterInstance = field(default_factory=dg.DagsterInstance.ephemeral)
    cursor: str | None = None
    checks: list[dg.AssetCheckEvaluation] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.defs = build_definitions(self.settings, AT_ONCE, [self.project])
        self.repository = self.defs.get_repository_def()
        self.sensor = self.repository.get_sensor_def(f"{self.project.name}_s3")

    def upload(self, name: str, data: bytes) -> str:
        """Put ``<project>/<name>``; its version id."""
        key = f"{self.project.name}/{name}"
        put = self.store.client.put_object(Bucket=self.settings.raw_bucket, Key=key, Body=data)
        return str(put["VersionId"])

    def requests(self) -> list[tuple[Sequence[dg.AssetKey], str | None, dict[str, str], str | None]]:
        """One tick of the S3 sensor: the runs that it asks for, as ``execute`` takes them."""
        resources = {name: (self.defs.resources or {})[name] for name in ("s3", "tables")}
        with dg.build_sensor_context(
            instance=self.instance, cursor=self.cursor, definitions=self.defs, resources=resources
        ) as context:
            data = self.sensor.evaluate_tick(context)
        self.cursor = data.cursor
        self.checks += [e for e in data.asset_events if isinstance(e, dg.AssetCheckEvaluation)]
        return [
            (request.asset_selection or [], request.partition_key, dict(request.tags), request.run_key)
            for request in data.run_requests or []
        ]

    def tick(self) -> list[dg.ExecuteInProcessResult]:
        """One tick of the S3 sensor, and the runs that it asks for."""
        return [self.execute(*request) for request in self.requests()]

    def settle(self) -> list[dg.ExecuteInProcessResult]:
        """Tick until nothing is asked for any more; the runs."""
        runs: list[dg.ExecuteInProcessResult] = []
        for _ in range(30):
            made = self.tick()
            if not made and not self.tick():
                return runs
            runs += made
        raise AssertionError("the sensor does not come to rest")

    def train(self, *names: str) -> dg.ExecuteInProcessResult:
        """One run of the stages ``names`` (``candidates/network``)."""
        keys = [asset_key(self.project, *name.split("/")) for name in names]
        return self.execute(keys)

    def execute(
        self,
        keys: Sequence[dg.AssetKey],
        partition: str | None = None,
        tags: dict[str, str] | None = None,
        run_key: str | None = None,
    ) -> dg.ExecuteInProcessResult:
        """What daemon and launcher do with a request."""
        job = self.repository.get_implicit_job_def_for_assets(keys)
        assert job is not None
        result = job.execute_in_process(
            instance=self.instance,
            partition_key=partition,
            asset_selection=keys,
            tags={**(tags or {}), **({"dagster/run_key": run_key} if run_key else {})},
            raise_on_error=False,
        )
        self.end_mlflow_runs()
        return result

    def end_mlflow_runs(self) -> None:
        """What the end of a run's own process does."""
        import mlflow

        while mlflow.active_run():
            mlflow.end_run()
        end_open_runs(self.instance, Registry(self.settings.mlflow_url))

    def promotions(self) -> Iterator[Promotion]:
        """The project's promotion log, newest first."""
        return PromotionLog(engine_for(self.settings.dagster_database)).entries(self.project.name)

    def check(self, name: str, *path: str) -> dg.AssetCheckEvaluation:
        """The last evaluation of a check on ``<project>/<path>``."""
        key = dg.AssetCheckKey(asset_key(self.project, *path), name)
        record = self.instance.event_log_storage.get_latest_asset_check_execution_by_key([key])[key]
        assert record.event is not None
        event = record.event.dagster_event
        assert event is not None
        return event.asset_check_evaluation_data


def world_settings(
    home: Path, store: ObjectStore, buckets: tuple[str, str], database: str, mlflow: str
) -> Settings:
    """Settings that point at the tests' services."""
    return Settings(
        _env_file=None,
        home=home,
        s3_endpoint_url=store.endpoint_url,
        s3_access_key_id=store.access_key,
        s3_secret_access_key=store.secret_key,
        raw_bucket=buckets[0],
        lake_bucket=buckets[1],
        database_url=database,
        mlflow_uri=mlflow,
    )
