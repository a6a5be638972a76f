"""The exporter's part: a month's real files go to the raw bucket, once."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, NamedTuple

from mlops_assets.sample_data import MONTHS, month_objects, planes_object
from mlops_assets.upload import put_objects, raw_objects

if TYPE_CHECKING:
    from collections.abc import Iterable

    from mlops_assets.settings import Settings

PROJECT = "flight_delays"


class Delivered(NamedTuple):
    """``since``: when all of it was there (seconds since 1970); ``put``: how many objects were uploaded."""

    since: float
    put: int
    objects: int


def deliver(settings: Settings, months: Iterable[str]) -> Delivered:
    """Upload what is not there yet of the planes and of ``months``.

    An interrupted demo goes on where it was: what it had uploaded may be served already.
    """
    objects = planes_object()
    objects |= {name: data for month in months for name, data in month_objects(month).items()}
    there = raw_objects(settings, PROJECT)
    missing = {
        name: data
        for name, data in objects.items()
        if name not in there or there[name].bytes != len(data)  # somebody tried a broken file
    }
    if not missing:
        return Delivered(max(there[name].at for name in objects), 0, len(objects))
    began = time.time()
    put_objects(settings, PROJECT, missing)
    return Delivered(began, len(missing), len(objects))


def months_present(settings: Settings) -> set[str]:
    """The months all of whose objects are in the raw bucket."""
    names = raw_objects(settings, PROJECT)
    return {month for month in MONTHS if {f"flights/{month}.csv", f"weather/{month}.csv"} <= names.keys()}
