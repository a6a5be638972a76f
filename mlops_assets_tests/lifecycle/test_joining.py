"""Labels meet the predictions that were made about the same thing, and no others."""

from __future__ import annotations

import datetime as dt
from typing import Any

import msgspec
import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from mlops_assets.lifecycle.event_partitions import ELSEWHERE, event_days, event_partitions
from mlops_assets.lifecycle.joining import Labels
from mlops_assets.project import Features, Partitions, Project
from mlops_assets_tests.automation import toy
from serving.prediction_log.schema import make_table


class Visit(msgspec.Struct):
    """Who comes when; ``room`` may be unknown, ``fee`` is what is asked about."""

    patient: int
    room: int | None
    name: str | None
    when: str
    fee: float


def project(*entity: str, **changes: Any) -> Project:
    features = Features(
        build=lambda raw: raw["visits"],
        instance=Visit,
        transform=lambda columns: columns,
        numeric=("fee",),
        categorical=(),
        identity=(),
        label="came",
        entity=entity,
        event_time="when",
        slices=("name",),
    )
    return toy.project().model_copy(update={"features": features, **changes})


def visits(**columns: list[Any]) -> pd.DataFrame:
    """Features as they come out of Parquet: a missing whole number makes the column floats."""
    rows = len(next(iter(columns.values())))
    plain: dict[str, list[Any]] = {
        "patient": list(range(rows)),
        "room": [1.0] * rows,
        "name": ["a"] * rows,
        "when": ["2013-04-01T10:00"] * rows,
        "fee": [1.0] * rows,
        "came": [1] * rows,
    }
    return pd.DataFrame(plain | columns)


def logged(toy_project: Project, **received: list[Any]) -> pd.DataFrame:
    """The log's rows as they are read for a join."""
    rows = len(next(iter(received.values())))
    plain: dict[str, list[Any]] = {
        "patient": list(range(rows)),
        "room": [1] * rows,
        "name": ["a"] * rows,
        "when": ["2013-04-01T10:00"] * rows,
        "fee": [1.0] * rows,
    }
    columns = {f"received.{name}": values for name, values in (plain | received).items()}
    table = make_table(toy_project, columns | {"request_id": [f"r{n}" for n in range(rows)]})
    return pa.Table.to_pandas(table)


def test_a_label_meets_each_prediction_about_its_entity() -> None:
    it = project("patient", "when")
    labels = Labels(it, visits(patient=[1, 2], came=[1, 0]))
    found = labels.join(logged(it, patient=[2, 1, 3, 2]))
    assert list(found["request_id"]) == ["r0", "r1", "r3"]
    assert list(found["label"]) == [0, 1, 0]
    assert list(found["event_time"]) == ["2013-04-01T10:00"] * 3


def test_a_missing_value_meets_a_missing_value() -> None:
    it = project("room", "name")
    labels = Labels(it, visits(room=[np.nan, 7.0, 7.0], name=["a", None, "b"], came=[1, 0, 1]))
    found = labels.join(logged(it, room=[7, None, 7, None], name=["b", "a", None, None]))
    assert list(zip(found["request_id"], found["label"], strict=True)) == [("r0", 1), ("r1", 1), ("r2", 0)]


def test_large_numbers_are_told_apart() -> None:
    """Two ids that are one as floating point numbers."""
    it = project("patient")
    labels = Labels(it, visits(patient=[2**53, 2**53 + 1], came=[0, 1]))
    assert labels.ambiguous == 0
    assert list(labels.join(logged(it, patient=[2**53 + 1, 2**53]))["label"]) == [1, 0]


def test_an_entity_with_two_labels_labels_nothing() -> None:
    it = project("patient")
    labels = Labels(it, visits(patient=[1, 1, 2], came=[1, 0, 1]))
    asked = logged(it, patient=[1, 2, 1, 9])
    assert (labels.ambiguous, labels.rows, labels.ambiguous_among(asked)) == (2, 1, 2)
    assert list(labels.join(asked)["request_id"]) == ["r1"]


def test_a_row_without_a_label_labels_nothing() -> None:
    it = project("patient")
    labels = Labels(it, visits(patient=[1, 2], came=[None, 1]))
    assert (labels.unlabelled, labels.rows) == (1, 1)
    assert list(labels.join(logged(it, patient=[1, 2]))["label"]) == [1]


def test_without_a_declared_entity_all_fields_count() -> None:
    labels = Labels(project(), visits(fee=[1.5, 2.5], patient=[1, 1], came=[0, 1]))
    assert labels.ambiguous == 0
    assert list(labels.join(logged(project(), fee=[2.5, 3.5], patient=[1, 1]))["label"]) == [1]


def test_slices_come_with_the_label() -> None:
    it = project("patient")
    found = Labels(it, visits(patient=[1], name=["right"])).join(logged(it, patient=[1], name=["wrong"]))
    assert list(found["name"]) == ["right"]


@pytest.mark.parametrize(
    ("every", "start", "times", "expected"),
    [
        ("month", "2013-01", ["2013-04-30T23:59", "2013-05-01T00:00"], ["2013-04", "2013-05"]),
        ("day", "2013-01-01", ["2013-04-30T23:59", "2013-05-01T00:00"], ["2013-04-30", "2013-05-01"]),
        ("month", "2013-01", ["2012-12-31T00:00", "soon", "", None], [ELSEWHERE, ELSEWHERE, ELSEWHERE, None]),
    ],
)
def test_an_event_falls_into_its_partition(
    every: Any, start: str, times: list[str | None], expected: list[str | None]
) -> None:
    it = project(partitions=Partitions(every=every, start=start))
    found = event_partitions(it, pa.array(times, pa.string())).to_pylist()
    assert [name or ELSEWHERE for name in found] == [name or ELSEWHERE for name in expected]


def test_without_an_event_time_the_arrival_counts() -> None:
    moments = [dt.datetime(2013, 4, 30, 23, 59, tzinfo=dt.UTC), dt.datetime(2013, 5, 1, tzinfo=dt.UTC)]
    times = pa.array(moments, pa.timestamp("us", tz="UTC"))
    assert event_partitions(project(), times).to_pylist() == ["2013-04", "2013-05"]
    assert event_days(times) == {"2013-04-30", "2013-05-01"}
