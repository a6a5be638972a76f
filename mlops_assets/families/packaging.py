"""From a fitted candidate to a stored model: the graph, its vocabularies, and rows that prove it."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np

from mlops_assets.bundle import INPUT, OUTPUT, Bundle, open_session, write_bundle
from mlops_assets.families.encoding import make_examples
from serving.encoding import Encoding
from serving.fields import Columns as Fields

if TYPE_CHECKING:
    from collections.abc import Mapping

    import pandas as pd

    from mlops_assets.families import Family, Fitted
    from mlops_assets.families.encoding import Vocabularies
    from mlops_assets.project import Project

__all__ = ["as_instance", "as_instances", "make_bundle", "make_examples", "make_instances"]

EXAMPLE_ROWS = 32
_UNKNOWN = "ZZ"
_TYPES: dict[str, type] = {"int": int, "float": float, "bool": bool, "str": str}


def make_bundle(  # noqa: PLR0913 - what a stored model says of itself
    project: Project,
    family: Family,
    fitted: Fitted,
    vocabularies: Vocabularies,
    frame: pd.DataFrame,
    training_set: str,
    code_version: str,
) -> bytes:
    """The stored model of a candidate that was fitted on the rows of ``frame``.

    ``vocabularies`` are those that ``make_examples`` returned. The model carries ``EXAMPLE_ROWS``
    rows of ``frame`` as a request would send them, and what the graph answers to them.
    """
    examples = make_instances(project, frame)
    rows = msgspec.convert(examples, list[project.features.instance])  # type: ignore[name-defined]
    columns = project.features.transform(Fields(project.features.instance).of(rows))
    x, _ = Encoding(project.features.numeric, vocabularies).encode(columns)
    (expected,) = open_session(fitted.onnx).run([OUTPUT], {INPUT: x})
    bundle = Bundle(
        project=project.name,
        family=family.name,
        numeric=list(project.features.numeric),
        vocabularies=vocabularies,
        threshold=project.endpoint.threshold,
        training_set=training_set,
        code_version=code_version,
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        examples=examples,
        expected=[float(value) for value in expected.reshape(-1)],
    )
    return write_bundle(fitted.onnx, bundle)


def make_instances(project: Project, frame: pd.DataFrame) -> list[dict[str, Any]]:
    """``EXAMPLE_ROWS`` rows spread over ``frame`` as JSON-able instances.

    Among them those with the most missing values, and one with a category that was never seen.
    """
    fields = list(project.features.instance_fields)
    spread = np.linspace(0, len(frame) - 1, EXAMPLE_ROWS).astype(int)
    gaps = np.argsort(-frame[fields].isna().sum(axis=1).to_numpy(), kind="stable")[: EXAMPLE_ROWS // 8]
    rows = np.concatenate([spread[: EXAMPLE_ROWS - len(gaps)], gaps])
    found = as_instances(project, frame.iloc[rows])
    known = [name for name in project.features.categorical if name in fields]
    if known:
        found[0] = {**found[0], known[0]: _UNKNOWN}
    return found


def as_instances(project: Project, frame: pd.DataFrame) -> list[dict[str, Any]]:
    """The rows of a features frame as the JSON objects a request would hold; missing values are null."""
    fields = Fields(project.features.instance).fields
    columns = [_json_values(frame[field.name].tolist(), _TYPES[field.kind]) for field in fields]
    names = [field.name for field in fields]
    return [dict(zip(names, row, strict=True)) for row in zip(*columns, strict=True)]


def as_instance(project: Project, row: Mapping[str, Any]) -> dict[str, Any]:
    """One row of a features frame as ``as_instances`` gives it."""
    fields = Fields(project.features.instance).fields
    return {field.name: _json_values([row[field.name]], _TYPES[field.kind])[0] for field in fields}


def _json_values(values: list[Any], to: type) -> list[Any]:
    # NaN alone is unequal to itself.
    return [None if value is None or value != value else to(value) for value in values]  # noqa: PLR0124
