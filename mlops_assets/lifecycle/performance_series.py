"""Real performance by version and partition, beside what was expected before the labels came."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from mlops_assets.lifecycle.estimates import said_before
from mlops_assets.lifecycle.pictures import Point

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    import pandas as pd

    from mlops_assets.lifecycle.estimates import Said
    from mlops_assets.monitoring.performance import Measured, Period
    from mlops_assets.monitoring.reference import Reference
    from mlops_assets.project import Project
    from mlops_assets.resources.lake import Lake


def load_outcomes(lake: Lake, keys: Mapping[str, str]) -> pd.DataFrame:
    """The outcomes of the partitions at ``keys``; a column "partition" says which each row is of.

    "time" is when it happened, by which days and months are told, not when it was asked.
    """
    import pandas as pd

    frames = [lake.get_frame(key).assign(partition=name) for name, key in keys.items()]
    frame = pd.concat(frames, ignore_index=True) if frames else pd.DataFrame(columns=_COLUMNS)
    return frame.drop(columns=["time", "request_id", "row"]).rename(columns={"event_time": "time"})


_COLUMNS = ["request_id", "row", "time", "version", "probability", "event_time", "label", "partition"]


def measure_all(
    project: Project, frame: pd.DataFrame, references: Mapping[str, Reference]
) -> Measured | None:
    """The real performance on ``frame``; None where there is too little to measure."""
    from mlops_assets.judging.sample import ScoreError
    from mlops_assets.monitoring.performance import measure

    gate, slices = project.gate, project.features.slices
    try:
        return (
            measure(frame, references, project.performance, slices, gate.min_slice_rows)
            if len(frame)
            else None
        )
    except ScoreError:
        return None  # one class only, say: nothing can be said of ranks


def keep_series(
    lake: Lake, project: Project, frame: pd.DataFrame, references: Mapping[str, Reference]
) -> list[dict[str, Any]]:
    """Figures of each version in each partition, kept in the lake as they are known now; by partition.

    ``expected``: the estimate without labels from the scores of these very rows, and ``error``: by how
    much it missed. ``said before``: the last estimate that ``drift`` made of this version mostly on this
    partition, when the labels were not there yet.
    """
    found = []
    for version, partition, period in _periods(project, frame, references):
        said = [s for s in said_before(lake, project, version) if s.about == partition]
        entry = _entry(version, partition, period, said[-1] if said else None)
        key = f"{project.name}/performance/{version}/{partition}.json"
        if lake.find(key) != _encode(entry):
            lake.put(key, _encode(entry), "application/json")
        found.append(entry)
    return found


def as_point(entry: Mapping[str, Any]) -> Point:
    """For the picture."""
    interval = (entry["roc_auc_low"], entry["roc_auc_high"]) if entry["roc_auc_low"] is not None else None
    expected = entry["expected"]["roc_auc"] if entry["expected"] else None
    name = f"{entry['partition']} v{entry['version']}"
    return Point(name, entry["roc_auc"], interval, entry["promised"], expected)


def _periods(
    project: Project, frame: pd.DataFrame, references: Mapping[str, Reference]
) -> Iterator[tuple[str, str, Period]]:
    """Version, partition and figures, by partition and version."""
    for (partition, version), rows in frame.groupby(["partition", "version"], sort=True):
        # Its rows may be of several days, and by local clocks of a neighbouring month: it is one period.
        measured = measure_all(project, rows, references)
        if measured is not None and measured.months:
            yield str(version), str(partition), max(measured.months, key=lambda month: month.real.rows)


def _entry(version: str, partition: str, period: Period, said: Said | None) -> dict[str, Any]:
    real, interval = period.real, period.interval
    expected = msgspec.to_builtins(period.expected) if period.expected else None
    error = None
    if expected and real.roc_auc is not None:
        error = {
            name: expected[name] - getattr(real, name)
            for name in ("roc_auc", "log_loss", "brier", "positive_rate")
        }
    return {
        "version": version,
        "partition": partition,
        "rows": real.rows,
        "positives": real.positives,
        "roc_auc": real.roc_auc,
        "roc_auc_low": interval.roc_auc.low if interval else None,
        "roc_auc_high": interval.roc_auc.high if interval else None,
        "log_loss": real.log_loss,
        "brier": real.brier,
        "promised": period.promised,
        "expected": expected,
        "error": error,
        "said before": msgspec.to_builtins(said) if said else None,
    }


def _encode(entry: Mapping[str, Any]) -> bytes:
    return msgspec.json.encode(entry, order="sorted")
