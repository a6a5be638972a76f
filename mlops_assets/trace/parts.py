"""What a trace is made of, from the answer back to the raw objects."""

from __future__ import annotations

import datetime as dt
from typing import Any

import msgspec


class Link(msgspec.Struct, frozen=True, kw_only=True):
    """The Dagster run that made something, and the code version it was made with.

    ``run_id`` is "" for what no run made (a person's rollback); ``code_version`` is "" where Dagster
    keeps none. ``at``: when it was made; None if Dagster does not know the run any more.
    """

    run_id: str = ""
    url: str = ""
    code_version: str = ""
    at: dt.datetime | None = None
    tags: dict[str, str] = msgspec.field(default_factory=dict)
    """The run's tags that say why it was asked for (``mlops/...``)."""


class RawObject(msgspec.Struct, frozen=True, kw_only=True):
    """One version of one object in the raw bucket. ``address``: with the version, as S3 tools take it."""

    source: str
    address: str
    bucket: str
    key: str
    version_id: str
    etag: str
    read_by: Link


class FeaturePart(msgspec.Struct, frozen=True, kw_only=True):
    """The features of one partition. ``held_out``: the gate judged on it, no training saw it."""

    partition: str
    held_out: bool
    address: str
    data_version: str
    made_by: Link
    objects: list[RawObject]


class TrainingSetPart(msgspec.Struct, frozen=True, kw_only=True):
    """The frozen rows that the model was fitted on."""

    id: str
    rows: int
    address: str
    manifest: str
    made_by: Link
    features: list[FeaturePart]


class PromotionPart(msgspec.Struct, frozen=True, kw_only=True):
    """One move of the alias to the version. ``kind``: promotion, rollback or repair.

    ``cause`` and ``why``: what the training was asked for, where that was noted.
    """

    kind: str
    at: dt.datetime
    replaced: str | None
    cause: str
    why: str
    made_by: Link


class ModelPart(msgspec.Struct, frozen=True, kw_only=True):
    """A registered version. ``scores`` are those on the held-out partition."""

    version: str
    is_champion: bool
    family: str
    model_uri: str
    registry: str
    mlflow_run: str
    held_out: str
    scores: dict[str, float]
    made_by: Link
    judged_by: Link
    promotions: list[PromotionPart]
    training_set: TrainingSetPart


class Trace(msgspec.Struct, frozen=True, kw_only=True):
    """All of it. ``predictions``: the request's rows as the prediction log has them.

    ``found_in``: where the answer was found. ``models``: one, as long as the request was answered once.
    """

    request_id: str
    project: str
    found_in: str
    predictions: list[dict[str, Any]]
    models: list[ModelPart]


def as_json_text(trace: Trace) -> str:
    """The trace as indented JSON."""
    return msgspec.json.format(msgspec.json.encode(trace), indent=2).decode()
