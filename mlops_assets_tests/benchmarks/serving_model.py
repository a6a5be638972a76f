"""The benchmark's model and rows: real flights of three months, fitted by the project's own code."""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from mlops_assets.bundle import INPUT, OUTPUT, open_session
from mlops_assets.catalog import get_project
from mlops_assets.contracts import read_object
from mlops_assets.families.encoding import make_examples
from mlops_assets.families.packaging import as_instance, make_bundle
from mlops_assets.sample_data import month_objects, planes_object
from serving.encoding import Encoding
from serving.fields import Columns
from serving.predictor import Predictor

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    from numpy.typing import NDArray

PROJECT = get_project("flight_delays")
TRAIN = ("2013-01", "2013-02", "2013-03")
ASK = "2013-04"
FILE = "model.onnx"


def features(month: str) -> pd.DataFrame:
    """The project's features of ``month``, from the raw objects an exporter would deliver."""
    objects = month_objects(month) | planes_object()
    frames = {}
    for source in PROJECT.sources:
        key = source.pattern.replace("{partition}", month)
        partition = month if source.partitioned else None
        frames[source.name] = read_object(objects[key], source.contract, key=key, partition=partition)
    return PROJECT.features.build(frames)


def train(family_name: str = "boosting") -> bytes:
    """A stored model of ``family_name``, fitted on ``TRAIN``."""
    import pandas as pd

    frame = pd.concat([features(month) for month in TRAIN], ignore_index=True)
    family = next(family for family in PROJECT.families if family.name == family_name)
    examples, vocabularies = make_examples(PROJECT, frame)
    fitted = family.fit(examples, lambda _stage, _metrics: None)
    return make_bundle(PROJECT, family, fitted, vocabularies, frame, "benchmark", "benchmark")


def instances(rows: int) -> list[dict[str, Any]]:
    """Flights of ``ASK`` spread over the month, as a request would send them."""
    frame = features(ASK)
    step = len(frame) // rows
    fields = list(PROJECT.features.instance_fields)
    records = frame[fields].iloc[: step * rows : step].to_dict("records")
    return [as_instance(PROJECT, {str(k): v for k, v in record.items()}) for record in records]


@dataclass(frozen=True)
class Bare:
    """The model with nothing around it, on one thread as the endpoint's."""

    predictor: Predictor
    columns: dict[str, NDArray[Any]]
    session: Any
    x: NDArray[np.float32]

    @classmethod
    def of(cls, data: bytes, asked: list[dict[str, Any]]) -> Bare:
        predictor = Predictor.load(data, PROJECT)
        rows = msgspec.convert(asked, list[PROJECT.features.instance])  # type: ignore[name-defined]
        columns = Columns(PROJECT.features.instance).of(rows)
        bundle = predictor.bundle
        x, _ = Encoding(bundle.numeric, bundle.vocabularies).encode(PROJECT.features.transform(columns))
        return cls(predictor, columns, open_session(data), x)

    def predict(self) -> None:
        """The model on the rows' columns: transform, codes, graph."""
        self.predictor.predict_canonical(self.columns)

    def run(self) -> None:
        """The graph on the encoded rows."""
        self.session.run([OUTPUT], {INPUT: self.x})


def main() -> None:
    parser = argparse.ArgumentParser(description="Train the benchmark's model into a folder.")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--family", default="boosting")
    given = parser.parse_args()
    (given.folder / FILE).write_bytes(train(given.family))


if __name__ == "__main__":
    main()
