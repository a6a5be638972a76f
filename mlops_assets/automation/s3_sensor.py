"""A sensor per project: from objects in S3 to runs, each object version exactly once.

A tick looks at what is there, not at what happened since the last one: (1) it goes on with its pass
over the project's objects and writes into the ledger what it did not know; (2) it closes the runs
that finished; (3) it asks for the runs that are still to be done. Each step is committed before the
next, so that a process killed between any two loses nothing, and run keys made of the object
versions keep anything from being done twice.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import dagster as dg
import sqlalchemy as sa
from dagster_aws.s3 import S3Resource

from mlops_assets.automation import features_due, names, requests
from mlops_assets.automation.ledger import VERSIONS_TAG
from mlops_assets.automation.places import Place, place
from mlops_assets.automation.plan import Limits, OpenRun, Pending, Plan, Request, View, make_plan
from mlops_assets.automation.recording import Recording
from mlops_assets.automation.scan import Memory, Position, Scan
from mlops_assets.lifecycle.describe import asset_key
from mlops_assets.resources.s3 import shared_client
from mlops_assets.resources.tables import Tables, object_versions, only_one
from mlops_assets.settings import get_settings

if TYPE_CHECKING:
    from mlops_assets.project import Project

_V = object_versions.c
_memories: dict[tuple[str, str, str], Memory] = {}


@dataclass(frozen=True)
class Cursor:
    """What a tick hands to the next. Losing it costs another pass and repeats the names' check, no more."""

    position: Position = field(default_factory=Position)
    names: dict[str, str] = field(default_factory=dict)

    @classmethod
    def parse(cls, text: str | None) -> Cursor:
        """From ``dump``; anything else is the beginning."""
        try:
            raw = json.loads(text or "{}")
            return cls(Position(**raw.get("position", {})), dict(raw.get("names", {})))
        except (ValueError, TypeError, AttributeError):
            return cls()

    def dump(self) -> str:
        return json.dumps(asdict(self))


@dataclass
class Tick:
    """One evaluation of a project's sensor."""

    project: Project
    bucket: str
    limits: Limits
    s3: S3Resource
    tables: Tables
    instance: dg.DagsterInstance
    asset_graph: Any

    def run(self, cursor: Cursor) -> dg.SensorResult:
        """Look, record, settle, ask. Raises what the store, the database or Dagster's storage raise."""
        scan = self._scan()
        position = scan.go_on(cursor.position, self.limits.scan_seconds)
        again = requests.settle(self.tables.engine, self.instance, self.project)
        asked, plan = self._ask()
        with self.tables.engine.connect() as connection:
            unplaced = names.unplaced(connection, self.project)
        runs = [self._run_request(one) for one in [*again, *asked]]
        return dg.SensorResult(
            run_requests=runs or None,
            skip_reason=None if runs else dg.SkipReason(_say(scan, plan, position)),
            cursor=Cursor(position, {name: found.digest for name, found in unplaced.items()}).dump(),
            asset_events=names.evaluations(self.project, unplaced, cursor.names),
        )

    def _scan(self) -> Scan:
        memory = _memories.setdefault((self.tables.url, self.bucket, self.project.name), Memory())
        recording = Recording(self.tables.engine, self.project.name, self._place)
        recording.place_again()
        return Scan(shared_client(self.s3), self.bucket, f"{self.project.name}/", recording, memory)

    def _place(self, key: str) -> Place:
        return place(self.project, key, datetime.now(UTC))

    def _ask(self) -> tuple[list[requests.Asked], Plan]:
        """Write down the runs to ask for now, in one transaction."""
        with self.tables.engine.begin() as connection:
            features_due.refresh(connection, self.project)
            view = self._view(connection)
            plan = make_plan(view, self.limits)
            failed = requests.failures(connection, [r.base for r in plan.requests]) if plan.requests else {}
            if any(r.base in failed and _rides(r) for r in plan.requests):
                plan = make_plan(View(**{**vars(view), "ride": False}), self.limits)
                failed = requests.failures(connection, [r.base for r in plan.requests])
            may = [r for r in plan.requests if requests.may_try(failed.get(r.base), self.limits)]
            room = max(0, min(self.limits.runs_per_tick, self.limits.open_runs - len(view.open)))
            return requests.ask(connection, may[:room], failed), plan

    def _view(self, connection: sa.Connection) -> View:
        project = self.project
        age = sa.cast(sa.func.extract("epoch", sa.func.clock_timestamp() - _V.seen_at), sa.Float)
        query = sa.select(_V.seq, _V.source, _V.partition, _V.key, _V.version_id, age).where(
            _V.project == project.name, _V.state == "seen", _V.current
        )
        pending = [Pending(*row) for row in connection.execute(query)]
        handled = features_due.handled_inputs(connection, project.name, {p.partition for p in pending})
        asked = requests.open_runs(connection, project.name)
        return View(
            project=project.name,
            sources=frozenset(source.name for source in project.sources),
            pending=pending,
            handled=handled if pending else {},
            due=features_due.due(connection, project.name),
            open=[OpenRun(one.partition, _shares(project, one)) for one in asked],
        )

    def _run_request(self, asked: requests.Asked) -> dg.RunRequest:
        assets = [asset_key(self.project, "raw", source) for source in asked.versions]
        if asked.inputs:
            assets.append(asset_key(self.project, "features"))
        checks = [key for asset in assets for key in self.asset_graph.get(asset).check_keys]
        versions = {source: [v["key"], v["version_id"]] for source, v in asked.versions.items()}
        return dg.RunRequest(
            run_key=asked.run_key,
            partition_key=asked.partition or None,
            asset_selection=assets,
            # The sensor reports this one itself; a run of it would only cost time.
            asset_check_keys=[key for key in checks if key.name != names.OBJECT_NAMES],
            # Trying again is the sensor's own business: it knows what was read.
            tags={VERSIONS_TAG: json.dumps(versions), "dagster/max_retries": "0"},
        )


def build_s3_sensor(
    project: Project, bucket: str | None = None, limits: Limits | None = None
) -> dg.SensorDefinition:
    """The sensor ``<project>_s3`` on ``bucket`` (by default the settings' raw bucket).

    Its resources: ``s3`` (dagster-aws) and ``tables``.
    """
    settings = get_settings()
    raw_bucket = bucket or settings.raw_bucket
    sources = [asset_key(project, "raw", source.name) for source in project.sources]

    @dg.sensor(
        name=f"{project.name}_s3",
        description=(
            f"Finds new, overwritten and deleted objects below {project.name}/ in the raw bucket, reads "
            "each object version once, and builds the features of the partitions that are complete."
        ),
        target=dg.AssetSelection.assets(*sources, asset_key(project, "features")),
        minimum_interval_seconds=settings.sensor_interval_seconds,
        default_status=dg.DefaultSensorStatus.RUNNING,
    )
    def s3_sensor(
        context: dg.SensorEvaluationContext, s3: S3Resource, tables: Tables
    ) -> dg.SensorResult | dg.SkipReason:
        with only_one(tables.engine, f"s3_sensor/{project.name}") as alone:
            if not alone:
                return dg.SkipReason("an earlier tick is still at work")
            graph = context.repository_def.asset_graph if context.repository_def else None
            tick = Tick(project, raw_bucket, limits or Limits(), s3, tables, context.instance, graph)
            return tick.run(Cursor.parse(context.cursor))

    return s3_sensor


def _shares(project: Project, asked: requests.Asked) -> bool:
    """Whether the run reads objects shared by all partitions."""
    return any(not project.source(name).partitioned for name in asked.versions)


def _rides(request: Request) -> bool:
    """Whether objects shared by all partitions ride along with ``request``."""
    return bool(request.partition) and any(not v.partition for v in request.versions.values())


def _say(scan: Scan, plan: Plan, position: Position) -> str:
    """Why there is nothing to ask for, in a line."""
    parts = [f"{scan.memory.count} objects are known"]
    if scan.news:
        parts.append(f"{scan.news} are new")
    if scan.gone:
        parts.append(f"{scan.gone} were deleted")
    if position.after:
        parts.append("the pass goes on")
    waiting = [f"{name or 'shared objects'} for {what}" for name, what in list(plan.waiting.items())[:5]]
    if waiting:
        parts.append(f"waiting: {', '.join(waiting)}")
    return "; ".join(parts)
