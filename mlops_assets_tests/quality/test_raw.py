"""The real data passes in any order; what exporters do wrong is found, with and without other months."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import pytest
from pydantic import ValidationError

from mlops_assets.project import Accepted, Quality
from mlops_assets.quality.raw import CHECKS, judge_raw
from mlops_assets.quality.summary import Summary
from mlops_assets.sample_data import MONTHS
from mlops_assets_tests.quality.data import PROJECT, others, raw, summarized, summary

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from mlops_assets.project import Source
    from mlops_assets.quality.verdict import Verdict

FLIGHTS, WEATHER, PLANES = PROJECT.sources


def judge(
    source: Source,
    frame: pd.DataFrame,
    known: Mapping[str, Summary] | None = None,
    month: str | None = "2013-04",
) -> dict[str, Verdict]:
    verdicts = judge_raw(source, month, frame, summarized(frame), known or {})
    assert tuple(v.check for v in verdicts) == tuple(CHECKS)
    return {verdict.check: verdict for verdict in verdicts}


def failed(verdicts: dict[str, Verdict]) -> set[str]:
    return {name for name, verdict in verdicts.items() if not verdict.passed}


def undeclared(source: Source) -> Source:
    """The source of a project that declares nothing: only other partitions tell what is usual."""
    return source.model_copy(update={"quality": Quality()})


@pytest.mark.parametrize("month", MONTHS)
@pytest.mark.parametrize("source", [FLIGHTS, WEATHER], ids=["flights", "weather"])
def test_real_months_pass_whatever_is_known_before(source: Source, month: str) -> None:
    everything = {m: summary(source.name, m) for m in MONTHS if m != month}
    later = {m: s for m, s in everything.items() if m > month}
    for known in ({}, others(source.name, month), later, everything):
        for judged in (source, undeclared(source)):
            verdicts = judge(judged, raw(source.name, month), known, month)
            assert not failed(verdicts), [v.explanation for v in verdicts.values() if not v.passed]


def test_the_planes_pass_and_half_of_them_do_not() -> None:
    assert not failed(judge(PLANES, raw("planes"), month=None))
    assert failed(judge(PLANES, raw("planes").head(1600), month=None)) == {"volume"}


def celsius(frame: pd.DataFrame) -> pd.DataFrame:
    return frame.assign(temp=(frame["temp"] - 32) / 1.8)


def kilometres(frame: pd.DataFrame) -> pd.DataFrame:
    return frame.assign(distance=(frame["distance"] * 1.609).round().astype(int))


def without(column: str) -> Callable[[pd.DataFrame], pd.DataFrame]:
    return lambda frame: frame.assign(**{column: np.nan})


BAD = [
    (FLIGHTS, lambda frame: frame.head(len(frame) // 2), {"volume"}, {"volume"}),
    (FLIGHTS, lambda frame: frame.iloc[::2], {"volume"}, {"volume"}),
    (FLIGHTS, lambda frame: pd.concat([frame, frame]), {"volume", "duplicates"}, {"volume", "duplicates"}),
    (FLIGHTS, lambda frame: pd.concat([frame, frame.tail(1)]), {"duplicates"}, {"duplicates"}),
    (FLIGHTS, without("arr_delay"), {"nulls"}, {"nulls"}),
    (FLIGHTS, without("tailnum"), {"nulls"}, {"nulls"}),
    (FLIGHTS, kilometres, {"ranges"}, set()),
    (WEATHER, lambda frame: frame.head(len(frame) // 2), {"volume"}, {"volume"}),
    (WEATHER, without("humid"), {"nulls"}, {"nulls"}),
    (WEATHER, celsius, {"ranges"}, set()),
    (WEATHER, lambda frame: frame.assign(wind_speed=frame["wind_speed"] / 2.237), {"ranges"}, set()),
]


@pytest.mark.parametrize(("source", "spoil", "declared", "usual"), BAD)
def test_what_exporters_do_wrong_is_found(
    source: Source, spoil: Callable[[pd.DataFrame], pd.DataFrame], declared: set[str], usual: set[str]
) -> None:
    """``declared``: what fails for a first month by what is declared, ``usual``: by other months alone."""
    frame = spoil(raw(source.name, "2013-04").copy())
    first = judge(source, frame)
    assert failed(first) == declared
    later = judge(undeclared(source), frame, others(source.name, "2013-04"))
    assert failed(later) == usual
    for verdict in first.values():
        assert verdict.observed
        assert verdict.allowed
        assert verdict.remedy
        if not verdict.passed:
            assert "Allowed:" in verdict.explanation
            assert "upload" in verdict.explanation


@pytest.mark.parametrize("month", MONTHS)
def test_celsius_is_told_from_fahrenheit_in_every_month(month: str) -> None:
    verdicts = judge(WEATHER, celsius(raw("weather", month)), month=month)
    assert failed(verdicts) == {"ranges"}
    assert "the median of temp is" in verdicts["ranges"].observed


def test_a_tenth_of_a_unit_is_found_by_its_spread_without_any_declaration() -> None:
    frame = raw("weather", "2013-04")
    inches = frame.assign(pressure=frame["pressure"] / 33.86 + 900)
    verdicts = judge(undeclared(WEATHER), inches, others("weather", "2013-04"))
    assert failed(verdicts) == {"ranges"}
    assert "the middle half of pressure is" in verdicts["ranges"].observed


def test_half_of_a_column_missing_is_found_against_other_months() -> None:
    frame = raw("flights", "2013-04").copy()
    frame.loc[frame.index[::2], "arr_delay"] = np.nan
    assert not failed(judge(undeclared(FLIGHTS), frame))
    verdicts = judge(undeclared(FLIGHTS), frame, others("flights", "2013-04"))
    assert failed(verdicts) == {"nulls"}
    assert verdicts["nulls"].observed.startswith("arr_delay is missing in 51")
    assert verdicts["nulls"].allowed.startswith("arr_delay at most 30%")


def test_a_running_number_may_run_on() -> None:
    """An order number is larger in each month than ever before: that is no change of unit."""
    quality = Quality()
    frame = raw("flights", "2013-04")
    grown = frame.assign(flight=frame["flight"] + 100_000)
    source = FLIGHTS.model_copy(update={"quality": quality})
    assert not failed(judge(source, grown, others("flights", "2013-04")))


def test_another_months_rows_are_told_by_their_content() -> None:
    """Without columns that say the partition, a file could be uploaded under a second name."""
    known = {"2013-01": summary("weather", "2013-01"), "2013-02": summary("weather", "2013-02")}
    verdicts = judge(WEATHER, raw("weather", "2013-02"), known, month="2013-03")
    assert failed(verdicts) == {"duplicates"}
    assert "those of 2013-02 over again" in verdicts["duplicates"].observed


def test_duplicates_say_where() -> None:
    frame = raw("flights", "2013-04")
    verdict = judge(FLIGHTS, pd.concat([frame, frame.tail(2)], ignore_index=True))["duplicates"]
    assert verdict.observed.startswith("2 of 28,332 rows repeat the key of another, the first in line 28332:")
    assert [problem.line for problem in verdict.problems] == [28332, 28333]


def test_one_other_month_is_not_what_is_usual() -> None:
    """A good month after a bad first one is not refused because it is different."""
    source = undeclared(FLIGHTS)
    half = summarized(raw("flights", "2013-01").head(13_000))
    verdicts = judge(source, raw("flights", "2013-02"), {"2013-01": half}, month="2013-02")
    assert not failed(verdicts)
    assert "once there are 2 other partitions" in verdicts["volume"].allowed


def test_a_declared_exception_passes_and_says_why_and_only_there() -> None:
    accepted = Accepted(partition="2013-04", check="volume", why="two thirds of the flights were on strike")
    quality = FLIGHTS.quality.model_copy(update={"accepted": (accepted,)})
    source = FLIGHTS.model_copy(update={"quality": quality})
    small = raw("flights", "2013-04").head(9_000)
    verdict = judge(source, small)["volume"]
    assert verdict.passed
    assert verdict.accepted == accepted.why
    assert verdict.explanation == f"9,000 rows; accepted: {accepted.why}"
    assert failed(judge(source, small, month="2013-05")) == {"volume"}
    assert failed(judge(source, pd.concat([small, small.tail(1)]))) == {"duplicates"}


def test_limits_can_be_widened_for_good() -> None:
    small = raw("flights", "2013-04").head(9_000)
    quality = FLIGHTS.quality.model_copy(update={"rows": (5_000, 40_000), "rows_to_usual": (0.1, 2.0)})
    source = FLIGHTS.model_copy(update={"quality": quality})
    assert not failed(judge(source, small, others("flights", "2013-04")))


def test_what_is_declared_must_be_there() -> None:
    for quality in ({"medians": {"tmp": (0, 1)}}, {"max_nulls": {"tmp": 1}}, {"medians": {"origin": (0, 1)}}):
        with pytest.raises(ValidationError, match=r"tmp|origin"):
            type(WEATHER)(**{**dict(WEATHER), "quality": Quality(**quality)})
    with pytest.raises(ValidationError, match="why"):
        Accepted(partition="2013-04", check="volume", why="")


def test_a_summary_survives_json() -> None:
    made = summary("weather", "2013-04")
    assert Summary.from_json(json.loads(json.dumps(made.as_json()))) == made
    assert made.rows == 2159
    assert made.nulls["wind_gust"] == pytest.approx(0.7304, abs=1e-4)
    assert made.quartiles["temp"][1] == pytest.approx(51.98)
