"""From raw frames to examples, and from a flight's fields to the model's columns. Pure functions.

A flight is late if it arrived 15 or more minutes after its scheduled time (the US DOT's definition).
Flights that never arrived, cancelled or diverted (2.8% of 2013), have no arrival delay and are left
out: the question is how late a flight arrives, given that it does. What only the past knows
(departure, arrival, delays, time in the air) is not read but for the label.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from mlops_assets.projects.flight_delays.instance import MAX_WIND

if TYPE_CHECKING:
    from collections.abc import Mapping

    import pandas as pd
    from numpy.typing import NDArray

    from mlops_assets.project import Columns

LATE_MINUTES = 15
LABEL = "late"
IDENTITY = ("flight",)
ENTITY = ("carrier", "origin", "dest", "scheduled_departure")
"""Names a flight, but for 89 of the 327,346 of 2013 that arrived: those have a sister on the same minute."""

EVENT_TIME = "scheduled_departure"
NUMERIC = (
    "departure_minute",
    "arrival_minute",
    "distance",
    "departures_in_hour",
    "plane_age",
    "plane_seats",
    "dew_point",
    "dew_point_spread",
    "humidity",
    "wind_direction",
    "wind_speed",
    "wind_gust",
    "precipitation",
    "pressure",
    "visibility",
)
CATEGORICAL = ("carrier", "origin", "dest", "weekday")
WEEKDAYS = np.array(["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"], dtype=object)

_MINUTES_A_DAY = 1440
_EPOCH_WEEKDAY = 3  # 1 January 1970 was a Thursday
_WEATHER = {
    "temp": "temperature",
    "dewp": "dew_point",
    "humid": "humidity",
    "wind_dir": "wind_direction",
    "wind_speed": "wind_speed",
    "wind_gust": "wind_gust",
    "precip": "precipitation",
    "pressure": "pressure",
    "visib": "visibility",
}
_AS_GIVEN = ("carrier", "origin", "dest", "distance", "departures_in_hour", "plane_seats", *_WEATHER.values())


def build(raw: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    """One row for each flight of a month that arrived, oldest first.

    ``raw``: the frames ``flights``, ``weather`` and ``planes`` as their contracts type them. Columns:
    ``IDENTITY``, the fields of ``Flight`` (NaN where missing) and ``LABEL`` (int8, 1 is late).
    """
    flights = raw["flights"]
    hourly = ["origin", "time_hour"]
    # Counted before cancelled flights go: the schedule is known beforehand, the cancellations are not.
    flights = flights.assign(departures_in_hour=flights.groupby(hourly)["flight"].transform("size"))
    flights = flights[flights["arr_delay"].notna()]
    weather = raw["weather"][[*hourly, *_WEATHER]].rename(columns=_WEATHER)
    planes = raw["planes"][["tailnum", "year", "seats"]]
    planes = planes.rename(columns={"year": "plane_year", "seats": "plane_seats"})
    rows = flights.merge(weather, on=hourly, how="left").merge(planes, on="tailnum", how="left")
    for name in ("wind_speed", "wind_gust"):
        rows[name] = rows[name].where(rows[name] <= MAX_WIND)
    departure, arrival = _schedule(rows)
    rows["scheduled_departure"] = np.datetime_as_string(departure, unit="m").astype(object)
    rows["scheduled_arrival"] = np.datetime_as_string(arrival, unit="m").astype(object)
    rows[LABEL] = (rows["arr_delay"] >= LATE_MINUTES).astype(np.int8)
    rows = rows.iloc[np.argsort(departure, kind="stable")].reset_index(drop=True)
    fields = ["scheduled_departure", "scheduled_arrival", "plane_year", *_AS_GIVEN]
    return rows[[*IDENTITY, *fields, LABEL]]


def _schedule(rows: pd.DataFrame) -> tuple[NDArray[np.datetime64], NDArray[np.datetime64]]:
    """Scheduled departure and arrival, local, to the minute.

    The data says the arrival's clock time at the destination only. It is taken as on the next day
    if it is earlier than the departure's: no flight from New York arrives before it left, by local
    clocks, on the same day.
    """
    years, months, days = (rows[name].to_numpy() for name in ("year", "month", "day"))
    month_starts = ((years - 1970) * 12 + months - 1).astype("datetime64[M]").astype("datetime64[m]")
    midnight = month_starts + (days - 1) * np.timedelta64(_MINUTES_A_DAY, "m")
    leaves = rows["hour"].to_numpy() * 60 + rows["minute"].to_numpy()
    clock = rows["sched_arr_time"].to_numpy()
    arrives = clock // 100 * 60 + clock % 100
    arrives = arrives + np.where(arrives < leaves, _MINUTES_A_DAY, 0)
    minute = np.timedelta64(1, "m")
    return midnight + leaves * minute, midnight + arrives * minute


def transform(columns: Columns) -> Columns:
    """The model's columns from the fields of ``Flight``, each of shape (rows,).

    Times may be text (ISO, local) or datetime64. Of the date only the weekday is used: the next month
    is always one that the training never saw, and with the season among the columns (as a number, or
    round the year as sine and cosine) the network's AUC on the next month fell from .699 to .686.
    """
    departure = _minutes(columns["scheduled_departure"])
    days = departure // _MINUTES_A_DAY
    derived: dict[str, NDArray[Any]] = {name: columns[name] for name in _AS_GIVEN}
    derived["departure_minute"] = departure - days * _MINUTES_A_DAY
    derived["arrival_minute"] = _minutes(columns["scheduled_arrival"]) % _MINUTES_A_DAY
    derived["weekday"] = WEEKDAYS[(days + _EPOCH_WEEKDAY) % 7]
    derived["plane_age"] = (
        days.astype("datetime64[D]").astype("datetime64[Y]").astype(int) + 1970 - columns["plane_year"]
    )
    derived["dew_point_spread"] = columns["temperature"] - columns["dew_point"]
    return derived


def _minutes(times: NDArray[Any]) -> NDArray[np.int64]:
    """Minutes since 1970, by the local clock."""
    return np.asarray(times).astype("datetime64[m]").astype(np.int64)
