"""What watches the champion in the replay: drift as traffic comes, performance as labels come."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from mlops_assets.lifecycle.code import code_version
from mlops_assets.retraining.policy import Signal

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    import numpy as np
    import pandas as pd
    from numpy.typing import NDArray

    from mlops_assets.judging.gate import Verdict
    from mlops_assets.monitoring.drift import DriftVerdict
    from mlops_assets.monitoring.performance import Measured
    from mlops_assets.monitoring.profiles import Profile
    from mlops_assets.monitoring.reference import Reference
    from mlops_assets.project import Project
    from mlops_assets.replay.history import History
    from mlops_assets.replay.judge import Judged
    from mlops_assets.replay.store import Store
    from mlops_assets.replay.training import Candidate, Trainer
    from mlops_assets.replay.world import World
    from mlops_assets.retraining.policy import Cause


@dataclass(frozen=True)
class Served:
    """Rows ``first`` to ``last`` (exclusive) of ``partition`` were answered by ``version``."""

    partition: str
    first: int
    last: int
    version: str
    model: Candidate

    @property
    def rows(self) -> int:
        return self.last - self.first


@dataclass(frozen=True)
class Desk:
    """What all champions of a play are watched with."""

    project: Project
    history: History
    world: World
    trainer: Trainer
    store: Store


class Watch:
    """Judges one champion, as the stages ``reference_profile``, ``drift`` and ``performance`` do.

    ``judged``: the evaluation that it was promoted by. What is profiled and measured is stored; the verdicts
    come anew from that, so that other limits cost nothing.
    """

    def __init__(self, desk: Desk, version: str, judged: Judged) -> None:
        import msgspec

        from mlops_assets.monitoring.reference import decode_reference, encode_reference, make_reference

        self._desk = desk
        self.version = version
        self.model = judged.challenger
        self._columns: dict[str, Mapping[str, NDArray[Any]]] = {}
        evaluation = hashlib.sha256(judged.evaluation.to_json()).hexdigest()
        self._named = [*self.model.key, judged.evaluation.holdout, evaluation, code_version(make_reference)]
        stored = desk.store.bytes("references", self._named, lambda: encode_reference(self._refer(judged)))
        self._reference = msgspec.structs.replace(decode_reference(stored), champion=version)

    def _refer(self, judged: Judged) -> Reference:
        from mlops_assets.lifecycle.model_columns import as_used
        from mlops_assets.monitoring.reference import make_reference

        desk, held_out = self._desk, judged.evaluation.holdout
        frame = desk.trainer.rows(self.model.trained)
        fields = {name: frame[name].to_numpy() for name in desk.project.features.instance_fields}
        return make_reference(
            desk.project,
            as_used(self.model.predictor, fields),
            self._used(held_out),
            desk.trainer.scores(self.model, held_out),
            desk.world.labels(held_out),
            champion=self.version,
            training_set=self.model.training_set,
            held_out=held_out,
            held_out_times=desk.world.times(held_out),
            promised=judged.evaluation.score,
        )

    def drift(self, served: Sequence[Served]) -> DriftVerdict:
        """The verdict on the last ``Drift.window_rows`` predictions; others' are put through this model."""
        import msgspec

        from mlops_assets.monitoring.drift import judge_drift
        from mlops_assets.monitoring.profiles import Profile

        limits = self._desk.project.drift
        window = list(_last(served, limits.window_rows))
        stored = self._stored("windows", window, lambda: msgspec.json.encode(self._profiles(window)))
        features, scores = msgspec.json.decode(stored, type=tuple[Profile, Profile])
        return judge_drift(self._reference, features, scores, limits)

    def _profiles(self, window: Sequence[Served]) -> tuple[Profile, Profile]:
        from mlops_assets.monitoring.profiles import empty_profile
        from mlops_assets.monitoring.reference import profile_features, profile_scores

        reference = self._reference
        features, scores = empty_profile(reference.features.binning), empty_profile(reference.scores.binning)
        for one in window:
            rows = slice(one.first, one.last)
            columns = {name: values[rows] for name, values in self._used(one.partition).items()}
            features += profile_features(reference, columns)
            probability = self._desk.trainer.scores(self.model, one.partition)[rows]
            scores += profile_scores(reference, probability)
        return features, scores

    def performance(self, served: Sequence[Served], labelled: Sequence[str]) -> Verdict | None:
        """The verdict on the champion's own outcomes, of the newest partitions that are enough; or None."""
        import msgspec

        from mlops_assets.monitoring.performance import Measured, judge_performance

        limits = self._desk.project.performance
        own = [s for s in served if s.version == self.version and s.partition in labelled]
        recent: list[Served] = []
        for partition in sorted({s.partition for s in own}, reverse=True):
            if sum(s.rows for s in recent) < limits.min_outcomes:
                recent += [s for s in own if s.partition == partition]
        if not recent:
            return None
        labels = [self._desk.world.labels(one.partition) for one in recent]  # raises if it is too early
        stored = self._stored("outcomes", recent, lambda: msgspec.json.encode(self._measure(recent, labels)))
        measured = msgspec.json.decode(stored, type=Measured | None)
        return judge_performance(measured, self._reference, limits) if measured else None

    def _measure(self, recent: Sequence[Served], labels: Sequence[NDArray[np.float64]]) -> Measured | None:
        import pandas as pd

        from mlops_assets.judging.sample import ScoreError
        from mlops_assets.monitoring.performance import measure

        parts = [self._outcomes(one, known) for one, known in zip(recent, labels, strict=True)]
        frame = pd.concat(parts, ignore_index=True)
        try:
            return measure(frame, {self.version: self._reference}, self._desk.project.performance)
        except ScoreError:  # one class only: nothing that could be judged
            return None

    def _outcomes(self, one: Served, labels: NDArray[np.float64]) -> pd.DataFrame:
        import pandas as pd

        rows = slice(one.first, one.last)
        return pd.DataFrame(
            {
                "time": self._desk.world.times(one.partition)[rows],
                "probability": self._desk.trainer.scores(self.model, one.partition)[rows],
                "label": labels[rows],
                "version": self.version,
            }
        )

    def _stored(self, kind: str, rows: Sequence[Served], make: Callable[[], bytes]) -> bytes:
        content = self._desk.history.content
        named = [[content[one.partition], one.first, one.last] for one in rows]
        limits = repr(self._desk.project.performance) if kind == "outcomes" else ""
        return self._desk.store.bytes(kind, [self._named, self.version, named, limits], make)

    def _used(self, partition: str) -> Mapping[str, NDArray[Any]]:
        """What the model is given for the rows of ``partition``."""
        from mlops_assets.lifecycle.model_columns import as_used

        if partition not in self._columns:
            fields = self._desk.world.fields(partition)
            self._columns[partition] = as_used(self.model.predictor, fields)
        return self._columns[partition]


def signal(cause: Cause, version: str, verdicts: Sequence[Verdict]) -> Signal | None:
    """What the failed ones of ``verdicts`` on ``version`` say for a training; None if all passed."""
    failed = [verdict for verdict in verdicts if not verdict.passed]
    if not failed:
        return None
    evidence = {
        "check": "; ".join(verdict.name for verdict in failed),
        "observed": "; ".join(verdict.observed for verdict in failed),
        "allowed": "; ".join(verdict.allowed for verdict in failed),
        "figures": {verdict.name: dict(verdict.figures) for verdict in failed},
    }
    return Signal(cause, evidence, version)


def _last(served: Sequence[Served], rows: int) -> Iterator[Served]:
    """The newest ``rows`` rows of ``served``, newest first."""
    for one in reversed(served):
        if rows <= 0:
            return
        first = max(one.first, one.last - rows)
        yield Served(one.partition, first, one.last, one.version, one.model)
        rows -= one.last - first
