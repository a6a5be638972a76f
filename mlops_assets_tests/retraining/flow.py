"""A small project through the real flow: real store, tables, registry and trainings, in seconds."""

from __future__ import annotations

import secrets
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import dagster as dg
import msgspec
import numpy as np
import pandas as pd

from mlops_assets.contracts import Column, Contract
from mlops_assets.families.boosting import Boosting
from mlops_assets.lifecycle.describe import asset_key
from mlops_assets.project import Endpoint, Features, Gate, Partitions, Project, Retraining, Source
from mlops_assets.retraining.reading import AUTOMATION_TAG

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from mlops_assets_tests.lifecycle.world import World

ROWS = 300
STAGES = ("training_set", "candidates/boosting", "evaluation", "champion")
_CONTRACT = Contract(
    columns=(
        Column(name="id", type="integer", description="Numbers the rows"),
        Column(name="year", type="integer", description="Year"),
        Column(name="month", type="integer", description="Month"),
        Column(name="x", type="number", description="Says much"),
        Column(name="z", type="number", description="Says little"),
        Column(name="color", type="text", description="Says something", allowed=("red", "blue")),
        Column(name="y", type="integer", description="What came", minimum=0, maximum=1),
    ),
    key=("id",),
    partition_by=("year", "month"),
)


class Instance(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What is asked about."""

    x: float
    z: float
    color: str


def _build(frames: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    frame = frames["rows"][["id", "x", "z", "color", "y"]]
    return frame.assign(y=frame["y"].astype("int64")).reset_index(drop=True)


def project(**changes: Any) -> Project:
    """One source, one quick family, and a gate that lets pass what is not much worse."""
    made = Project(
        name=f"p_{secrets.token_hex(4)}",
        title="Colors",
        description="For tests.",
        owners=("team:tests",),
        partitions=Partitions(every="month", start="2013-01", end="2013-12"),
        sources=(
            Source(name="rows", pattern="rows/{partition}.csv", contract=_CONTRACT, description="Rows."),
        ),
        features=Features(
            build=_build,
            instance=Instance,
            transform=lambda columns: columns,
            numeric=("x", "z"),
            categorical=("color",),
            identity=("id",),
            label="y",
        ),
        families=(Boosting(stages=20, min_leaf_rows=20),),
        gate=Gate(
            bootstrap_rounds=100,
            min_auc_over_baseline=0.0,
            noise_margin=0.1,
            max_possible_loss=1.0,
            max_calibration_error=0.9,
            max_slice_auc_drop=0.9,
        ),
        retraining=Retraining(growth=0.5, cool_down=timedelta(0), trainings_per_day=100),
        endpoint=Endpoint(port_offset=0, positive="yes"),
    )
    return made.model_copy(update=changes)


def make(make_world: Callable[..., World], **changes: Any) -> World:
    """A world of its own for this project."""
    made = project(**changes)
    return make_world(**{name: getattr(made, name) for name in Project.model_fields if name != "name"})


def train(world: World) -> dg.ExecuteInProcessResult | None:
    """Ticks of automation until one asks for a training, and that training; None if none does."""
    training_set = asset_key(world.project, "training_set")
    for _ in range(2):
        asked = dg.evaluate_automation_conditions(
            world.defs, world.instance, asset_selection=dg.AssetSelection.assets(training_set)
        )
        if asked.get_num_requested(training_set):
            keys = [asset_key(world.project, *stage.split("/")) for stage in STAGES]
            return world.execute(keys, tags={AUTOMATION_TAG: "true"})
    return None


def rows(partition: str, seed: int = 0, count: int = ROWS) -> bytes:
    """A month's CSV: the same for the same ``seed``."""
    year, month = (int(part) for part in partition.split("-"))
    draw = np.random.default_rng((seed, year, month))
    x, z = draw.normal(size=(2, count))
    color = draw.choice(["red", "blue"], count)
    chance = 1 / (1 + np.exp(-2 * x - (color == "red")))
    frame = pd.DataFrame(
        {
            "id": np.arange(count),
            "year": year,
            "month": month,
            "x": x,
            "z": z,
            "color": color,
            "y": (draw.random(count) < chance).astype(int),
        }
    )
    return frame.to_csv(index=False).encode()
