"""Trainings of the replay: the families' own fits, stored models loaded by the endpoint's code."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from mlops_assets.lifecycle.code import code_version

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    import pandas as pd
    from numpy.typing import NDArray

    from mlops_assets.families import Family
    from mlops_assets.project import Project
    from mlops_assets.replay.history import History, Tell
    from mlops_assets.replay.store import Store
    from serving.predictor import Predictor


def training_set_id(contents: Sequence[str]) -> str:
    """The id of the training set of partitions with these contents, as the lifecycle names it."""
    return hashlib.sha256("".join(contents).encode()).hexdigest()[:16]


@dataclass(frozen=True)
class Candidate:
    """A trained model. ``key`` names it among the stored ones; ``trained`` are its partitions."""

    key: tuple[str, str, str]
    family: str
    training_set: str
    trained: tuple[str, ...]
    data: bytes
    project: Project

    @cached_property
    def predictor(self) -> Predictor:
        from serving.predictor import Predictor

        return Predictor.load(self.data, self.project)

    @cached_property
    def proof(self) -> str | None:
        """None, or why the stored model does not reproduce its own predictions."""
        from serving.predictor import ProofError

        try:
            self.predictor.prove()
        except ProofError as error:
            return str(error)
        return None


class Trainer:
    """Fits the project's families on partitions of the history; each fit is done once and stored."""

    def __init__(self, project: Project, history: History, store: Store, tell: Tell) -> None:
        self._project = project
        self._history = history
        self._store = store
        self._tell = tell
        self._candidates: dict[tuple[str, str, str], Candidate] = {}
        self._hashes: dict[str, str] = {}
        self._scores: dict[tuple[tuple[str, str, str], str], NDArray[np.float64]] = {}

    def train(self, partitions: tuple[str, ...]) -> tuple[Candidate, ...]:
        """A candidate of each family, fitted on all rows of ``partitions``."""
        return tuple(self._candidate(family, partitions) for family in self._project.families)

    def scores(self, candidate: Candidate, partition: str) -> NDArray[np.float64]:
        """The candidate's probabilities for all rows of ``partition``, float64 (rows,)."""
        key = (candidate.key, partition)
        if key not in self._scores:
            parts = [*candidate.key, self._given(partition)]

            def predict() -> NDArray[np.float64]:
                return candidate.predictor.predict_frame(self._history.frames[partition]).probability

            self._scores[key] = self._store.array("scores", parts, predict)
        return self._scores[key]

    def rows(self, partitions: tuple[str, ...]) -> pd.DataFrame:
        """The rows of ``partitions``, oldest first."""
        import pandas as pd

        return pd.concat([self._history.frames[p] for p in partitions], ignore_index=True)

    def _candidate(self, family: Family, partitions: tuple[str, ...]) -> Candidate:
        name = training_set_id([self._history.content[p] for p in partitions])
        # By what the model is given, not by the code that made it: who declares another policy in the
        # project's folder should not wait for the same fits again.
        given = training_set_id([self._given(p) for p in partitions])
        key = (given, family.name, code_version(family))
        if key not in self._candidates:

            def fit() -> bytes:
                self._tell(f"fits {family.name} on {partitions[0]} to {partitions[-1]}")
                code = code_version(self._project.features.transform, family)
                return self._fit(family, partitions, name, code)

            declared = [self._project.name, self._project.endpoint.threshold]
            data = self._store.bytes("models", [*key, declared], fit)
            self._candidates[key] = Candidate(key, family.name, name, partitions, data, self._project)
        return self._candidates[key]

    def _given(self, partition: str) -> str:
        """A hash over the model's columns and the labels of ``partition``."""
        if partition not in self._hashes:
            import pandas as pd

            from mlops_assets.families.encoding import model_columns
            from mlops_assets.resources.lake import frame_hash

            frame, features = self._history.frames[partition], self._project.features
            columns = model_columns(self._project, frame)
            used = {name: columns[name] for name in (*features.numeric, *features.categorical)}
            labels = frame[features.label].to_numpy()
            self._hashes[partition] = frame_hash(pd.DataFrame({**used, features.label: labels}))
        return self._hashes[partition]

    def _fit(self, family: Family, partitions: tuple[str, ...], name: str, code: str) -> bytes:
        from mlops_assets.families.packaging import make_bundle, make_examples

        frame = self.rows(partitions)
        examples, vocabularies = make_examples(self._project, frame)
        fitted = family.fit(examples, lambda *_: None)
        return make_bundle(self._project, family, fitted, vocabularies, frame, name, code)
