"""From the training set's rows to what a family fits on: vocabularies and encoded examples."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from mlops_assets.families import Examples
from serving.encoding import Encoding
from serving.fields import Columns as Fields

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from mlops_assets.project import Columns, Project

_PRIOR_ROWS = 50.0
"""Rows of the average rate that a value's rate is mixed with: three late flights of four to a rare
airport do not make it the latest of all."""

Vocabularies = dict[str, list[str]]
"""Categorical column -> its values, in the order of their codes: value ``i`` has code ``i + 1``."""


def make_examples(project: Project, frame: pd.DataFrame) -> tuple[Examples, Vocabularies]:
    """The rows of ``frame`` (a training set) encoded, in their order, and the vocabularies fitted on them.

    The way from fields to columns is the endpoint's own.
    """
    features = project.features
    y = frame[features.label].to_numpy(dtype=np.float32)
    columns = model_columns(project, frame)
    vocabularies = fit_vocabularies({name: columns[name] for name in features.categorical}, y)
    x, _ = Encoding(features.numeric, vocabularies).encode(columns)
    cardinalities = tuple(len(vocabularies[name]) + 1 for name in features.categorical)
    return Examples(x, y, features.numeric, features.categorical, cardinalities), vocabularies


def model_columns(project: Project, frame: pd.DataFrame) -> Columns:
    """The model's columns of the rows of ``frame``, derived as the endpoint derives them."""
    fields = Fields(project.features.instance)
    given = {name: frame[name].to_numpy() for name in project.features.instance_fields}
    return project.features.transform(fields.canonical(given))


def fit_vocabularies(columns: Mapping[str, NDArray[np.object_]], y: NDArray[np.float32]) -> Vocabularies:
    """Each column's values, ordered by the rate of positive labels (then by name).

    The order lets a tree split the codes as if they were a number. A missing value gets no code of
    its own: it is unknown (0).
    """
    average = float(y.mean())
    vocabularies = {}
    for name, values in columns.items():
        seen = pd.Series(y, dtype=float).groupby(pd.Series(values, dtype=object)).agg(["sum", "count"])
        rate = (seen["sum"] + _PRIOR_ROWS * average) / (seen["count"] + _PRIOR_ROWS)
        vocabularies[name] = [value for _, value in sorted(zip(rate, rate.index, strict=True))]
    return vocabularies


def forget_some(examples: Examples, share: float, seed: int) -> NDArray[np.float32]:
    """A copy of ``x`` in which ``share`` of the codes of each categorical column are unknown (0).

    Otherwise no training row would say what to make of a value that was never seen.
    """
    x = examples.x.copy()
    codes = x[:, len(examples.numeric) :]
    codes[np.random.default_rng(seed).random(codes.shape) < share] = 0
    return x


def split_in_time(rows: int, validation_share: float) -> int:
    """The first validation row: the last ``validation_share`` of the rows, at least one, are validation."""
    return rows - max(1, min(rows - 1, round(rows * validation_share)))
