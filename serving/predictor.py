"""A stored model, ready to predict: the one code path of the endpoint and of the batch evaluation.

Loading runs no code of the file: ONNX Runtime reads the graph, msgspec the JSON beside it.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np

from mlops_assets.bundle import INPUT, OUTPUT, Bundle, BundleError, open_session, read_bundle
from mlops_assets.project import frame_columns
from serving.encoding import Encoding
from serving.fields import Columns

if TYPE_CHECKING:
    from collections.abc import Mapping

    import pandas as pd
    from numpy.typing import NDArray

    from mlops_assets.project import Project

TOLERANCE = 1e-6
"""The largest difference between a probability now and the one that was stored with the model."""


class ProofError(RuntimeError):
    """The model does not reproduce its own example rows; the message says by how much."""


@dataclass(frozen=True)
class Predicted:
    """``probability`` float64 (rows,); ``unknown``: categorical column -> bool (rows,), value never seen.

    ``x``: float32 (rows, columns), what the graph was given.
    """

    probability: NDArray[np.float64]
    unknown: Mapping[str, NDArray[np.bool_]]
    x: NDArray[np.float32]

    @cached_property
    def marked(self) -> dict[str, NDArray[np.bool_]]:
        """The part of ``unknown`` that marks a row."""
        return {name: marks for name, marks in self.unknown.items() if marks.any()}


class Predictor:
    """One version's model. Safe to use from several threads."""

    def __init__(self, session: Any, bundle: Bundle, project: Project) -> None:
        self.bundle = bundle
        self.project = project
        self._session = session
        self._columns = Columns(project.features.instance)
        self._encoding = Encoding(bundle.numeric, bundle.vocabularies)

    @classmethod
    def load(cls, data: bytes | Path, project: Project, threads: int = 1) -> Predictor:
        """Load a stored model for ``project``, to run on ``threads`` threads.

        Raises ``BundleError`` if it is no model, or not one that this project's code can feed.
        """
        if isinstance(data, Path):
            try:
                data = data.read_bytes()
            except OSError as error:
                raise BundleError(f"the stored model cannot be read: {error}") from error
        session = open_session(data, threads)
        bundle = read_bundle(session)
        _check_fits(bundle, session, project)
        return cls(session, bundle, project)

    def predict(self, columns: Mapping[str, Any]) -> Predicted:
        """Predict for ``columns``: each of the project's instance fields, shape (rows,).

        Raises ``KeyError`` for a missing column and ``ValueError`` for values that do not convert.
        """
        return self.predict_canonical(self._columns.canonical(columns))

    def predict_canonical(self, columns: Mapping[str, NDArray[Any]]) -> Predicted:
        """As ``predict``, for columns that ``fields.Columns`` made: their types are known to be right."""
        x, unknown = self._encoding.encode(self.project.features.transform(columns))
        (probability,) = self._session.run([OUTPUT], {INPUT: x})
        return Predicted(probability.astype(np.float64).reshape(-1), unknown, x)

    def predict_frame(self, frame: pd.DataFrame) -> Predicted:
        """Predict for each row of ``frame``, which has the instance's fields among its columns."""
        return self.predict(frame_columns(frame, self.project.features.instance_fields))

    def prove(self) -> None:
        """Predict the model's own example rows again; raises ``ProofError`` unless within ``TOLERANCE``."""
        examples = self.bundle.examples
        try:
            rows = msgspec.convert(examples, list[self.project.features.instance])  # type: ignore[name-defined]
            found = self.predict_canonical(self._columns.of(rows)).probability
        except Exception as error:
            raise ProofError(f"the model fails on its own {len(examples)} example rows: {error}") from error
        expected = np.asarray(self.bundle.expected, dtype=np.float64)
        if found.shape != expected.shape:
            raise ProofError(f"the model answers {len(found)} probabilities to {len(expected)} example rows")
        wrong = ~(np.abs(found - expected) <= TOLERANCE)  # NaN is wrong, too
        if wrong.any():
            row = int(np.argmax(wrong))
            raise ProofError(
                f"the model does not reproduce {int(wrong.sum())} of its {len(expected)} example rows: "
                f"row {row} gives {found[row]:.6f}, stored with it is {expected[row]:.6f}"
            )


def _check_fits(bundle: Bundle, session: Any, project: Project) -> None:
    if bundle.project != project.name:
        raise BundleError(f"the model belongs to project {bundle.project}, not to {project.name}")
    features = project.features
    declared = ([*features.numeric], [*features.categorical])
    if (stored := (bundle.numeric, list(bundle.vocabularies))) != declared:
        raise BundleError(
            f"the model was trained on other features than this code derives: it has {stored[0]} and "
            f"{stored[1]}, project {project.name} declares {declared[0]} and {declared[1]}; train again"
        )
    inputs = {given.name: given for given in session.get_inputs()}
    outputs = [given.name for given in session.get_outputs()]
    if list(inputs) != [INPUT] or OUTPUT not in outputs:
        raise BundleError(f"the graph must map {INPUT} to {OUTPUT}, but maps {[*inputs]} to {outputs}")
    width = inputs[INPUT].shape[-1]
    if isinstance(width, int) and width != len(bundle.columns):
        raise BundleError(f"the graph takes {width} columns, its metadata names {len(bundle.columns)}")
