"""A project whose history is made up: what follows from what is known, and a fit takes milliseconds."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np
import pandas as pd

from mlops_assets.families.boosting import Boosting
from mlops_assets.project import (
    Drift,
    Endpoint,
    Features,
    Freshness,
    Gate,
    Partitions,
    Performance,
    Project,
    Retraining,
)
from mlops_assets.replay.calendar import Calendar
from mlops_assets.replay.history import History, of_frames
from mlops_assets.replay.judge import Judge
from mlops_assets.replay.play import Played, Player, Setting
from mlops_assets.replay.training import Trainer

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from mlops_assets.project import Columns
    from mlops_assets.replay.store import Store

MONTHS = ("2013-01", "2013-02", "2013-03", "2013-04", "2013-05", "2013-06")
ROWS = 1_200


class Question(msgspec.Struct, frozen=True, kw_only=True):
    """Two numbers and a colour at a moment."""

    at: str
    x: float
    z: float
    colour: str


def transform(columns: Columns) -> Columns:
    return {name: columns[name] for name in ("x", "z", "colour")}


def build(raw: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    return next(iter(raw.values()))


def project(**changes: Any) -> Project:
    """Its policy trains because of drift and performance alone, on any new rows."""
    declared: dict[str, Any] = {
        "retraining": Retraining(on=("performance", "drift"), growth=None, min_new_rows=100),
        "drift": Drift(window_rows=1_200, min_rows=200),
        "performance": Performance(min_outcomes=500),
        "gate": Gate(bootstrap_rounds=100, resample_days_of="at"),
        "freshness": Freshness(champion=None),
        "families": (Boosting(stages=20, learning_rate=0.3, min_leaf_rows=40, max_features=1.0),),
    }
    return Project(
        name="toy",
        title="Toy",
        description="For tests.",
        owners=("team:tests",),
        partitions=Partitions(every="month", start=MONTHS[0]),
        sources=(),
        features=Features(
            build=build,
            instance=Question,
            transform=transform,
            numeric=("x", "z"),
            categorical=("colour",),
            identity=(),
            label="y",
            event_time="at",
        ),
        endpoint=Endpoint(port_offset=0, positive="yes"),
        **(declared | changes),
    )


def month(name: str, *, shift: float = 0.0, sign: float = 1.0, rows: int = ROWS) -> pd.DataFrame:
    """A month in which a high ``x`` makes the label likelier, or with ``sign`` -1 unlikelier.

    With ``shift``, what does not matter lies elsewhere: ``z`` is moved by it, and most things are red.
    """
    rng = np.random.default_rng(int(name.replace("-", "")))
    x = rng.normal(size=rows)
    minutes = np.sort(rng.integers(0, 28 * 1440, rows)).astype("timedelta64[m]")
    colours = np.array(["red", "green", "blue"], dtype=object)
    return pd.DataFrame(
        {
            "at": np.datetime_as_string(np.datetime64(f"{name}-01T00:00") + minutes, unit="m").astype(object),
            "x": x,
            "z": rng.normal(size=rows) + shift,
            "colour": rng.choice(colours, rows, p=(0.8, 0.1, 0.1) if shift else (0.3, 0.3, 0.4)),
            "y": (rng.random(rows) < 1 / (1 + np.exp(-2 * sign * x))).astype(np.int8),
        }
    )


def calm() -> History:
    """Six months that are all alike."""
    return of_frames({name: month(name) for name in MONTHS})


def moved(since: str = "2013-04", shift: float = 3.0) -> History:
    """As ``calm``, but from ``since`` on two of the three features lie elsewhere."""
    return of_frames({name: month(name, shift=shift if name >= since else 0.0) for name in MONTHS})


def turned(since: str = "2013-04") -> History:
    """As ``calm``, but from ``since`` on a high ``x`` makes the label unlikelier: no feature moves."""
    return of_frames({name: month(name, sign=-1.0 if name >= since else 1.0) for name in MONTHS})


def setting(toy: Project, history: History, store: Store, lag: int = 1, slices: int = 4) -> Setting:
    def tell(_: str) -> None: ...

    trainer = Trainer(toy, history, store, tell)
    judge = Judge(toy, history, trainer, store, tell)
    calendar = Calendar(toy.partitions.every, history.partitions, lag)
    return Setting(toy, history, calendar, trainer, judge, store, slices)


def play(
    toy: Project, history: History, folder: Path, policy: Retraining | None = None, **how: Any
) -> Played:
    """One policy (the toy's own) played with a store in ``folder``."""
    from mlops_assets.replay.store import Store

    chosen = policy or toy.retraining
    return Player(setting(toy, history, Store(folder), **how), "toy", chosen).play()
