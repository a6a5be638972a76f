"""A sensor per project: from what was served and what came of it, to the runs that look into it.

A tick compares what is there (objects of the prediction log, contents of features, the champion) with
what the assets were made from, which their data versions tell. So nothing is lost while the daemon is
down, nothing is asked for when nothing is new, and a tick can be repeated or die anywhere.
"""

from __future__ import annotations

import json
import time
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

import dagster as dg
from dagster._core.storage.dagster_run import NOT_FINISHED_STATUSES  # Dagster names them nowhere else

from mlops_assets.automation.watch_plan import KINDS, WatchLimits, due, report_due
from mlops_assets.automation.watch_view import look
from mlops_assets.lifecycle.describe import asset_key
from mlops_assets.lifecycle.log_days import days_def
from mlops_assets.resources.lake import Lake
from mlops_assets.resources.tables import Tables, only_one

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from mlops_assets.automation.watch_plan import View, Work
    from mlops_assets.project import Project
    from mlops_assets.settings import Settings

LANE_TAG = "mlops/watch"
"""Run tag: one run of a lane at a time. Reports have a lane of their own, not to hold up a verdict."""
WORK_TAG = "mlops/watch_work"
"""Run tag: what the run was asked for; runs of the same work tell attempts apart."""

_RUNS_OF_WORK = 50


@dataclass(frozen=True)
class Cursor:
    """What a tick hands to the next. Losing it costs nothing but the turn."""

    kind: str = ""
    day: str = ""

    @classmethod
    def parse(cls, text: str | None) -> Cursor:
        """From ``dump``; anything else is the beginning."""
        try:
            raw = json.loads(text or "{}")
            return cls(str(raw.get("kind", "")), str(raw.get("day", "")))
        except (ValueError, AttributeError):
            return cls()

    def dump(self) -> str:
        return json.dumps(asdict(self))


@dataclass(frozen=True)
class Asking:
    """From work that is due to run requests."""

    instance: dg.DagsterInstance
    project: Project
    limits: WatchLimits

    def requests(self, view: View, cursor: Cursor) -> tuple[list[dg.RunRequest], str]:
        """At most one run of the watch and one report; and the kind whose turn it was."""
        found, kind = [], cursor.kind
        if not self._busy(self.project.name):
            work = due(view, self.project.drift.window_rows, self.limits)
            for one in sorted(work, key=lambda w: _turn(w.kind, cursor.kind)):
                if (request := self._request(one, self.project.name)) is not None:
                    found.append(request)
                    kind = one.kind
                    break
        report = report_due(view)
        if report is not None and (not found or self._impatient(view)):
            lane = f"{self.project.name}/report"
            if not self._busy(lane) and (self._impatient(view) or self._calm()):
                found += [request for request in [self._request(report, lane)] if request is not None]
        return found, kind

    def _impatient(self, view: View) -> bool:
        return time.time() - float(view.failure["at"]) >= self.limits.report_patience

    def _calm(self) -> bool:
        return not self.instance.get_runs(dg.RunsFilter(statuses=NOT_FINISHED_STATUSES), limit=1)

    def _busy(self, lane: str) -> bool:
        wanted = dg.RunsFilter(tags={LANE_TAG: lane}, statuses=NOT_FINISHED_STATUSES)
        return bool(self.instance.get_runs(filters=wanted, limit=1))

    def _request(self, work: Work, lane: str) -> dg.RunRequest | None:
        """The next attempt at ``work``; None while it has to wait, or when it was tried often enough."""
        base = f"{self.project.name}/{work.base}"
        records = self.instance.get_run_records(dg.RunsFilter(tags={WORK_TAG: base}), limit=_RUNS_OF_WORK)
        if records and not self._may_try(records):
            return None
        if work.kind == "predictions" and work.partition:
            self.instance.add_dynamic_partitions(days_def(self.project).name or "", [work.partition])
        # Trainings and new objects go first, and verdicts before pictures of them; trying again is the
        # sensor's own business.
        priority = "-2" if work.kind == "drift_report" else "-1"
        tags = {LANE_TAG: lane, WORK_TAG: base, "dagster/priority": priority, "dagster/max_retries": "0"}
        if work.partition:
            tags["dagster/partition"] = work.partition  # said here, Dagster need not look it up
        return dg.RunRequest(
            run_key=f"watch/{base}/{len(records) + 1}",
            partition_key=work.partition,
            asset_selection=[asset_key(self.project, stage) for stage in work.stages],
            tags=tags,
        )

    def _may_try(self, records: Sequence[dg.RunRecord]) -> bool:
        failures = list(_failures(records))
        if len(failures) >= self.limits.attempts:
            return False
        if failures and failures[0].dagster_run.status == dg.DagsterRunStatus.CANCELED:
            return False  # a person ended it
        # Runs of the same work that succeeded: what it is made of went to and fro.
        wait = self.limits.backoff * 2 ** (max(len(failures), 1) - 1)
        ended = records[0].end_time or records[0].update_timestamp.timestamp()
        return time.time() - ended >= wait


def _failures(records: Sequence[dg.RunRecord]) -> Iterator[dg.RunRecord]:
    """The newest runs, newest first, until one that succeeded."""
    for record in records:
        if record.dagster_run.status == dg.DagsterRunStatus.SUCCESS:
            return
        yield record


def _turn(kind: str, last: str) -> int:
    """Kinds after ``last`` come first: under steady traffic, outcomes have their turn as well."""
    if kind not in KINDS or last not in KINDS:
        return KINDS.index(kind) if kind in KINDS else len(KINDS)
    return (KINDS.index(kind) - KINDS.index(last) - 1) % len(KINDS)


def build_watch_sensor(
    project: Project, settings: Settings, limits: WatchLimits | None = None
) -> dg.SensorDefinition:
    """The sensor ``<project>_watch``; its resources: ``lake`` and ``tables``."""
    stages = (*KINDS, "drift_report")

    @dg.sensor(
        name=f"{project.name}_watch",
        description=(
            f"Looks at what {project.name} answered and what came of it: asks for predictions and drift when "
            "the prediction log has grown, for outcomes and performance when labels came, one run at a time."
        ),
        # Not as a `target`: that would be one job, and theirs are partitions of two kinds.
        asset_selection=dg.AssetSelection.assets(*(asset_key(project, stage) for stage in stages)),
        minimum_interval_seconds=settings.watch_interval_seconds,
        default_status=dg.DefaultSensorStatus.RUNNING,
    )
    def watch(
        context: dg.SensorEvaluationContext, lake: Lake, tables: Tables
    ) -> dg.SensorResult | dg.SkipReason:
        with only_one(tables.engine, f"watch/{project.name}") as alone:
            if not alone:
                return dg.SkipReason("an earlier tick is still at work")
            cursor = Cursor.parse(context.cursor)
            client = lake.s3.get_client()
            view, day = look(context.instance, client, lake.bucket, tables, project, cursor.day)
            asking = Asking(context.instance, project, limits or WatchLimits())
            runs, kind = asking.requests(view, cursor)
        return dg.SensorResult(
            run_requests=runs or None,
            skip_reason=None if runs else dg.SkipReason(_say(view)),
            cursor=Cursor(kind, day).dump(),
        )

    return watch


def _say(view: View) -> str:
    """Why there is nothing to ask for, in a line."""
    rows = sum(day.rows for day in view.logged_days.values())
    served = f"champion {view.champion.version}" if view.champion else "no champion yet"
    return f"{served}; {rows:,} predictions of {len(view.days)} days are known; nothing is due, or it waits"
