"""Live traffic for a world: its champion's real answers, in the prediction log; and its watch, by hand."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import dagster as dg

from mlops_assets.automation.watch_plan import WatchLimits
from mlops_assets.definitions import build_definitions
from mlops_assets.families.packaging import as_instances
from mlops_assets.lifecycle.describe import asset_key
from mlops_assets.lifecycle.lineage import latest
from mlops_assets.lifecycle.model_columns import as_used
from mlops_assets.resources.registry import Registry
from mlops_assets_tests.lifecycle.world import AT_ONCE
from serving.prediction_log.objects import put_rows
from serving.predictor import Predictor

if TYPE_CHECKING:
    import pandas as pd

    from mlops_assets.resources.lake import Lake
    from mlops_assets_tests.lifecycle.world import World

EAGER = WatchLimits(share=0.0, patience=0.0, backoff=0.0)
"""Nothing waits for time to pass."""
NOON = dt.datetime(2026, 11, 1, 12, tzinfo=dt.UTC)


@dataclass
class Watch:
    """What the daemon does with ``<project>_watch``, and what the endpoint does with its log."""

    world: World
    limits: WatchLimits = EAGER
    cursor: str | None = None
    answers: int = 0
    asked: list[dg.RunRequest] = field(default_factory=list)

    def __post_init__(self) -> None:
        w = self.world
        self.defs = build_definitions(w.settings, AT_ONCE, [w.project], self.limits)
        self.sensor = self.defs.get_repository_def().get_sensor_def(f"{w.project.name}_watch")
        self.registry = Registry(w.settings.mlflow_url)
        self.lake: Lake = (w.defs.resources or {})["lake"]
        self.client = w.store.client
        self.bucket = w.settings.lake_bucket

    def predictor(self, version: str) -> Predictor:
        project = self.world.project
        uri = self.registry.version(project.name, version).model_uri
        return Predictor.load(self.registry.model_bytes(uri), project)

    def serve(self, frame: pd.DataFrame, version: str, at: dt.datetime = NOON, **more: Any) -> list[str]:
        """As if the endpoint had answered each row of ``frame``, a second after another; the log's keys."""
        project = self.world.project
        predictor = self.predictor(version)
        instances = as_instances(project, frame)
        names = project.features.instance_fields
        fields = {name: frame[name].to_numpy() for name in names}
        rows = range(self.answers + 1, self.answers + len(frame) + 1)
        self.answers += len(frame)
        columns = {
            "request_id": [f"request-{n}" for n in rows],
            "answer_id": [f"server-1:{n}" for n in rows],
            "time": [at + dt.timedelta(seconds=n) for n in range(len(frame))],
            "version": [version] * len(frame),
            "probability": predictor.predict(fields).probability.tolist(),
            **{f"received.{name}": [one[name] for one in instances] for name in names},
            **{f"used.{name}": values.tolist() for name, values in as_used(predictor, fields).items()},
            **more,
        }
        segment = f"segment-{rows.start}"
        return put_rows(self.client, self.bucket, project, columns, segment)

    def look(self) -> list[dg.RunRequest]:
        """One tick; what it asks for. Its cursor is kept."""
        resources = {name: (self.defs.resources or {})[name] for name in ("lake", "tables")}
        with dg.build_sensor_context(
            instance=self.world.instance, cursor=self.cursor, definitions=self.defs, resources=resources
        ) as context:
            data = self.sensor.evaluate_tick(context)
        self.cursor = data.cursor
        requests = list(data.run_requests or [])
        self.asked += requests
        return requests

    def execute(self, request: dg.RunRequest) -> dg.ExecuteInProcessResult:
        """What daemon and launcher do with a request."""
        return self.world.execute(
            request.asset_selection or [], request.partition_key, dict(request.tags), request.run_key
        )

    def settle(self) -> list[str]:
        """Tick and execute until nothing is asked for; what was made: ``stage[partition]``."""
        made: list[str] = []
        for _ in range(30):
            requests = self.look()
            if not requests:
                return made
            for request in requests:
                result = self.execute(request)
                assert result.success, [
                    str(e.event_specific_data)[:3000] for e in result.all_events if e.is_failure
                ]
                for event in result.get_asset_materialization_events():
                    assert event.asset_key
                    name = event.asset_key.path[1]
                    made.append(f"{name}[{event.partition}]" if event.partition else name)
        raise AssertionError(f"it does not come to rest: {made}")

    def made(self, stage: str, partition: str | None = None) -> dict[str, Any]:
        """The metadata of the last materialization."""
        key = asset_key(self.world.project, stage)
        return dict(latest(self.world.instance, key, partition).metadata)

    def features(self, partition: str) -> pd.DataFrame:
        return self.lake.get_frame(self.made("features", partition)["lake_key"])
