"""The streams of raw objects that flight_delays reads."""

from __future__ import annotations

from mlops_assets.project import Quality, Source
from mlops_assets.projects.flight_delays import schema

SOURCES = (
    Source(
        name="flights",
        pattern="flights/{partition}.csv",
        contract=schema.FLIGHTS,
        description="All flights that were scheduled to leave New York's airports in a month, as they went.",
        # 2013: 24,951 (February) to 29,425 (July) flights, median distances of 764 to 944 miles.
        quality=Quality(rows=(18_000, 40_000), medians={"distance": (600, 1150)}),
    ),
    Source(
        name="weather",
        pattern="weather/{partition}.csv",
        contract=schema.WEATHER,
        description="The weather at New York's airports in a month, by hour.",
        # 2013: 2,010 to 2,232 hours of three airports; median temperatures of 34 (February) to 79 F (July),
        # which would be 1 to 26 in Celsius; visibility of 10 miles, which would be 16 kilometres.
        quality=Quality(
            rows=(1_600, 2_400),
            max_nulls={"wind_gust": 0.98},  # missing when there are no gusts: 90% of August
            medians={
                "temp": (28, 90),
                "dewp": (10, 80),
                "wind_speed": (5, 20),
                "pressure": (1000, 1035),
                "visib": (5, 12),
            },
        ),
    ),
    Source(
        name="planes",
        pattern="planes/planes.csv",
        contract=schema.PLANES,
        description="The planes, by tail number.",
        quality=Quality(
            rows=(2_000, 20_000),
            max_nulls={"speed": 1.0},  # nobody fills it in: 99% of 3,322 planes
            medians={"year": (1985, 2030), "seats": (50, 250)},
        ),
    ),
)
