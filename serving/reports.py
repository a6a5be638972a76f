"""What ``/health`` and ``/info`` answer."""

from __future__ import annotations

import datetime as dt
import time
from typing import TYPE_CHECKING, Literal

import msgspec

from serving.holder import Refusal
from serving.prediction_log.view import LogHealth

if TYPE_CHECKING:
    from mlops_assets.project import Project
    from serving.holder import Loaded, Status
    from serving.store import RegistryNote

STALE_SECONDS = 60.0
"""A registry note older than this means that nobody looks any more."""


class RegistryHealth(msgspec.Struct, kw_only=True):
    """``seconds_ago``: since the last look; ``champion``: the version that the alias named then."""

    up: bool
    champion: str | None = None
    error: str | None = None
    seconds_ago: float | None = None


class Health(msgspec.Struct, kw_only=True):
    """``degraded``: answers, but not with the champion, without sight of the registry, or ``log`` is not ok.

    ``log``: the prediction log; null where it is switched off.
    """

    status: Literal["ok", "degraded", "starting"]
    project: str
    version: str | None
    refused: list[Refusal]
    registry: RegistryHealth
    log: LogHealth | None = None


class Info(msgspec.Struct, kw_only=True):
    """The model in use; all of it null until one is loaded. Times are ISO, UTC."""

    project: str
    title: str
    version: str | None = None
    family: str | None = None
    training_set: str | None = None
    code_version: str | None = None
    created: str | None = None
    loaded_at: str | None = None
    load_seconds: float | None = None
    threshold: float | None = None
    proven_rows: int | None = None
    held_out: str | None = None
    scores: dict[str, float] | None = None
    source: str | None = None


def health(
    project: Project, status: Status | None, note: RegistryNote | None, log: LogHealth | None
) -> Health:
    """How the endpoint is, from what its model's process and its follower last said."""
    model = status.model if status else None
    refused = status.refused if status else []
    registry = _registry(note)
    behind = registry.champion is not None and model is not None and registry.champion != model.version
    logged = log is None or log.status == "ok"
    well = registry.up and not refused and not behind and logged
    return Health(
        status="starting" if model is None else ("ok" if well else "degraded"),
        project=project.name,
        version=model.version if model else None,
        refused=refused,
        registry=registry,
        log=log,
    )


def _registry(note: RegistryNote | None) -> RegistryHealth:
    if note is None:
        return RegistryHealth(up=False, error="not asked yet")
    age = time.time() - note.at
    stale = f"nobody has looked for {age:.0f} s" if age > STALE_SECONDS else None
    return RegistryHealth(
        up=note.up and stale is None,
        champion=note.champion,
        error=note.error or stale,
        seconds_ago=round(age, 1),
    )


def info(project: Project, model: Loaded | None) -> Info:
    """What is served, and where it comes from."""
    if model is None:
        return Info(project=project.name, title=project.title)
    return Info(
        project=project.name,
        title=project.title,
        version=model.version,
        family=model.family,
        training_set=model.training_set,
        code_version=model.code_version,
        created=model.created,
        loaded_at=iso(model.loaded_at),
        load_seconds=round(model.load_seconds, 4),
        threshold=model.threshold,
        proven_rows=model.proven_rows,
        held_out=model.held_out or None,
        scores=model.scores or None,
        source=model.source.rpartition("#")[0],
    )


def iso(seconds: float) -> str:
    return dt.datetime.fromtimestamp(seconds, dt.UTC).isoformat(timespec="seconds")


def trained_at(model: Loaded | None) -> float:
    """When the model was trained, seconds since 1970; NaN where that cannot be read."""
    try:
        return dt.datetime.fromisoformat(model.created).timestamp() if model else float("nan")
    except ValueError:
        return float("nan")
