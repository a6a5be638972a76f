"""The runs that were asked for: written down before Dagster hears of them, closed by what they did.

What a run did is read from Dagster's event log, so that a run that was killed at any point leaves
its object versions to be asked for again, and one that succeeded never does.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import dagster as dg
import sqlalchemy as sa
from dagster._core.storage.dagster_run import FINISHED_STATUSES  # Dagster names them nowhere else

from mlops_assets.automation.features_due import mark_built, mark_stale
from mlops_assets.automation.plan import Request
from mlops_assets.lifecycle.describe import asset_key
from mlops_assets.resources.tables import object_versions, requests

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from mlops_assets.automation.plan import Limits
    from mlops_assets.project import Project

RUN_KEY_TAG = "dagster/run_key"
_R = requests.c
_V = object_versions.c


@dataclass(frozen=True)
class Asked:
    """A run that was asked for. ``versions``: source -> ``{"seq", "key", "version_id"}``."""

    run_key: str
    partition: str
    versions: dict[str, dict[str, Any]]
    inputs: str | None


@dataclass(frozen=True)
class Failures:
    """How often the same work failed; ``canceled``: a person ended it; ``age``: seconds since the last."""

    count: int
    canceled: bool
    age: float


@dataclass(frozen=True)
class _Outcome:
    """What a finished run left in the event log."""

    run_id: str
    canceled: bool
    materialized: frozenset[dg.AssetKey]
    checked: frozenset[dg.AssetKey]


def open_runs(connection: sa.Connection, project: str) -> list[Asked]:
    """The runs that were asked for and are not closed, oldest first."""
    query = sa.select(_R.run_key, _R.partition, _R.versions, _R.inputs).where(
        _R.project == project, _R.state == "open"
    )
    return [Asked(*row) for row in connection.execute(query.order_by(_R.requested_at, _R.run_key))]


def failures(connection: sa.Connection, bases: Collection[str]) -> dict[str, Failures]:
    """By ``Request.base``, of those that failed at least once."""
    query = (
        sa.select(
            _R.base,
            sa.func.count(),
            sa.func.bool_or(_R.state == "canceled"),
            sa.func.extract("epoch", sa.func.clock_timestamp() - sa.func.max(_R.closed_at)),
        )
        .where(_R.base.in_(bases), _R.state.in_(("failed", "canceled")))
        .group_by(_R.base)
    )
    return {
        base: Failures(count, canceled, float(age))
        for base, count, canceled, age in connection.execute(query)
    }


def may_try(failed: Failures | None, limits: Limits) -> bool:
    """Whether work that failed before may be asked for again now."""
    if failed is None:
        return True
    if failed.canceled or failed.count >= limits.attempts:
        return False
    return failed.age >= limits.backoff * 2 ** (failed.count - 1)


def ask(connection: sa.Connection, wanted: Sequence[Request], failed: dict[str, Failures]) -> list[Asked]:
    """Write down the runs that are asked for; a run key tells each attempt apart."""
    asked, rows = [], []
    for request in wanted:
        attempt = 1 + (failed[request.base].count if request.base in failed else 0)
        run_key = request.base if attempt == 1 else f"{request.base}/{attempt}"
        versions = {
            source: {"seq": v.seq, "key": v.key, "version_id": v.version_id}
            for source, v in request.versions.items()
        }
        asked.append(Asked(run_key, request.partition, versions, request.inputs))
        rows.append(
            {
                "run_key": run_key,
                "base": request.base,
                "project": request.project,
                "partition": request.partition,
                "versions": versions,
                "inputs": request.inputs,
                "attempt": attempt,
                "state": "open",
            }
        )
    if rows:
        connection.execute(sa.insert(requests), rows)
    return asked


def settle(engine: sa.Engine, instance: dg.DagsterInstance, project: Project) -> list[Asked]:
    """Close the runs that finished; returns those that Dagster has not heard of, to be asked for again."""
    with engine.connect() as connection:
        asked = open_runs(connection, project.name)
    if not asked:
        return []
    runs = _runs_by_key(instance, [one.run_key for one in asked])
    for one in asked:
        mine = runs.get(one.run_key, [])
        if mine and all(run.status in FINISHED_STATUSES for run in mine):
            outcome = _outcome(instance, mine)
            with engine.begin() as connection:
                _close(connection, project, one, outcome)
    return [one for one in asked if one.run_key not in runs]


def _runs_by_key(instance: dg.DagsterInstance, keys: Sequence[str]) -> dict[str, list[dg.DagsterRun]]:
    found: dict[str, list[dg.DagsterRun]] = defaultdict(list)
    for run in instance.get_runs(filters=dg.RunsFilter(tags={RUN_KEY_TAG: list(keys)})):
        found[run.tags[RUN_KEY_TAG]].append(run)
    return found


def _outcome(instance: dg.DagsterInstance, runs: Sequence[dg.DagsterRun]) -> _Outcome:
    materialized: set[dg.AssetKey] = set()
    checked: set[dg.AssetKey] = set()
    of_type = {dg.DagsterEventType.ASSET_MATERIALIZATION, dg.DagsterEventType.ASSET_CHECK_EVALUATION}
    for run in runs:
        for record in instance.get_records_for_run(run.run_id, of_type=of_type).records:
            event = record.event_log_entry.dagster_event
            if event is None:
                continue
            if event.event_type == dg.DagsterEventType.ASSET_MATERIALIZATION:
                materialized.add(event.step_materialization_data.materialization.asset_key)
            else:
                checked.add(event.asset_check_evaluation_data.asset_key)
    newest = runs[0]  # get_runs answers newest first
    canceled = newest.status == dg.DagsterRunStatus.CANCELED
    return _Outcome(newest.run_id, canceled, frozenset(materialized), frozenset(checked))


def _close(connection: sa.Connection, project: Project, asked: Asked, outcome: _Outcome) -> None:
    """Settle each object version that the run was to read, its features, and the request itself."""
    unread = [
        source
        for source, version in asked.versions.items()
        if not _settle_version(connection, project, source, version["seq"], outcome)
    ]
    read = [s for s in asked.versions if asset_key(project, "raw", s) in outcome.materialized]
    changed = {asked.partition if project.source(s).partitioned else "" for s in read}
    mark_stale(connection, project.name, changed)
    features = asset_key(project, "features")
    # Features that a check refused are dealt with, too: from these inputs, they would be refused again.
    built = features in outcome.materialized or features in outcome.checked
    if built and asked.inputs:
        mark_built(connection, project.name, asked.partition, asked.inputs)
    # Features cannot be built from a broken object: that is no failure of the run.
    complete = not unread and (built or not asked.inputs or len(read) < len(asked.versions))
    state = "done" if complete else "canceled" if outcome.canceled else "failed"
    connection.execute(
        sa.update(requests)
        .where(_R.run_key == asked.run_key)
        .values(state=state, run_id=outcome.run_id, closed_at=sa.func.clock_timestamp())
    )


def _settle_version(
    connection: sa.Connection, project: Project, source: str, seq: int, outcome: _Outcome
) -> bool:
    """Whether the run read the version: materialized it, or found it broken and said so in a check."""
    key = asset_key(project, "raw", source)
    change = sa.update(object_versions).where(_V.seq == seq)
    if key in outcome.materialized:
        settled = {"run_id": outcome.run_id, "settled_at": sa.func.clock_timestamp()}
        connection.execute(change.values(state="handled", **settled))
        return True
    broken = connection.execute(sa.select(_V.state == "broken").where(_V.seq == seq)).scalar()
    if broken and key in outcome.checked:
        return True
    # Said to be settled, but the run ended before its events were stored.
    back = sa.case((_V.current, "seen"), else_="superseded")
    connection.execute(change.where(_V.state.in_(("handled", "broken"))).values(state=back, run_id=None))
    return False
