"""The real months of 2013, read once, and what can go wrong with a file of them."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

from mlops_assets.catalog import get_project
from mlops_assets.contracts import read_object
from mlops_assets.quality.summary import Summary, summarize
from mlops_assets.resources.lake import frame_hash
from mlops_assets.sample_data import MONTHS, month_objects, planes_object

if TYPE_CHECKING:
    import pandas as pd

PROJECT = get_project("flight_delays")


@cache
def raw(source: str, month: str = "") -> pd.DataFrame:
    """The rows of one object. Not to be changed: copy it first."""
    key = f"{source}/{month}.csv" if month else "planes/planes.csv"
    data = (month_objects(month) if month else planes_object())[key]
    contract = PROJECT.source(source).contract
    return read_object(data, contract, key=key, partition=month or None, duplicates=False)


@cache
def summary(source: str, month: str = "") -> Summary:
    return summarized(raw(source, month))


def summarized(frame: pd.DataFrame) -> Summary:
    return summarize(frame, frame_hash(frame))


@cache
def features(month: str) -> pd.DataFrame:
    """The features of a month."""
    frames = {"flights": raw("flights", month), "weather": raw("weather", month), "planes": raw("planes")}
    return PROJECT.features.build(frames)


def others(source: str, month: str) -> dict[str, Summary]:
    """The summaries of the months before ``month``."""
    return {other: summary(source, other) for other in MONTHS if other < month}
