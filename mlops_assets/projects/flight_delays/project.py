"""The project flight_delays: will this flight arrive 15 or more minutes late?"""

from __future__ import annotations

from datetime import timedelta

from mlops_assets.needs import Needs, Toleration
from mlops_assets.project import Endpoint, Features, Gate, Partitions, Project, Retraining
from mlops_assets.projects.flight_delays import features
from mlops_assets.projects.flight_delays.instance import Flight
from mlops_assets.projects.flight_delays.model import FAMILIES
from mlops_assets.projects.flight_delays.source import SOURCES

_CARRIERS = "9E AA AS B6 DL EV F9 FL HA MQ OO UA US VX WN YV"
_DESTINATIONS = (
    "ABQ ACK ALB ANC ATL AUS AVL BDL BGR BHM BNA BOS BQN BTV BUF BUR BWI BZN CAE CAK CHO CHS CLE CLT "
    "CMH CRW CVG DAY DCA DEN DFW DSM DTW EGE EYW FLL GRR GSO GSP HDN HNL HOU IAD IAH ILM IND JAC JAX "
    "LAS LAX LEX LGA LGB MCI MCO MDW MEM MHT MIA MKE MSN MSP MSY MTJ MVY MYR OAK OKC OMA ORD ORF PBI "
    "PDX PHL PHX PIT PSE PSP PVD PWM RDU RIC ROC RSW SAN SAT SAV SBN SDF SEA SFO SJC SJU SLC SMF SNA "
    "SRQ STL STT SYR TPA TUL TVC TYS XNA"
)

PROJECT = Project(
    name="flight_delays",
    title="Flight delays",
    description="Will this flight from New York arrive 15 or more minutes late? Asked before it leaves.",
    owners=("team:flight-operations",),
    partitions=Partitions(every="month", start="2013-01", end="2013-12"),
    sources=SOURCES,
    features=Features(
        build=features.build,
        instance=Flight,
        transform=features.transform,
        numeric=features.NUMERIC,
        categorical=features.CATEGORICAL,
        identity=features.IDENTITY,
        entity=features.ENTITY,
        event_time=features.EVENT_TIME,
        label=features.LABEL,
        slices=("carrier", "origin"),
    ),
    families=FAMILIES,
    gate=Gate(resample_days_of="scheduled_departure"),
    needs={
        "candidates/network": Needs(
            gpu=1,
            cpu="2",
            memory="8Gi",
            time_limit=timedelta(hours=2),
            tolerations=(Toleration(key="nvidia.com/gpu"),),
        ),
    },
    # The sample plays a year in minutes: what would be a day elsewhere is half a minute here.
    # What the weather does moves the features nearly every month; a training that follows pays when there
    # is enough that is new (docs/replay.md has what other values of growth would have led to).
    retraining=Retraining(
        cool_down=timedelta(seconds=30),
        trainings_per_day=50,
        min_new_rows=5_000,
        growth=0.3,
        min_growth=0.3,
    ),
    endpoint=Endpoint(
        port_offset=0,
        positive="late",
        # One flight in five is late. To be surprised by a late one is taken as twice as bad as to be
        # warned in vain: worth a warning from a probability of 1 / (1 + 2) on.
        threshold=0.33,
        choices={
            "carrier": tuple(_CARRIERS.split()),
            "origin": ("EWR", "JFK", "LGA"),
            "dest": tuple(_DESTINATIONS.split()),
        },
        # DL 1773 of a foggy Friday, as the data has it: it was late
        example={
            "carrier": "DL",
            "origin": "JFK",
            "dest": "SLC",
            "scheduled_departure": "2013-04-19T15:45",
            "scheduled_arrival": "2013-04-19T19:22",
            "distance": 1990,
            "departures_in_hour": 23,
            "plane_year": 2001,
            "plane_seats": 189,
            "temperature": 60.08,
            "dew_point": 55.94,
            "humidity": 86.18,
            "wind_direction": 170,
            "wind_speed": 28.77,
            "wind_gust": 37.98,
            "precipitation": 0.0,
            "pressure": 1007.8,
            "visibility": 1.0,
        },
    ),
)
