"""Contracts of the three sources: US DOT flights from New York, hourly weather, planes.

Units are those of the data: minutes, miles, degrees Fahrenheit, miles an hour, inches, millibars.
Clock times such as 517 are local and mean 5:17.
"""

from __future__ import annotations

from mlops_assets.contracts import Column, Contract

_AIRPORT = r"[A-Z]{3}"
_CARRIER = r"[A-Z0-9]{2}"
_TAIL_NUMBER = r"[A-Z0-9]{3,8}"


def _integer(name: str, low: float, high: float, description: str, *, nullable: bool = False) -> Column:
    return Column(
        name=name, type="integer", minimum=low, maximum=high, description=description, nullable=nullable
    )


def _number(name: str, low: float, high: float, description: str) -> Column:
    return Column(name=name, type="number", minimum=low, maximum=high, description=description, nullable=True)


def _text(name: str, description: str, pattern: str | None = None, *, nullable: bool = False) -> Column:
    return Column(name=name, type="text", description=description, pattern=pattern, nullable=nullable)


_YEAR = _integer("year", 1987, 2100, "Year, local date")
_MONTH = _integer("month", 1, 12, "Month, local date")
_DAY = _integer("day", 1, 31, "Day, local date")
_ORIGIN = _text("origin", "Airport of departure, IATA code", _AIRPORT)
_TIME_HOUR = Column(name="time_hour", type="time", description="The hour, UTC: flights meet weather on it")

FLIGHTS = Contract(
    columns=(
        _YEAR,
        _MONTH,
        _DAY,
        _integer("dep_time", 1, 2400, "Actual departure, clock time; missing if cancelled", nullable=True),
        _integer("sched_dep_time", 0, 2359, "Scheduled departure, clock time"),
        _integer("dep_delay", -1440, 4320, "Departure delay, minutes; negative is early", nullable=True),
        _integer("arr_time", 1, 2400, "Actual arrival, clock time; missing if cancelled", nullable=True),
        _integer("sched_arr_time", 0, 2359, "Scheduled arrival, clock time at the destination"),
        _integer(
            "arr_delay", -1440, 4320, "Arrival delay, minutes; missing if it never arrived", nullable=True
        ),
        _text("carrier", "Airline, two-character IATA code", _CARRIER),
        _integer("flight", 1, 9999, "Flight number"),
        _text("tailnum", "The plane's tail number", _TAIL_NUMBER, nullable=True),
        _ORIGIN,
        _text("dest", "Airport of arrival, IATA code", _AIRPORT),
        _integer("air_time", 1, 1440, "Minutes in the air; missing if it never arrived", nullable=True),
        _integer("distance", 1, 12000, "Distance between the airports, miles"),
        _integer("hour", 0, 23, "Hour of the scheduled departure"),
        _integer("minute", 0, 59, "Minute of the scheduled departure"),
        _TIME_HOUR,
    ),
    key=("time_hour", "carrier", "flight", "origin"),
    partition_by=("year", "month"),
)

WEATHER = Contract(
    columns=(
        _ORIGIN,
        _YEAR,
        _MONTH,
        _DAY,
        _integer("hour", 0, 23, "Hour, local time"),
        _number("temp", -60, 130, "Temperature, F"),
        _number("dewp", -90, 110, "Dew point, F"),
        _number("humid", 0, 100, "Relative humidity, percent"),
        _number("wind_dir", 0, 360, "Wind direction, degrees"),
        # Stations' gauges do fail: 1,048 mph stands in the data of 12 February 2013. The features
        # take an impossible speed as missing, so the file that holds it is not refused.
        _number("wind_speed", 0, 1200, "Wind speed, mph"),
        _number("wind_gust", 0, 1200, "Wind gust, mph; missing when there was none"),
        _number("precip", 0, 20, "Precipitation in the hour, inches"),
        _number("pressure", 850, 1090, "Sea level pressure, millibars"),
        _number("visib", 0, 100, "Visibility, miles"),
        _TIME_HOUR,
    ),
    key=("origin", "time_hour"),
    partition_by=("year", "month"),
)

PLANES = Contract(
    columns=(
        _text("tailnum", "The plane's tail number", _TAIL_NUMBER),
        _integer("year", 1900, 2100, "Year of manufacture", nullable=True),
        _text("type", "Type of plane"),
        _text("manufacturer", "Manufacturer"),
        _text("model", "Model"),
        _integer("engines", 1, 8, "Number of engines"),
        _integer("seats", 1, 900, "Number of seats"),
        _integer("speed", 1, 1200, "Average cruising speed, mph", nullable=True),
        _text("engine", "Type of engine"),
    ),
    key=("tailnum",),
)
