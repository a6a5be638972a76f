"""The columns that a champion's model is given, of rows of features or of rows of the prediction log."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from serving.fields import Columns as Fields

if TYPE_CHECKING:
    from collections.abc import Mapping

    import pyarrow as pa
    from numpy.typing import NDArray

    from mlops_assets.project import Project
    from serving.predictor import Predictor


def received_columns(project: Project) -> list[str]:
    """The columns of the log that hold the requests' fields."""
    return [f"received.{name}" for name in project.features.instance_fields]


def used_columns(project: Project) -> list[str]:
    """The columns of the log that hold what the model was given."""
    return [f"used.{name}" for name in (*project.features.numeric, *project.features.categorical)]


def as_used(predictor: Predictor, fields: Mapping[str, Any]) -> dict[str, NDArray[Any]]:
    """What ``predictor``'s model is given for rows of ``fields`` (of the project's instances): values.

    As the endpoint logs them: numbers as float32 (in another precision, values that are a bin's very edge
    would fall on its other side), None for a category that the model does not know.
    """
    project = predictor.project
    made = project.features.transform(Fields(project.features.instance).canonical(fields))
    columns: dict[str, NDArray[Any]]
    columns = {name: np.asarray(made[name], dtype=np.float32) for name in project.features.numeric}
    for name in project.features.categorical:
        known = set(predictor.bundle.vocabularies[name])
        columns[name] = _objects([v if v in known else None for v in np.asarray(made[name]).tolist()])
    return columns


def logged_as_used(project: Project, batch: pa.RecordBatch) -> dict[str, NDArray[Any]]:
    """The columns that the model was given, as a batch of the log tells."""
    return {name.removeprefix("used."): _plain(batch.column(name)) for name in used_columns(project)}


def logged_as_received(project: Project, batch: pa.RecordBatch) -> dict[str, NDArray[Any]]:
    """The requests' fields, as a batch of the log tells; missing numbers are NaN, missing text is None."""
    return {name.removeprefix("received."): _plain(batch.column(name)) for name in received_columns(project)}


def _plain(values: pa.Array) -> NDArray[Any]:
    return np.asarray(values.to_numpy(zero_copy_only=False))


def _objects(values: list[Any]) -> NDArray[Any]:
    column = np.empty(len(values), dtype=object)
    column[:] = values
    return column
