"""The streams of raw objects that flight_delays reads."""

from __future__ import annotations

from mlops_assets.project import Source
from mlops_assets.projects.flight_delays import schema

SOURCES = (
    Source(
        name="flights",
        pattern="flights/{partition}.csv",
        contract=schema.FLIGHTS,
        description="All flights that were scheduled to leave New York's airports in a month, as they went.",
    ),
    Source(
        name="weather",
        pattern="weather/{partition}.csv",
        contract=schema.WEATHER,
        description="The weather at New York's airports in a month, by hour.",
    ),
    Source(
        name="planes",
        pattern="planes/planes.csv",
        contract=schema.PLANES,
        description="The planes, by tail number.",
    ),
)
