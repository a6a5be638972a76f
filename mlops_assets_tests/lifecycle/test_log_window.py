"""The last predictions of the log: which they are, however their objects lie, and whose answers."""

from __future__ import annotations

import datetime as dt
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np
import pytest

from mlops_assets.lifecycle.log_days import make_manifest, manifest_key
from mlops_assets.lifecycle.log_window import Sample, Window
from mlops_assets_tests.lifecycle.test_joining import project
from mlops_assets_tests.lifecycle.test_log_days import lake
from serving.prediction_log.objects import list_days, list_objects, put_rows

if TYPE_CHECKING:
    from mlops_assets.project import Project
    from mlops_assets.resources.lake import Lake

__all__ = ["lake"]

IT = project("patient")
NOON = dt.datetime(2026, 11, 1, 12, tzinfo=dt.UTC)


class Older(msgspec.Struct):
    """What was asked about before the code changed."""

    patient: int
    when: str
    fee: float


def put(lake: Lake, segment: str, starts: float, fees: list[float], it: Project = IT, **more: Any) -> None:
    """An object with a row a second, from ``starts`` seconds after noon on."""
    rows = range(len(fees))
    columns = {
        "received.patient": list(rows),
        "received.when": ["2013-04-01T10:00"] * len(fees),
        "received.fee": fees,
        "used.fee": fees,
        "probability": [fee / 1000 for fee in fees],
        "time": [NOON + dt.timedelta(seconds=starts + n) for n in rows],
        "answer_id": [f"{segment}:{n}" for n in rows],
    }
    put_rows(lake.s3.get_client(), lake.bucket, it, columns | more, segment)


def known_days(lake: Lake) -> list[str]:
    """The days of the log, each with its manifest."""
    client = lake.s3.get_client()
    days = list_days(client, lake.bucket, IT.name)
    for day in days:
        manifest = make_manifest(lake, IT, day, list_objects(client, lake.bucket, IT.name, day), None)
        lake.put_json(manifest_key(IT, day), msgspec.to_builtins(manifest))
    return days


def read(lake: Lake, size: int) -> list[float]:
    """The fees of the window, as the model was given them."""

    def load() -> Any:
        raise AssertionError("the champion's own answers need no model")

    rows = Window(lake, IT, size, "1", load).read(known_days(lake))
    return sorted(fee for part in rows for fee in part.columns["fee"].tolist())


def test_it_is_the_newest_rows_of_objects_that_overlap_in_time(lake: Lake) -> None:
    put(lake, "one", 0, [0, 2, 4, 6, 8])  # seconds 0 to 4
    put(lake, "two", 0.5, [1, 3, 5, 7, 9])
    assert read(lake, 4) == [6, 7, 8, 9]
    assert read(lake, 100) == list(range(10))


def test_it_goes_back_over_midnight(lake: Lake) -> None:
    put(lake, "one", 0, [1, 2])
    put(lake, "two", 86_400, [3])
    assert read(lake, 2) == [2, 3]
    assert read(lake, 1) == [3]


def test_it_tells_when_and_about_what(lake: Lake) -> None:
    when: dict[str, Any] = {"received.when": ["2013-04-01T10:00", "2013-05-02T10:00"]}
    put(lake, "one", 0, [1, 2], **when)
    window = Window(lake, IT, 10, "1", lambda: None)  # type: ignore[arg-type,return-value]
    [rows] = window.read(known_days(lake))
    assert rows.partitions.tolist() == ["2013-04", "2013-05"]
    assert rows.days == {"2013-04-01", "2013-05-02"}
    assert rows.scores.tolist() == [0.001, 0.002]
    assert (rows.times[1] - rows.times[0]) == 1_000_000


def test_without_a_log_it_is_empty(lake: Lake) -> None:
    assert read(lake, 10) == []


def test_rows_from_before_a_change_of_the_columns_are_left_out(lake: Lake) -> None:
    """The log of older code lacks what the code of now asks about."""
    before = IT.model_copy(update={"features": IT.features.model_copy(update={"instance": Older})})
    for number in range(5):
        put(lake, f"old-{number}", number * 10, [number], before)
    put(lake, "new", 100, [70, 71])
    put(lake, "newer", 200, [72])
    assert read(lake, 100) == [70, 71, 72]


def test_answers_of_others_are_put_through_the_champions_model(lake: Lake) -> None:
    class Doubling:
        """A model that is given fees and answers twice as much."""

        project = IT
        bundle = type("Bundle", (), {"vocabularies": {}})()

        def predict(self, columns: Any) -> SimpleNamespace:
            return SimpleNamespace(probability=np.asarray(columns["fee"]) * 2)

    put(lake, "mixed", 0, [0.1, 0.2, 0.3], version=["1", "2", "1"], probability=[0.5, 0.6, 0.7])
    window = Window(lake, IT, 10, "1", Doubling)  # type: ignore[arg-type]
    rows = list(window.read(known_days(lake)))
    scores = sorted(score for part in rows for score in part.scores.tolist())
    assert scores == pytest.approx([0.4, 0.5, 0.7])
    assert window.answered_by_others == 1


@pytest.mark.parametrize("size", [10, 100, 101, 1000])
def test_a_sample_is_spread_evenly_over_all_batches(size: int) -> None:
    sample = Sample(size, 100)
    for start in range(0, size, 7):
        sample.take({"x": np.arange(start, min(start + 7, size))})
    found = sample.frame()["x"].to_numpy()
    step = -(-size // 100)
    np.testing.assert_array_equal(found, np.arange(0, size, step))
    assert len(found) <= 100
