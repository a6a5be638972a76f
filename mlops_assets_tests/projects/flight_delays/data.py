"""Real months as the project's tests need them: raw frames and features, read once a session."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

from mlops_assets.catalog import get_project
from mlops_assets.contracts import read_object
from mlops_assets.sample_data import month_objects, planes_object

if TYPE_CHECKING:
    import pandas as pd

PROJECT = get_project("flight_delays")


@lru_cache(maxsize=4)
def raw(month: str) -> dict[str, pd.DataFrame]:
    """The raw frames of ``month`` by source name. Shared: copy before you change one."""
    objects = {**month_objects(month), **planes_object()}
    frames = {}
    for source in PROJECT.sources:
        partition = month if source.partitioned else None
        data = objects[source.pattern.replace("{partition}", month)]
        frames[source.name] = read_object(data, source.contract, key=source.name, partition=partition)
    return frames


@lru_cache(maxsize=4)
def features(month: str) -> pd.DataFrame:
    """The features of ``month``. Shared: copy before you change it."""
    return PROJECT.features.build(raw(month))
