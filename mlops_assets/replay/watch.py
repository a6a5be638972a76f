"""What watches the champion in the replay: drift as traffic comes, performance as labels come."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from mlops_assets.lifecycle.code import code_version
from mlops_assets.retraining.policy import Signal

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from numpy.typing import NDArray

    from mlops_assets.judging.gate import Verdict
    from mlops_assets.monitoring.drift import DriftVerdict
    from mlops_assets.monitoring.reference import Reference
    from mlops_assets.project import Project
    from mlops_assets.replay.judge import Judged
    from mlops_assets.replay.store import Store
    from mlops_assets.replay.training import Candidate, Trainer
    from mlops_assets.replay.world import World


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


class Watch:
    """Judges one champion, as the stages ``reference_profile``, ``drift`` and ``performance`` do."""

    def __init__(
        self, project: Project, world: World, trainer: Trainer, version: str, model: Candidate
    ) -> None:
        self._project = project
        self._world = world
        self._trainer = trainer
        self.version = version
        self.model = model
        self.reference: Reference | None = None
        self._columns: dict[str, Mapping[str, NDArray[Any]]] = {}

    def refer(self, judged: Judged, store: Store) -> None:
        """Make the reference from the training and the evaluation that led to this champion."""
        import msgspec

        from mlops_assets.monitoring.reference import decode_reference, encode_reference, make_reference

        told = [judged.evaluation.holdout, hashlib.sha256(judged.evaluation.to_json()).hexdigest()]
        parts = [*self.model.key, *told, code_version(make_reference)]
        data = store.bytes("references", parts, lambda: encode_reference(self._refer(judged)))
        self.reference = msgspec.structs.replace(decode_reference(data), champion=self.version)

    def _refer(self, judged: Judged) -> Reference:
        from mlops_assets.lifecycle.model_columns import as_used
        from mlops_assets.monitoring.reference import make_reference

        held_out = judged.evaluation.holdout
        frame = self._trainer.rows(self.model.trained)
        fields = {name: frame[name].to_numpy() for name in self._project.features.instance_fields}
        return make_reference(
            self._project,
            as_used(self.model.predictor, fields),
            self._used(held_out),
            self._trainer.scores(self.model, held_out),
            self._world.labels(held_out),
            champion=self.version,
            training_set=self.model.training_set,
            held_out=held_out,
            held_out_times=self._world.times(held_out),
            promised=judged.evaluation.score,
        )

    def drift(self, served: Sequence[Served]) -> DriftVerdict:
        """The verdict on the last ``Drift.window_rows`` predictions; others' are put through this model."""
        from mlops_assets.monitoring.drift import judge_drift
        from mlops_assets.monitoring.profiles import empty_profile
        from mlops_assets.monitoring.reference import profile_features, profile_scores

        reference = self._reference()
        features, scores = empty_profile(reference.features.binning), empty_profile(reference.scores.binning)
        for one in _last(served, self._project.drift.window_rows):
            rows = slice(one.first, one.last)
            columns = {name: values[rows] for name, values in self._used(one.partition).items()}
            features += profile_features(reference, columns)
            scores += profile_scores(reference, self._trainer.scores(self.model, one.partition)[rows])
        return judge_drift(reference, features, scores, self._project.drift)

    def performance(self, served: Sequence[Served], labelled: Sequence[str]) -> Verdict | None:
        """The verdict on the champion's own outcomes, of the newest partitions that are enough; or None."""
        import pandas as pd

        from mlops_assets.judging.sample import ScoreError
        from mlops_assets.monitoring.performance import judge_performance, measure

        limits = self._project.performance
        own = [s for s in served if s.version == self.version and s.partition in labelled]
        recent: list[Served] = []
        for partition in sorted({s.partition for s in own}, reverse=True):
            if sum(s.rows for s in recent) < limits.min_outcomes:
                recent += [s for s in own if s.partition == partition]
        if not recent:
            return None
        frame = pd.concat([self._outcomes(s) for s in recent], ignore_index=True)
        reference = self._reference()
        try:
            measured = measure(frame, {self.version: reference}, limits)
        except ScoreError:  # one class only: nothing that could be judged
            return None
        return judge_performance(measured, reference, limits)

    def _outcomes(self, one: Served) -> Any:
        import pandas as pd

        rows = slice(one.first, one.last)
        return pd.DataFrame(
            {
                "time": self._world.times(one.partition)[rows],
                "probability": self._trainer.scores(self.model, one.partition)[rows],
                "label": self._world.labels(one.partition)[rows],
                "version": self.version,
            }
        )

    def _used(self, partition: str) -> Mapping[str, NDArray[Any]]:
        """What the model is given for the rows of ``partition``."""
        from mlops_assets.lifecycle.model_columns import as_used

        if partition not in self._columns:
            self._columns[partition] = as_used(self.model.predictor, self._world.fields(partition))
        return self._columns[partition]

    def _reference(self) -> Reference:
        if self.reference is None:
            raise RuntimeError("a champion is judged before its reference was made: call refer first")
        return self.reference


def signal(cause: Any, version: str, verdicts: Sequence[Verdict]) -> Signal | None:
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
