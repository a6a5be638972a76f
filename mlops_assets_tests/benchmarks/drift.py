"""Our whole drift verdict beside Evidently's ``DataDriftPreset``, on the same frames.

Each runs in a process of its own that has loaded both frames and all that it imports before the clock and
the meter start. Ours: bins, profiles, reference and verdict.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import psutil

from mlops_assets_tests.benchmarks.rows import Row

if TYPE_CHECKING:
    from collections.abc import Callable

ROWS = 1_000_000
NUMERIC = tuple(f"n{at}" for at in range(9))
CATEGORICAL = ("c0", "c1", "c2")
_MOVED = ("n0", "n1", "c0")
_FASTER, _LEANER = 8.0, 2.0


def run(rows: int = ROWS) -> list[Row]:
    """Two rows: seconds, and MiB at the peak over what the loaded frames took."""
    with tempfile.TemporaryDirectory(prefix="drift-bench-") as folder:
        for name, moved in (("reference", False), ("window", True)):
            frame(rows, moved=moved).to_parquet(Path(folder) / f"{name}.parquet")
        ours, peer = _measured("ours", folder), _measured("peer", folder)
    for name, told in (("ours", ours), ("Evidently", peer)):
        if not set(_MOVED) <= set(told["drifted"]):
            raise RuntimeError(f"{name} did not see that {_MOVED} moved: {told['drifted']}")
    what = f"{rows:,} rows x {len(NUMERIC) + len(CATEGORICAL)} columns"
    faster, leaner = peer["seconds"] / ours["seconds"], peer["mib"] / ours["mib"]
    return [
        Row(f"drift verdict, {what}", ours["seconds"], peer["seconds"], "s", faster, _FASTER,
            faster >= _FASTER),
        Row(f"drift verdict's memory, {what}", ours["mib"], peer["mib"], "MiB", leaner, _LEANER,
            leaner >= _LEANER),
    ]  # fmt: skip


def frame(rows: int, *, moved: bool) -> pd.DataFrame:
    """Numbers (normal, skewed, counts, mostly zero, with gaps) and texts; ``moved``: three columns are."""
    rng = np.random.default_rng(int(moved))
    shift = 0.8 if moved else 0.0
    numbers = {
        "n0": rng.normal(shift, 1, rows),
        "n1": rng.exponential(1 + shift, rows),
        "n2": rng.poisson(4, rows).astype(np.float64),
        "n3": np.where(rng.random(rows) < 0.9, 0.0, rng.random(rows)),
        "n4": np.where(rng.random(rows) < 0.1, np.nan, rng.normal(0, 1, rows)),
        **{f"n{at}": rng.normal(0, at, rows) for at in range(5, 9)},
    }
    texts = {
        "c0": rng.choice(["a", "b", "c"], rows, p=[0.2, 0.3, 0.5] if moved else [0.6, 0.3, 0.1]),
        "c1": rng.choice([f"place {at}" for at in range(20)], rows),
        "c2": rng.choice(["yes", "no"], rows),
    }
    return pd.DataFrame(numbers | {name: values.astype(object) for name, values in texts.items()})


def _measured(which: str, folder: str) -> dict[str, Any]:
    command = [sys.executable, "-W", "ignore", "-m", __name__, which, folder]
    done = subprocess.run(command, check=False, capture_output=True, text=True, env=dict(os.environ))
    if done.returncode:
        raise RuntimeError(f"{which}: {done.stderr[-2000:]}")
    told: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return told


def _ours(reference: pd.DataFrame, window: pd.DataFrame) -> Callable[[], list[str]]:
    import scipy.special  # noqa: F401 -- imported before the clock starts

    from mlops_assets.monitoring.drift import judge_drift
    from mlops_assets.monitoring.reference import profile_features, profile_scores
    from mlops_assets.project import Drift
    from mlops_assets_tests.monitoring.data import reference_of

    some = np.linspace(0.01, 0.99, 100)

    def verdict() -> list[str]:
        names = (*NUMERIC, *CATEGORICAL)
        before, after = ({name: one[name].to_numpy() for name in names} for one in (reference, window))
        held_out = {name: values[:1_000] for name, values in before.items()}
        made = reference_of(before, held_out, some, None, NUMERIC, CATEGORICAL)
        found = judge_drift(
            made, profile_features(made, after), profile_scores(made, some), Drift(min_rows=50)
        )
        return [column.name for column in found.drifted]

    return verdict


def _peer(reference: pd.DataFrame, window: pd.DataFrame) -> Callable[[], list[str]]:
    from evidently import DataDefinition, Dataset, Report
    from evidently.presets import DataDriftPreset

    definition = DataDefinition(numerical_columns=list(NUMERIC), categorical_columns=list(CATEGORICAL))

    def verdict() -> list[str]:
        snapshot = Report([DataDriftPreset()]).run(
            Dataset.from_pandas(window, data_definition=definition),
            Dataset.from_pandas(reference, data_definition=definition),
        )
        metrics = snapshot.dict()["metrics"]
        return [
            m["config"]["column"]
            for m in metrics
            if m["config"]["type"].endswith("ValueDrift") and m["value"] > m["config"]["threshold"]
        ]

    return verdict


class _Meter(threading.Thread):
    """The highest resident memory of this process while it runs, read every 5 ms."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self._process, self._over = psutil.Process(), threading.Event()
        self.base = self.peak = self._process.memory_info().rss

    def run(self) -> None:
        while not self._over.wait(0.005):
            self.peak = max(self.peak, self._process.memory_info().rss)

    def stop(self) -> float:
        """MiB at the peak over the beginning."""
        self._over.set()
        self.join()
        return (max(self.peak, self._process.memory_info().rss) - self.base) / 2**20


def _child(which: str, folder: str) -> None:
    reference, window = (
        pd.read_parquet(Path(folder) / f"{name}.parquet") for name in ("reference", "window")
    )
    verdict = (_ours if which == "ours" else _peer)(reference, window)
    meter = _Meter()
    meter.start()
    began = time.perf_counter()
    drifted = verdict()
    seconds = time.perf_counter() - began
    print(json.dumps({"seconds": seconds, "mib": max(meter.stop(), 0.1), "drifted": drifted}))


if __name__ == "__main__":
    _child(*sys.argv[1:])
