"""Evidently's report: whole in itself, from bounded samples, without the network."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import pytest

from mlops_assets.monitoring.evidently import SAMPLE_ROWS, draw_report
from mlops_assets.monitoring.profiles import ProfileError

if TYPE_CHECKING:
    from pathlib import Path


def _frame(rows: int, seed: int, shift: float = 0.0) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    return pd.DataFrame(
        {
            "still": rng.normal(0, 1, rows),
            "moved": rng.normal(shift, 1, rows),
            "count": rng.integers(0, 5, rows),
            "place": rng.choice(np.array(["a", "b", None], dtype=object), rows),
        }
    )


def test_the_report_shows_what_moved_from_a_bounded_sample() -> None:
    html, told = draw_report(_frame(30_000, 1), _frame(5_000, 2, shift=2.0))
    assert told["rows"] == {"reference": SAMPLE_ROWS, "window": SAMPLE_ROWS}
    values = {m["config"].get("column"): m["value"] for m in told["metrics"]}
    assert values["moved"] > 1
    assert values["still"] < 0.1
    assert {"still", "moved", "count", "place"} <= set(values)
    json.dumps(told)
    page = html.decode()
    assert page.lstrip().lower().startswith("<!doctype html>") or "<html" in page[:200].lower()
    assert "<script src=" not in page
    assert "moved" in page


def test_columns_that_are_missing_infinite_or_text_on_one_side_do_not_end_it() -> None:
    window = _frame(500, 2)
    window["still"] = np.nan
    window.loc[:5, "moved"] = np.inf
    window["place"] = None
    _, told = draw_report(_frame(500, 1), window)
    assert told["left out"] == ["still"]
    assert {m["config"].get("column") for m in told["metrics"]} == {None, "moved", "count", "place"}


def test_samples_that_cannot_be_compared_are_refused() -> None:
    with pytest.raises(ProfileError, match="needs rows on both sides"):
        draw_report(_frame(10, 1), _frame(0, 1))
    with pytest.raises(ProfileError, match="one model"):
        draw_report(_frame(10, 1), _frame(10, 1).drop(columns="still"))


_ALONE = """
import socket, sys
def refuse(self, address):
    print("CONNECT", address)
    raise OSError("refused by the test")
socket.socket.connect = refuse
import pandas as pd
from mlops_assets.monitoring.evidently import draw_report
frame = pd.DataFrame({"x": range(100), "c": ["a", "b"] * 50})
html, _ = draw_report(frame, frame)
print("DRAWN", len(html) > 100_000, "iterative_telemetry" in sys.modules)
"""


def test_nothing_is_sent_and_telemetry_is_not_even_imported(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", _ALONE], capture_output=True, text=True, check=True
    )
    assert done.stdout.splitlines() == ["DRAWN True False"]
