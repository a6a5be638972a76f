"""A small project with real ONNX models, to serve what the flights do not hold: other types, slow rows.

A model is ``sigmoid(bias + weight of the carrier + distance / 1000 - hot)``, so that a probability
says which version it came from.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from mlops_assets.bundle import Bundle, write_bundle
from mlops_assets.project import Columns, Endpoint, Features, Partitions, Project

if TYPE_CHECKING:
    from collections.abc import Sequence

CARRIERS = ("AA", "B6", "UA")
WEIGHTS = (0.0, -1.0, 0.5, 1.0)
"""By code: 0 is unknown."""


class Trip(msgspec.Struct, kw_only=True):
    """``nap``: seconds that the transform sleeps, for tests of what is in flight."""

    carrier: str
    distance: float
    hour: int
    weekend: bool = False
    hot: float | None = None
    nap: float = 0.0


def transform(columns: Columns) -> Columns:
    """The model's columns: distance in 1,000 miles, whether it is hot (NaN where not said), carrier."""
    if (nap := float(columns["nap"].max())) > 0:
        time.sleep(nap)
    if (columns["hour"] == 13).any():
        raise ValueError("a transform may fail")
    return {"far": columns["distance"] / 1000.0, "hot": columns["hot"], "carrier": columns["carrier"]}


TOY = Project(
    name="trips",
    title="Will this trip be long?",
    description="A project for tests.",
    owners=("tests@example.org",),
    partitions=Partitions(every="month", start="2013-01"),
    sources=(),
    features=Features(
        build=lambda frames: frames["trips"],
        instance=Trip,
        transform=transform,
        numeric=("far", "hot"),
        categorical=("carrier",),
        identity=("id",),
        label="late",
    ),
    families=(),
    endpoint=Endpoint(
        port_offset=0,
        positive="late",
        choices={"carrier": CARRIERS},
        example={"carrier": "AA", "distance": 700.0, "hour": 8},
    ),
)
NAME = "mlops_assets_tests.serving.toy:TOY"


def make_graph(bias: float) -> bytes:
    """The model's graph: a missing ``hot`` counts as 0, imputed inside the graph."""
    table = numpy_helper.from_array(np.array(WEIGHTS, dtype=np.float32), "weights")
    constants = [
        table,
        numpy_helper.from_array(np.array(bias, dtype=np.float32), "bias"),
        numpy_helper.from_array(np.array(0, dtype=np.float32), "zero"),
        *(numpy_helper.from_array(np.array(i, dtype=np.int64), f"column{i}") for i in range(3)),
    ]
    nodes = [
        *(helper.make_node("Gather", ["X", f"column{i}"], [f"x{i}"], axis=1) for i in range(3)),
        helper.make_node("IsNaN", ["x1"], ["missing"]),
        helper.make_node("Where", ["missing", "zero", "x1"], ["hot"]),
        helper.make_node("Cast", ["x2"], ["code"], to=TensorProto.INT64),
        helper.make_node("Gather", ["weights", "code"], ["weight"]),
        helper.make_node("Add", ["x0", "weight"], ["sum1"]),
        helper.make_node("Sub", ["sum1", "hot"], ["sum2"]),
        helper.make_node("Add", ["sum2", "bias"], ["sum3"]),
        helper.make_node("Sigmoid", ["sum3"], ["probability"]),
    ]
    graph = helper.make_graph(
        nodes,
        "toy",
        [helper.make_tensor_value_info("X", TensorProto.FLOAT, [None, 3])],
        [helper.make_tensor_value_info("probability", TensorProto.FLOAT, [None])],
        constants,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    onnx.checker.check_model(model)
    return bytes(model.SerializeToString())


def expected(bias: float, carrier: str = "AA", distance: float = 700.0, hot: float | None = None) -> float:
    """What the model answers, worked out without it."""
    code = CARRIERS.index(carrier) + 1 if carrier in CARRIERS else 0
    return float(1 / (1 + np.exp(-(bias + WEIGHTS[code] + distance / 1000.0 - (hot or 0.0)))))


def make_bundle(bias: float, **changes: Any) -> bytes:
    """A stored model; ``changes`` replace fields of its ``Bundle``."""
    rows: Sequence[tuple[str, float, float | None]] = [
        ("AA", 100.0, None), ("B6", 2400.0, 0.5), ("UA", 760.0, 1.0), ("XX", 1.0, None),
    ]  # fmt: skip
    bundle = Bundle(
        project="trips",
        family="hand",
        numeric=["far", "hot"],
        vocabularies={"carrier": list(CARRIERS)},
        threshold=0.5,
        training_set="set-of-tests",
        code_version="1",
        created="2026-01-01T00:00:00+00:00",
        examples=[{"carrier": c, "distance": d, "hour": 8, "hot": h} for c, d, h in rows],
        expected=[expected(bias, c, d, h) for c, d, h in rows],
    )
    return write_bundle(make_graph(bias), msgspec.structs.replace(bundle, **changes))
