"""What is asked about a flight: the endpoint's request row, and the columns a training reads.

Nothing in here is known only after departure. Every field must be given; those that may be null say
"null where ..." and are then taken as missing, as they are in the training data.
"""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

import msgspec

_LOCAL_TIME = r"^\d{4}-(0[1-9]|1[0-2])-(0[1-9]|[12]\d|3[01])T([01]\d|2[0-3]):[0-5]\d$"

MAX_WIND = 200.0
"""Miles an hour; stations' gauges fail above it (1,048 mph stands in the data)."""


def _number(low: float, high: float, description: str, example: float) -> msgspec.Meta:
    return msgspec.Meta(ge=low, le=high, description=description, examples=[example])


_Carrier = Annotated[
    str,
    msgspec.Meta(pattern=r"^[A-Z0-9]{2}$", description="Airline, two-character IATA code", examples=["UA"]),
]
_Airport = Annotated[
    str, msgspec.Meta(pattern=r"^[A-Z]{3}$", description="Airport, IATA code", examples=["EWR"])
]
_LocalTime = Annotated[
    str,
    msgspec.Meta(
        pattern=_LOCAL_TIME,
        description="Local date and time, YYYY-MM-DDTHH:MM",
        examples=["2013-04-01T17:30"],
    ),
]


class Flight(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A scheduled flight, its plane, and the weather at the origin in the hour of departure."""

    carrier: _Carrier
    origin: _Airport
    dest: _Airport
    scheduled_departure: _LocalTime
    scheduled_arrival: _LocalTime
    distance: Annotated[int, _number(1, 12000, "Distance between the airports, miles", 1400)]
    departures_in_hour: Annotated[
        int,
        _number(1, 300, "Flights scheduled to leave the origin in that clock hour, this one included", 20),
    ]
    plane_year: (
        Annotated[int, _number(1900, 2100, "Year the plane was made; null where unknown", 2004)] | None
    )
    plane_seats: Annotated[int, _number(1, 900, "Seats of the plane; null where unknown", 149)] | None
    temperature: Annotated[float, _number(-60, 130, "Fahrenheit; null where not measured", 39.0)] | None
    dew_point: Annotated[float, _number(-90, 110, "Fahrenheit; null where not measured", 28.0)] | None
    humidity: Annotated[float, _number(0, 100, "Relative, percent; null where not measured", 64.4)] | None
    wind_direction: (
        Annotated[float, _number(0, 360, "Degrees; null where variable or not measured", 260)] | None
    )
    wind_speed: Annotated[float, _number(0, MAX_WIND, "Miles an hour; null where not measured", 12.7)] | None
    wind_gust: (
        Annotated[float, _number(0, MAX_WIND, "Miles an hour; null where there are no gusts", 20.7)] | None
    )
    precipitation: Annotated[float, _number(0, 20, "Inches in the hour; null where not measured", 0.0)] | None
    pressure: (
        Annotated[float, _number(850, 1090, "At sea level, millibars; null where not measured", 1012)] | None
    )
    visibility: Annotated[float, _number(0, 100, "Miles; null where not measured", 10.0)] | None

    def __post_init__(self) -> None:
        """Refuse dates that fit the pattern and do not exist, such as 30 February."""
        for name in ("scheduled_departure", "scheduled_arrival"):
            text: str = getattr(self, name)
            if text[8:10] > "28":
                try:
                    datetime.fromisoformat(text)
                except ValueError as error:
                    raise ValueError(f"`{name}` is no date of the calendar: {text}: {error}") from error
