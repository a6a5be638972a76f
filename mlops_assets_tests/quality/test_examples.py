"""Honest features pass; a leaked label, training rows that are held out, and skewed serving do not."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Any

import msgspec
import numpy as np
import pandas as pd
import pytest

from mlops_assets.project import Features, Leakage
from mlops_assets.quality.examples import FEATURES_CHECKS, judge_features, judge_training_set
from mlops_assets.quality.leakage import judge_columns, judge_order, judge_seen, lone_auc
from mlops_assets.quality.skew import judge_skew, model_columns, requests
from mlops_assets.quality.summary import summarize
from mlops_assets.sample_data import MONTHS
from mlops_assets_tests.quality.data import PROJECT, features, raw

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from mlops_assets.project import Columns
    from mlops_assets.quality.summary import Summary

FEATURES = PROJECT.features
LIMITS = Leakage()


def late(frame: pd.DataFrame) -> NDArray[Any]:
    return np.asarray(frame[FEATURES.label].to_numpy())


def test_all_real_months_and_training_sets_pass() -> None:
    known: list[Summary] = []
    for month in MONTHS:
        frame = features(month)
        seen = summarize(frame)
        verdicts = judge_features(FEATURES, month, frame, seen, known)
        assert [v.check for v in verdicts] == list(FEATURES_CHECKS)
        assert all(v.passed for v in verdicts), [v.explanation for v in verdicts if not v.passed]
        known.append(seen)
    for number in (1, 4, 11):
        training = pd.concat([features(month) for month in MONTHS[:number]], ignore_index=True)
        verdicts = judge_training_set(FEATURES, training, features(MONTHS[number]))
        assert all(v.passed for v in verdicts), [v.explanation for v in verdicts if not v.passed]


def leak_into(column: str, values: Callable[[pd.DataFrame], Any]) -> pd.DataFrame:
    frame = features("2013-02")
    return frame.assign(**{column: values(frame)})


random = np.random.default_rng(0)
LEAKS = {
    "the label": ("humidity", late),
    "its opposite": ("humidity", lambda f: 1 - late(f)),
    "the label, one in twenty wrong": ("humidity", lambda f: late(f) ^ (random.random(len(f)) < 0.05)),
    "another number for late ones": ("pressure", lambda f: np.where(late(f) == 1, 1010.0, 1013.0)),
    "a middle value for late ones": (
        "pressure",
        lambda f: np.where(late(f) == 1, 1010, 1010 + random.choice([-5, 5], len(f))) + random.random(len(f)),
    ),
    "missing where late": ("wind_gust", lambda f: np.where(late(f) == 1, np.nan, 20 + random.random(len(f)))),
    "a word": ("carrier", lambda f: np.where(late(f) == 1, "XX", "YY").astype(object)),
}


@pytest.mark.parametrize("kind", LEAKS)
def test_a_leaked_label_is_found_and_named(kind: str) -> None:
    column, values = LEAKS[kind]
    frame = leak_into(column, values)
    leakage, skew, nulls = judge_features(FEATURES, "2013-02", frame, summarize(frame), [])
    assert not leakage.passed
    assert column in leakage.observed
    assert "take out of the features what is known only after the event" in leakage.explanation
    assert skew.passed
    assert nulls.passed


@pytest.mark.parametrize("month", MONTHS)
def test_a_departure_delay_is_a_leak_and_the_honest_columns_are_not(month: str) -> None:
    """Known only once the flight has left: it predicts the arrival's delay as no honest column does."""
    flights = raw("flights", month)
    flights = flights[flights["arr_delay"].notna()]
    labels = (flights["arr_delay"] >= 15).to_numpy().astype(int)
    names = ("dep_delay", "distance", "sched_dep_time", "origin")
    columns = {name: flights[name].to_numpy() for name in names}
    verdict = judge_columns(columns, labels, LIMITS)
    assert not verdict.passed
    assert verdict.observed.startswith("dep_delay alone reaches a ROC AUC of 0.")
    assert "," not in verdict.observed  # no other is named


@pytest.mark.parametrize("rows", [2, 5, 20, 60, 250])
def test_few_rows_are_no_leak_by_chance(rows: int) -> None:
    chance = np.random.default_rng(rows)
    for _ in range(40):
        columns = {f"c{number}": chance.normal(size=rows) for number in range(20)}
        labels = (chance.random(rows) < 0.2).astype(int)
        verdict = judge_columns(columns, labels, LIMITS)
        assert verdict.passed, verdict.observed


def test_a_value_for_each_row_tells_nothing() -> None:
    labels = (np.arange(4000) % 5 == 0).astype(int)
    names = np.array([f"row {number}" for number in range(4000)], dtype=object)
    auc, _ = lone_auc(names, labels)
    assert abs(auc - 0.5) < 0.05


@pytest.mark.parametrize(
    "values",
    [np.full(100, np.nan), np.zeros(100), np.full(100, None, dtype=object), np.zeros(100, dtype=bool)],
)
def test_a_constant_tells_nothing(values: NDArray[Any]) -> None:
    assert lone_auc(values, np.arange(100) % 3 == 0)[0] == pytest.approx(0.5)


def test_one_kind_of_label_says_nothing() -> None:
    assert lone_auc(np.arange(10.0), np.zeros(10)) == (0.5, 0.0)


def test_a_lone_auc_is_the_roc_auc_of_the_rates() -> None:
    from sklearn.metrics import roc_auc_score

    frame = features("2013-02")
    labels, values = late(frame), frame["carrier"].to_numpy()
    rates = pd.Series(labels[::2]).groupby(values[::2]).agg(["sum", "count"])
    smooth = (rates["sum"] + 5 * labels[::2].mean()) / (rates["count"] + 5)
    expected = roc_auc_score(labels[1::2], pd.Series(values[1::2]).map(smooth).fillna(labels[::2].mean()))
    assert lone_auc(values, labels)[0] == pytest.approx(expected, abs=1e-9)


def test_held_out_rows_among_the_training_rows_are_found() -> None:
    january, february = features("2013-01"), features("2013-02")
    fields = FEATURES.instance_fields
    assert judge_seen(january, february, fields, LIMITS).passed
    spoiled = pd.concat([january, february.sample(1000, random_state=0)])
    verdict = judge_seen(spoiled, february, fields, LIMITS)
    assert not verdict.passed
    assert "4.2%" in verdict.observed
    few = judge_seen(pd.concat([january, february.head(100)]), february, fields, LIMITS)
    assert few.passed
    assert few.figures["held-out rows seen"] >= 100


def test_a_training_set_with_held_out_rows_or_later_ones_is_refused() -> None:
    january, february, march = (features(month) for month in MONTHS[:3])
    for spoiled, told in (
        (pd.concat([january, february.tail(2000)]), "held-out rows"),
        (pd.concat([january, march]), "the last training row happens at 2013-03-31"),
    ):
        leakage, skew = judge_training_set(FEATURES, spoiled, february)
        assert not leakage.passed
        assert told in leakage.observed
        assert skew.passed
    untimed = FEATURES.model_copy(update={"event_time": None})
    leakage, _ = judge_training_set(untimed, pd.concat([january, february.tail(2000)]), february)
    assert not leakage.passed
    assert "among the training rows" in leakage.observed
    assert judge_order(january, february, None).passed


def test_rows_of_another_time_are_not_this_partitions() -> None:
    frame = features("2013-02")
    first = frame["scheduled_departure"].iloc[0]
    stray = frame.assign(scheduled_departure=["2013-03" + first[7:], *frame["scheduled_departure"][1:]])
    for judged, partition, passed in (
        (frame, "2013-02", True),
        (stray, "2013-02", False),
        (frame, "2013-03", False),
    ):
        leakage, *_ = judge_features(FEATURES, partition, judged, summarize(judged), [])
        assert leakage.passed == passed, leakage.observed
    assert "rows do not happen in 2013-03" in leakage.observed
    untimed = FEATURES.model_copy(update={"event_time": None})
    assert judge_features(untimed, "2013-03", frame, summarize(frame), [])[0].passed


def test_a_join_that_finds_nothing_is_found() -> None:
    shifted = raw("weather", "2013-02").copy()
    shifted["time_hour"] += pd.Timedelta(minutes=30)
    frame = FEATURES.build(
        {"flights": raw("flights", "2013-02"), "weather": shifted, "planes": raw("planes")}
    )
    _, _, nulls = judge_features(FEATURES, "2013-02", frame, summarize(frame), [])
    assert not nulls.passed
    assert "temperature is missing in 100.0% of the rows" in nulls.observed
    assert "time zones" in nulls.explanation


class Asked(msgspec.Struct, frozen=True, kw_only=True):
    x: Annotated[float, msgspec.Meta(ge=0)] | None
    n: int
    word: str


FRAME = pd.DataFrame(
    {"x": [1.5, np.nan, 3.0, 0.1], "n": [1, 2, 3, 4], "word": ["a", "b", "ä\"'", "a"], "y": 0}
)


def toy(transform: Callable[[Columns], Columns]) -> Features:
    return Features(
        build=lambda frames: frames["x"],
        instance=Asked,
        transform=transform,
        numeric=("value",),
        categorical=("word",),
        identity=(),
        label="y",
    )


def skew(transform: Callable[[Columns], Columns], frame: pd.DataFrame = FRAME) -> Any:
    made = toy(transform)
    return judge_skew(made, frame, model_columns(made, frame))


def test_a_row_by_row_transform_is_no_skew() -> None:
    verdict = skew(lambda c: {"value": c["x"] * c["n"], "word": c["word"]})
    assert verdict.passed, verdict.observed
    assert verdict.figures == {"rows asked": 4, "rows refused": 0, "columns that differ": []}


def _stateful() -> Callable[[Columns], Columns]:
    calls: list[int] = []

    def transform(columns: Columns) -> Columns:
        calls.append(1)
        return {"value": columns["x"] + len(calls), "word": columns["word"]}

    return transform


SKEWED: dict[str, Callable[[Columns], Columns]] = {
    "the mean of the batch": lambda c: {"value": c["n"] - c["n"].mean(), "word": c["word"]},
    "the rank in the batch": lambda c: {"value": np.argsort(c["n"]), "word": c["word"]},
    "the row before": lambda c: {"value": np.roll(c["n"], 1), "word": c["word"]},
    "what was asked before": _stateful(),
    "missing filled from the batch": lambda c: {
        "value": np.where(np.isnan(c["x"]), np.nanmax(np.append(c["x"], -1)), c["x"]),
        "word": c["word"],
    },
}


@pytest.mark.parametrize("kind", SKEWED)
def test_a_transform_that_looks_elsewhere_is_found(kind: str) -> None:
    verdict = skew(SKEWED[kind])
    assert not verdict.passed
    assert verdict.figures["columns that differ"] == ["value"]
    assert "served" in verdict.observed
    assert "from that row alone" in verdict.explanation


def test_words_that_differ_are_found() -> None:
    verdict = skew(lambda c: {"value": c["n"], "word": np.repeat(c["word"][:1], len(c["word"]))})
    assert verdict.figures["columns that differ"] == ["word"]


def test_rows_that_the_endpoint_refuses_are_told() -> None:
    frame = FRAME.assign(x=[1.5, -2.0, 3.0, 0.1])
    verdict = skew(lambda c: {"value": c["x"], "word": c["word"]}, frame)
    assert not verdict.passed
    assert "the endpoint would refuse 1 of 4 rows" in verdict.observed
    assert "instances[0].x" in verdict.observed


def test_requests_are_what_a_client_sends() -> None:
    frame = FRAME.assign(n=FRAME["n"].astype(float))  # whole numbers after a join with missing ones
    bodies = requests(toy(lambda c: c), frame)
    assert [msgspec.json.decode(body)["instances"] for body in bodies[:2]] == [
        [{"x": 1.5, "n": 1, "word": "a"}],
        [{"x": None, "n": 2, "word": "b"}],
    ]
    assert skew(lambda c: {"value": c["n"], "word": c["word"]}, frame).passed


def test_a_verdict_is_not_changed_by_an_exception_it_does_not_need() -> None:
    verdict = skew(lambda c: {"value": c["n"], "word": c["word"]})
    assert verdict.accept("because") is verdict
    assert replace(verdict, passed=False).accept("because").passed
