"""The peer of the whole loop: a plain script, without a platform.

``python -m mlops_assets_tests.benchmarks.plain_script FOLDER`` reads the monthly CSV files below
FOLDER (``flights/2013-01.csv``, ``weather/...``, ``planes/planes.csv``), builds the same features,
fits the same candidates on all months but the last, evaluates them on the last, and prints JSON.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from mlops_assets.catalog import get_project
from mlops_assets.families.encoding import make_examples, model_columns
from serving.encoding import Encoding

if TYPE_CHECKING:
    from mlops_assets.project import Project


def run(folder: Path, project: Project) -> dict[str, Any]:
    """Scores of each candidate on the last month below ``folder``, and the seconds each step took."""
    started = time.monotonic()
    planes = pd.read_csv(folder / "planes/planes.csv")
    months = sorted(path.stem for path in (folder / "flights").glob("*.csv"))
    frames = [project.features.build(_read(folder, month, planes)) for month in months]
    training, held_out = pd.concat(frames[:-1], ignore_index=True), frames[-1]
    examples, vocabularies = make_examples(project, training)
    x, _ = Encoding(project.features.numeric, vocabularies).encode(model_columns(project, held_out))
    prepared = time.monotonic()
    labels = held_out[project.features.label].to_numpy()
    scores = {}
    for family in project.families:
        fitted = family.fit(examples, lambda *_: None)
        scores[family.name] = {**_scores(labels, _predict(fitted.onnx, x)), **fitted.summary}
    return {
        "trained_on": months[:-1],
        "held_out": months[-1],
        "rows": len(training),
        "scores": scores,
        "seconds_to_prepare": round(prepared - started, 3),
        "seconds": round(time.monotonic() - started, 3),
    }


def _read(folder: Path, month: str, planes: pd.DataFrame) -> dict[str, pd.DataFrame]:
    flights = pd.read_csv(folder / f"flights/{month}.csv", parse_dates=["time_hour"])
    weather = pd.read_csv(folder / f"weather/{month}.csv", parse_dates=["time_hour"])
    return {"flights": flights, "weather": weather, "planes": planes}


def _predict(onnx: bytes, x: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    import onnxruntime

    session = onnxruntime.InferenceSession(onnx, providers=["CPUExecutionProvider"])
    return np.asarray(session.run(["probability"], {"X": x})[0], dtype=np.float64)


def _scores(labels: np.ndarray[Any, Any], probability: np.ndarray[Any, Any]) -> dict[str, float]:
    from sklearn.metrics import brier_score_loss, log_loss, roc_auc_score

    return {
        "roc_auc": float(roc_auc_score(labels, probability)),
        "log_loss": float(log_loss(labels, probability)),
        "brier": float(brier_score_loss(labels, probability)),
    }


if __name__ == "__main__":
    print(json.dumps(run(Path(sys.argv[1]), get_project("flight_delays"))))
