"""Which runs to ask for, given what is known. Pure: no store, no database, no Dagster.

A run reads the new object versions of one partition, and builds its features when all sources are
there. Object versions without a partition (a dimension table) ride along with the first partition
that needs them, since each run costs seconds of process start. One partition has one run at a time,
so that an older version never overwrites a newer one.
"""

from __future__ import annotations

import hashlib
import json
import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from mlops_assets.automation.features_due import Inputs, identity

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping


@dataclass(frozen=True)
class Limits:
    """What bounds a tick. Times in seconds."""

    scan_seconds: float = 15.0
    """No page of the store's listing is asked for after this; the next tick goes on from there."""
    runs_per_tick: int = 25
    open_runs: int = 100
    """Runs asked for and not finished."""
    patience: float = 8.0
    """How long a partition waits for its other sources before it is read without building features."""
    shared_patience: float = 120.0
    """How long partitions wait for the run that reads a new object shared by all."""
    attempts: int = 3
    backoff: float = 5.0
    """After the first failed run; doubled after each further one."""


@dataclass(frozen=True)
class Pending:
    """An object version that is to be read. ``age``: seconds since it was seen."""

    seq: int
    source: str
    partition: str
    key: str
    version_id: str
    age: float


@dataclass(frozen=True)
class OpenRun:
    """A run that was asked for. ``shared``: it reads objects without a partition."""

    partition: str
    shared: bool


@dataclass(frozen=True)
class Request:
    """A run to ask for: object versions to read, by source; the features' ``inputs`` if it builds them."""

    project: str
    partition: str
    versions: Mapping[str, Pending]
    inputs: str | None

    @property
    def base(self) -> str:
        """Names what is to be done: the same work has the same name, however often it is planned."""
        work = [sorted((s, v.key, v.version_id, v.seq) for s, v in self.versions.items()), self.inputs]
        digest = hashlib.sha256(json.dumps(work).encode()).hexdigest()[:16]
        return f"{self.project}/{self.partition or 'all'}/{digest}"


@dataclass(frozen=True)
class View:
    """What is known when a plan is made.

    ``handled``: partition -> inputs that were read; ``due``: partition -> the inputs its features
    are to be built from.
    """

    project: str
    sources: frozenset[str]
    pending: Collection[Pending]
    handled: Mapping[str, Inputs]
    due: Mapping[str, str]
    open: Collection[OpenRun]
    ride: bool = True
    """Whether shared objects may ride along (not after such a run failed)."""


@dataclass
class Plan:
    """``requests`` in the order in which to ask; ``waiting``: partition -> what it waits for."""

    requests: list[Request] = field(default_factory=list)
    waiting: dict[str, str] = field(default_factory=dict)


_ITS_RUN = "its run"
_OTHER_SOURCES = "its other sources"
_SHARED = "a new object shared by all partitions"
_TO_RIDE = "a partition to be read with"


def make_plan(view: View, limits: Limits) -> Plan:
    """The runs that could be asked for now, oldest partition first, and who waits for what."""
    return _Planner(view, limits).plan()


class _Planner:
    def __init__(self, view: View, limits: Limits) -> None:
        self.view = view
        self.limits = limits
        self.made = Plan()
        self.new = _by_partition(view.pending)
        self.shared = self.new.pop("", {})
        self.shared_busy = any(run.shared for run in view.open)
        self.riders = self.shared if view.ride and not self.shared_busy else {}
        # A shared object that does not get read (its run fails, or hangs) holds nobody up for ever.
        self.shared_blocks = _youngest(self.shared) < limits.shared_patience

    def plan(self) -> Plan:
        busy = {run.partition for run in self.view.open}
        for partition in sorted(set(self.new) | set(self.view.due)):
            if partition in busy:
                self.made.waiting[partition] = _ITS_RUN
            elif partition in self.new:
                self._read(partition, self.new[partition])
            elif self.shared_blocks:
                self.made.waiting[partition] = _SHARED
            else:
                self._request(partition, {}, self.view.due[partition])
        if self.riders:
            self._read_shared()
        elif self.shared and not self.shared_busy and not self.view.ride:
            self.made.requests.insert(0, Request(self.view.project, "", self.shared, None))
        return self.made

    def _read(self, partition: str, versions: dict[str, Pending]) -> None:
        """Plan to read one partition's new versions, with features where that makes it complete."""
        known = {**self.view.handled.get("", {}), **self.view.handled.get(partition, {})}
        inputs = self._inputs(known, {**self.riders, **versions})
        if self.riders and inputs is not None:
            self._request(partition, {**self.riders, **versions}, inputs)
            self.riders = {}
        elif self.shared_blocks and self.view.sources <= {*known, *versions, *self.shared}:
            self.made.waiting[partition] = _SHARED
        elif inputs is None and max(v.age for v in versions.values()) < self.limits.patience:
            self.made.waiting[partition] = _OTHER_SOURCES
        else:
            self._request(partition, versions, inputs)

    def _read_shared(self) -> None:
        """No partition takes the shared objects along: one may be about to, or they go alone."""
        if _OTHER_SOURCES in self.made.waiting.values():
            self.made.waiting[""] = _TO_RIDE
        else:
            self.made.requests.insert(0, Request(self.view.project, "", self.riders, None))

    def _request(self, partition: str, versions: dict[str, Pending], inputs: str | None) -> None:
        self.made.requests.append(Request(self.view.project, partition, versions, inputs))

    def _inputs(self, known: Inputs, versions: Mapping[str, Pending]) -> str | None:
        """The identity of the features' inputs once ``versions`` are read; None where a source is missing."""
        inputs = {**known, **{source: v.seq for source, v in versions.items()}}
        inputs = {source: seq for source, seq in inputs.items() if source in self.view.sources}
        return identity(inputs) if len(inputs) == len(self.view.sources) else None


def _youngest(versions: Mapping[str, Pending]) -> float:
    return min((v.age for v in versions.values()), default=math.inf)


def _by_partition(pending: Iterable[Pending]) -> dict[str, dict[str, Pending]]:
    found: dict[str, dict[str, Pending]] = {}
    for version in sorted(pending, key=lambda v: v.seq):
        found.setdefault(version.partition, {})[version.source] = version
    return found
