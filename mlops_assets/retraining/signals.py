"""What speaks for a training: failed checks on drift and performance, freshness, new code."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import dagster as dg
from dagster._core.definitions.freshness import FreshnessState
from dagster._core.storage.asset_check_execution_record import AssetCheckExecutionRecordStatus as Status

from mlops_assets.lifecycle.describe import asset_key
from mlops_assets.retraining.policy import Cause, Signal

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from mlops_assets.project import Project

CHECKS: tuple[tuple[Cause, str, str], ...] = (
    ("performance", "performance", "performance"),
    ("drift", "drift", "feature_drift"),
    ("drift", "drift", "score_drift"),
)
"""(cause, asset, check). Each evaluation says in its metadata of which ``champion`` it speaks."""


def read_signals(
    instance: dg.DagsterInstance,
    project: Project,
    champion: str | None,
    codes: tuple[Mapping[str, str], Mapping[str, str | None]],
) -> list[Signal]:
    """All that speaks for a training now; ``codes``: by family, of now and of the last training."""
    found = _merged(check_signals(instance, project))
    if champion is not None:
        found += [*freshness_signal(instance, project, champion)]
    return [*found, *code_signal(champion or "", *codes)]


def check_signals(instance: dg.DagsterInstance, project: Project) -> Iterator[Signal]:
    """One signal for each check whose last completed evaluation failed."""
    for cause, stage, name in CHECKS:
        key = dg.AssetCheckKey(asset_key(project, stage), name)
        done = {Status.SUCCEEDED, Status.FAILED}
        records = instance.event_log_storage.get_asset_check_execution_history(key, limit=1, status=done)
        event = records[0].event.dagster_event if records and records[0].event else None
        if event is None or records[0].status != Status.FAILED:
            continue
        told = {
            name: getattr(v, "value", v) for name, v in event.asset_check_evaluation_data.metadata.items()
        }
        evidence = {
            "check": f"{key.asset_key.to_user_string()}:{name}",
            "observed": str(told.get("observed", f"check {name} failed")),
            "allowed": str(told.get("allowed", "")),
            "evaluation": records[0].id,
            "at": _moment(records[0].create_timestamp),
            "run_id": records[0].run_id,
        }
        yield Signal(cause, evidence, str(told.get("champion", "")))


def freshness_signal(instance: dg.DagsterInstance, project: Project, champion: str) -> Iterator[Signal]:
    """The freshness policy of ``champion`` fails, since it became the champion.

    Dagster's freshness daemon writes down changes of the state, a while after they happen: one from
    before the last promotion speaks of the version that was replaced.
    """
    key = asset_key(project, "champion")
    record = instance.event_log_storage.get_freshness_state_records([key]).get(key)
    if record is None or record.freshness_state != FreshnessState.FAIL:
        return
    made = instance.get_latest_materialization_event(key)
    if made is None or record.updated_at.timestamp() < made.timestamp:
        return
    since = _moment(made.timestamp)
    evidence = {
        "observed": f"it was promoted {since[:16]} UTC, too long ago for its freshness policy",
        "allowed": _allowed(project),
        "state": "FAIL",
        "at": _moment(record.updated_at.timestamp()),
    }
    yield Signal("freshness", evidence, champion)


def code_signal(about: str, now: Mapping[str, str], before: Mapping[str, str | None]) -> Iterator[Signal]:
    """A candidate would be trained by other code than the last time, or was never (a new family)."""
    if not any(before.values()):
        return
    changed = {name: {"trained by": before.get(name), "now": code} for name, code in now.items()}
    changed = {name: codes for name, codes in changed.items() if codes["trained by"] != codes["now"]}
    if changed:
        said = [
            f"candidates/{name} was trained by code {codes['trained by'] or '(never)'}, now {codes['now']}"
            for name, codes in changed.items()
        ]
        yield Signal("code", {"observed": "; ".join(said), "families": changed}, about)


def _merged(signals: Iterator[Signal]) -> list[Signal]:
    """One signal for each (cause, champion): checks that fail together are one cause."""
    found: dict[tuple[str, str], Signal] = {}
    for signal in signals:
        key = (signal.cause, signal.about)
        found[key] = _both(found[key], signal) if key in found else signal
    return list(found.values())


def _both(first: Signal, second: Signal) -> Signal:
    joined: dict[str, Any] = {
        name: f"{first.evidence[name]}; {second.evidence[name]}" for name in ("observed", "allowed")
    }
    return Signal(first.cause, {**first.evidence, **joined, "also": dict(second.evidence)}, first.about)


def _allowed(project: Project) -> str:
    limit = project.freshness.champion
    return f"at most {limit.days} days" if limit else ""


def _moment(timestamp: float) -> str:
    return datetime.fromtimestamp(timestamp, UTC).isoformat(timespec="seconds")
