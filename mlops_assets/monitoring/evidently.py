"""Evidently's report: it shows a person what moved. The verdict is our own (``drift``)."""

from __future__ import annotations

import json
import warnings
from typing import TYPE_CHECKING, Any

import numpy as np

from mlops_assets.monitoring.profiles import ProfileError

if TYPE_CHECKING:
    import pandas as pd

SAMPLE_ROWS = 2_000
"""Rows of each sample, at most: Evidently goes over them several times, and a picture needs no more."""
MISSING = "(missing)"


def draw_report(reference_sample: pd.DataFrame, window_sample: pd.DataFrame) -> tuple[bytes, dict[str, Any]]:
    """Evidently's ``DataDriftPreset`` of the window against the reference: an HTML page, and its JSON.

    Both samples have the model's columns: numbers, or text (None where missing); rows beyond
    ``SAMPLE_ROWS`` are thinned out evenly. "Drift" on the page is by Evidently's own distances, bins and
    thresholds, of the samples alone. The page holds all that it needs, some 4 MB; nothing is sent anywhere.
    Importing Evidently takes seconds.
    Raises ``ProfileError`` for samples without rows or with different columns.
    """
    if reference_sample.empty or window_sample.empty:
        raise ProfileError("a report needs rows on both sides: wait for traffic, or make the reference anew")
    if list(reference_sample.columns) != list(window_sample.columns):
        raise ProfileError(
            f"columns {list(window_sample.columns)} of the window are not the reference's "
            f"{list(reference_sample.columns)}: sample the columns of one model"
        )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # its own, and those of what it imports
        return _draw(_thinned(reference_sample), _thinned(window_sample))


def _draw(reference: pd.DataFrame, window: pd.DataFrame) -> tuple[bytes, dict[str, Any]]:
    # These import neither Evidently's service nor its telemetry, which only the service sends.
    from evidently import DataDefinition, Dataset, Report
    from evidently.presets import DataDriftPreset

    names = [str(name) for name in reference.columns]
    text = [name for name in names if _is_text(reference[name]) or _is_text(window[name])]
    numeric = [name for name in names if name not in text]
    reference, window = _prepared(reference, text), _prepared(window, text)
    # A number that is missing on one side everywhere cannot be drawn: it is left out, and said.
    left_out = [name for name in numeric if reference[name].isna().all() or window[name].isna().all()]
    numeric = [name for name in numeric if name not in left_out]
    shown = [*numeric, *text]
    if not shown:
        raise ProfileError("a report needs a column with values on both sides: look at the transform")
    definition = DataDefinition(numerical_columns=numeric, categorical_columns=text)
    snapshot = Report([DataDriftPreset(columns=shown)], include_tests=False).run(
        Dataset.from_pandas(window[shown], data_definition=definition),
        Dataset.from_pandas(reference[shown], data_definition=definition),
    )
    found: dict[str, Any] = json.loads(snapshot.json())
    rows = {"reference": len(reference), "window": len(window)}
    return snapshot.get_html_str(as_iframe=False).encode(), found | {"rows": rows, "left out": left_out}


def _is_text(column: pd.Series) -> bool:
    return any(isinstance(value, str) for value in column.to_numpy()) if column.dtype == object else False


def _prepared(frame: pd.DataFrame, text: list[str]) -> pd.DataFrame:
    columns = {
        name: frame[name].astype(object).where(frame[name].notna(), MISSING)
        if name in text
        else frame[name].astype(np.float64).replace([np.inf, -np.inf], np.nan)
        for name in frame
    }
    return type(frame)(columns)


def _thinned(frame: pd.DataFrame) -> pd.DataFrame:
    """At most ``SAMPLE_ROWS`` of its rows, evenly spread."""
    if len(frame) <= SAMPLE_ROWS:
        return frame
    return frame.iloc[np.linspace(0, len(frame) - 1, SAMPLE_ROWS).astype(int)]
