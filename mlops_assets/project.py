"""What a project declares. Pure: no Dagster, no S3, no MLflow.

A project is one model product. Everything that the shared lifecycle (raw data to endpoint) needs
to know of it is said here, once, in its folder under ``projects/``.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import Any, Literal

import msgspec
import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, model_validator

from mlops_assets.contracts import Contract
from mlops_assets.families import Family
from mlops_assets.lifecycle import STAGES
from mlops_assets.needs import TRAINING, Needs, check_needs, find_needs

Columns = Mapping[str, NDArray[Any]]
"""Named columns, each of shape (rows,)."""


class Declared(BaseModel):
    """Base of all declarations: frozen, typed, unknown keys refused."""

    model_config = ConfigDict(frozen=True, extra="forbid", arbitrary_types_allowed=True)


class Accepted(Declared):
    """One exception that a person has looked at: ``check`` may fail on ``partition``, because of ``why``.

    ``partition`` is "" for a source without partitions.
    """

    partition: str
    check: Literal["volume", "duplicates", "nulls", "ranges"]
    why: str = Field(min_length=10)


class Quality(Declared):
    """What a source's rows must be beyond its contract (see ``quality`` and ``docs/checks.md``).

    ``rows``: at least and at most, whatever other partitions have. ``rows_to_usual``: at least and at
    most, as shares of the median of other partitions. ``max_nulls``: column -> largest share of missing
    values; a column that is not named may not be missing altogether, nor by ``max_null_rise`` (a share
    of the rows) more than in any other partition. ``medians``: column -> lowest and highest median: what
    tells degrees Fahrenheit from Celsius. The middle half of a numeric column may be ``max_spread_change``
    times as wide as usual, or as narrow. What compares with other partitions needs ``min_others`` of them.
    """

    rows: tuple[int, int] | None = None
    rows_to_usual: tuple[float, float] = (0.65, 1.5)
    max_nulls: Mapping[str, float] = Field(default_factory=dict)
    max_null_rise: float = Field(default=0.25, gt=0, le=1)
    medians: Mapping[str, tuple[float, float]] = Field(default_factory=dict)
    max_spread_change: float = Field(default=4.0, gt=1)
    min_others: int = Field(default=2, ge=1)
    accepted: tuple[Accepted, ...] = ()

    def why_accepted(self, check: str, partition: str | None) -> str:
        """Why ``check`` may fail on ``partition``; "" if it may not."""
        of = (a.why for a in self.accepted if a.check == check and a.partition == (partition or ""))
        return next(of, "")


class Source(Declared):
    """One stream of raw objects.

    ``pattern`` is the object key below ``raw/<project>/``; ``{partition}`` stands for a partition
    key. A source without it is one object (a dimension table) that all partitions share.
    """

    name: str = Field(pattern=r"^[a-z][a-z0-9_]*$")
    pattern: str
    contract: Contract
    description: str
    quality: Quality = Quality()

    @model_validator(mode="after")
    def _quality_names_columns(self) -> Source:
        known = {c.name: c for c in self.contract.columns}
        for name in (*self.quality.max_nulls, *self.quality.medians):
            if name not in known:
                raise ValueError(
                    f"source {self.name}: quality names {name!r}, which is no column of its contract"
                )
        for name in self.quality.medians:
            if known[name].type not in ("integer", "number"):
                raise ValueError(
                    f"source {self.name}: {name!r} has no median, its type is {known[name].type}"
                )
        return self

    @property
    def partitioned(self) -> bool:
        return "{partition}" in self.pattern

    def key(self, project: str, partition: str | None) -> str:
        """The key of the object of ``partition`` in the raw bucket."""
        return f"{project}/{self.pattern.replace('{partition}', partition or '')}"

    def match(self, project: str, key: str) -> str | None:
        """The text in the partition's place of ``key`` ("" for an unpartitioned source), or None."""
        before, mark, after = f"{project}/{self.pattern}".partition("{partition}")
        found = re.fullmatch(f"{re.escape(before)}{'([^/]+)' if mark else '()'}{re.escape(after)}", key)
        return found.group(1) if found else None


class Leakage(Declared):
    """What no honest features have (see ``quality.leakage``, ``quality.skew`` and ``docs/checks.md``).

    ``max_column_auc``: the ROC AUC that one column reaches alone, at most. ``max_seen``: share of the
    held-out rows that are among the training rows, at most. ``max_refused``: share of the rows that the
    endpoint would refuse as a request, at most. ``max_null_rise``: as in ``Quality``, for the fields of
    ``instance``; ``min_others`` as well.
    """

    max_column_auc: float = Field(default=0.8, gt=0.5, le=1)
    max_seen: float = Field(default=0.01, ge=0, le=1)
    max_refused: float = Field(default=0.01, ge=0, le=1)
    max_null_rise: float = Field(default=0.4, gt=0, le=1)
    min_others: int = Field(default=2, ge=1)


class Features(Declared):
    """From raw frames to the model's input.

    ``build`` is the pure function behind the ``features`` asset: raw frames of one partition by
    source name in, one row for each example out, with the columns ``identity``, the fields of
    ``instance`` and ``label``. ``transform`` derives the model's columns from the instances'
    columns; training and serving call this same function.

    ``entity``: the fields of ``instance`` that say which thing a prediction is about; a label is joined
    to the predictions that have the same (empty: all fields). ``event_time``: the field (ISO text) that
    says when it happens, and so which partition brings its label (None: when it was asked about).
    """

    build: Callable[[Mapping[str, pd.DataFrame]], pd.DataFrame]
    instance: type[msgspec.Struct]
    transform: Callable[[Columns], Columns]
    numeric: tuple[str, ...]
    categorical: tuple[str, ...]
    identity: tuple[str, ...]
    label: str
    entity: tuple[str, ...] = ()
    event_time: str | None = None
    slices: tuple[str, ...] = ()
    leakage: Leakage = Leakage()

    @property
    def instance_fields(self) -> tuple[str, ...]:
        return tuple(self.instance.__struct_fields__)


class Gate(Declared):
    """The rule that turns a candidate into the champion (see ``judging.gate`` and ``docs/gate.md``).

    ``resample_days_of``: a column of the features that holds the row's time. Rows of one day share their
    fate (weather, a strike), so that whole days are resampled; drawn one by one, they would make the
    intervals too narrow. None: row by row.
    """

    min_auc_over_baseline: float = Field(default=0.02, ge=0, lt=0.5)
    confidence: float = Field(default=0.95, gt=0.5, lt=1)
    noise_margin: float = Field(default=0.002, ge=0)
    max_possible_loss: float = Field(default=0.03, gt=0)
    bootstrap_rounds: int = Field(default=500, ge=100)
    resample_days_of: str | None = None
    min_slice_rows: int = Field(default=400, ge=1)
    max_slice_auc_drop: float = Field(default=0.10, ge=0)
    min_slice_auc: float = Field(default=0.50, ge=0, le=1)
    max_calibration_error: float = Field(default=0.08, ge=0)


class Partitions(Declared):
    """Time windows of the project's data: months (``2013-01``) or days (``2013-01-31``).

    ``start`` and ``end`` are the first and the last partition; without ``end`` there is a new one
    each time a window is over.
    """

    every: Literal["month", "day"]
    start: str
    end: str | None = None


class Drift(Declared):
    """When the features or scores of live traffic have moved (see ``monitoring.drift``, ``docs/drift.md``).

    The window is the last ``window_rows`` predictions, judged from ``min_rows`` on. A column has drifted
    if its movement is significant at ``false_alarm_rate`` (for all columns together) and its
    Jensen-Shannon distance from the training set is above ``min_distance`` and above ``usual_movement``
    times the distance that as many days of the champion's own held-out partition had on average: what the
    gate saw it cope with. The features have drifted when more than ``max_drifted_share`` of the columns
    have. The scores have when their movement is significant and farther from those on the held-out
    partition than ``max_score_distance`` and than is usual there.
    """

    window_rows: int = Field(default=20_000, ge=100)
    min_rows: int = Field(default=2_000, ge=50)
    false_alarm_rate: float = Field(default=0.01, gt=0, lt=0.5)
    min_distance: float = Field(default=0.1, gt=0, lt=1)
    usual_movement: float = Field(default=1.25, ge=1)
    max_drifted_share: float = Field(default=0.25, ge=0, lt=1)
    max_score_distance: float = Field(default=0.2, gt=0, lt=1)


class Performance(Declared):
    """When the champion's real ROC AUC breaks what its evaluation promised (``monitoring.performance``).

    It is broken when the whole interval of the real one (``confidence``, resampled by day) lies more
    than ``max_auc_drop`` below the promised one. Judged from ``min_outcomes`` outcomes on.
    """

    confidence: float = Field(default=0.95, gt=0.5, lt=1)
    max_auc_drop: float = Field(default=0.02, ge=0)
    min_outcomes: int = Field(default=1_000, ge=50)


class Retraining(Declared):
    """When a new training is asked for by itself (see ``retraining.policy`` and ``docs/retraining.md``).

    ``on``: failing checks and changes that are causes. New data alone is one when the labelled rows have
    grown by the share ``growth`` since the last training (None: never). None of them counts with fewer
    than ``min_new_rows`` labelled rows that the last training did not have, but for new code. Drift
    counts from a growth by ``min_growth`` on: it does not say that answers got worse, and a training on
    nearly the same rows makes nearly the same model. Freshness does not: it sees to it that in the end
    every row is trained on.
    Two trainings are at least ``cool_down`` apart, and there are at most ``trainings_per_day``.
    """

    on: tuple[Literal["drift", "performance", "freshness", "code"], ...] = (
        "performance",
        "drift",
        "freshness",
        "code",
    )
    growth: float | None = Field(default=0.3, gt=0)
    min_growth: float = Field(default=0.0, ge=0)
    min_new_rows: int = Field(default=1, ge=1)
    cool_down: timedelta = timedelta(hours=1)
    trainings_per_day: int = Field(default=4, ge=1)

    def needed_rows(self, cause: str, seen_rows: int) -> int:
        """How many new labelled rows ``cause`` needs on top of ``seen_rows``."""
        if cause in ("first", "code"):
            return 0
        grown = math.ceil(self.min_growth * seen_rows) if cause == "drift" else 0
        return max(self.min_new_rows, grown)


class Freshness(Declared):
    """How old an asset may be before its freshness policy fails; None: it has none."""

    raw: timedelta | None = timedelta(days=40)
    champion: timedelta | None = timedelta(days=120)
    endpoint: timedelta | None = timedelta(hours=3)
    predictions: timedelta | None = timedelta(days=1)


class Endpoint(Declared):
    """How the champion is served. ``port_offset`` is added to ``MLOPS_ENDPOINT_BASE_PORT``.

    ``choices`` gives the page's form its real values: field -> options; ``example`` fills it.
    """

    port_offset: int = Field(ge=0)
    positive: str
    threshold: float = Field(default=0.5, gt=0, lt=1)
    choices: Mapping[str, tuple[str, ...]] = Field(default_factory=dict)
    example: Mapping[str, Any] = Field(default_factory=dict)
    timeout_seconds: float = 60.0


class Project(Declared):
    """One model product; see ``projects/flight_delays/project.py`` for one."""

    name: str = Field(pattern=r"^[a-z][a-z0-9_]*$")
    title: str
    description: str
    owners: tuple[str, ...]
    partitions: Partitions
    sources: tuple[Source, ...]
    features: Features
    families: tuple[Family, ...]
    gate: Gate = Gate()
    drift: Drift = Drift()
    performance: Performance = Performance()
    retraining: Retraining = Retraining()
    freshness: Freshness = Freshness()
    endpoint: Endpoint
    min_partitions: int = Field(default=2, ge=2)
    """Partitions of features before the first training: the latest is held out."""
    needs: Mapping[str, Needs] = Field(default_factory=dict)
    """What steps need of a machine, by ``<stage>`` or ``<stage>/<name>``."""

    @model_validator(mode="after")
    def _names_are_unique(self) -> Project:
        for what, names in (
            ("sources", [s.name for s in self.sources]),
            ("families", [f.name for f in self.families]),
        ):
            if len(set(names)) != len(names):
                raise ValueError(f"project {self.name}: two {what} share a name: {names}")
        check_needs(self.needs, STAGES)
        for family in self.families:
            if self.needs_of(TRAINING, family.name).nodes > 1 and not family.over_nodes:
                raise ValueError(
                    f"needs of {TRAINING}/{family.name}: a {type(family).__name__} trains on one node; "
                    "say nodes of another family, by its name"
                )
        return self

    def needs_of(self, stage: str, name: str | None = None) -> Needs:
        """What the step that makes ``<stage>[/<name>]`` needs."""
        return find_needs(self.needs, stage, name)

    def source(self, name: str) -> Source:
        """The source called ``name``; ``KeyError`` if there is none."""
        return {s.name: s for s in self.sources}[name]


def frame_columns(frame: pd.DataFrame, fields: tuple[str, ...]) -> dict[str, NDArray[Any]]:
    """The frame's ``fields`` as the columns that ``Features.transform`` takes."""
    return {name: np.asarray(frame[name].to_numpy()) for name in fields}
