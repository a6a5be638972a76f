"""Real performance by version and partition, beside what was expected before the labels came."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from mlops_assets.lifecycle.estimates import said_before
from mlops_assets.lifecycle.lineage import LAKE_KEY
from mlops_assets.lifecycle.outcomes import VERSIONS
from mlops_assets.lifecycle.pictures import Point

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping

    import pandas as pd

    from mlops_assets.lifecycle.lineage import Materialized
    from mlops_assets.monitoring.performance import Measured
    from mlops_assets.monitoring.reference import Reference
    from mlops_assets.project import Project
    from mlops_assets.resources.lake import Lake

Entry = dict[str, Any]


def load_outcomes(lake: Lake, outcomes: Mapping[str, Materialized]) -> pd.DataFrame:
    """The rows of ``outcomes`` (by partition); a column "partition" says which each is of.

    "time" is when it happened, by which days and months are told, not when it was asked about.
    """
    import pandas as pd

    frames = [lake.get_frame(made.lake_key).assign(partition=name) for name, made in outcomes.items()]
    frame = pd.concat(frames, ignore_index=True)
    return frame.drop(columns=["time", "request_id", "row"]).rename(columns={"event_time": "time"})


def measure_rows(
    project: Project, frame: pd.DataFrame, references: Mapping[str, Reference]
) -> Measured | None:
    """The real performance on ``frame``; None where there is too little to measure."""
    from mlops_assets.judging.sample import ScoreError
    from mlops_assets.monitoring.performance import measure

    if frame.empty:
        return None
    slices, least = project.features.slices, project.gate.min_slice_rows
    try:
        return measure(frame, references, project.performance, slices, least)
    except ScoreError:
        return None  # one class only, say: nothing can be said of ranks


def keep_series(
    lake: Lake,
    project: Project,
    outcomes: Mapping[str, Materialized],
    references: Mapping[str, Reference],
    wanted: Collection[str],
) -> list[Entry]:
    """Figures of each version in each of the partitions ``wanted``, as the lake keeps them; by partition.

    Measured anew where the outcomes are other ones. ``expected`` is the estimate without labels from the
    scores of these very rows, ``error`` by how much it missed. ``said before``: the last estimate that
    ``drift`` made of this version mostly on this partition, without its labels.
    """
    found = []
    for partition in sorted(wanted):
        made = outcomes[partition]
        entries = {version: _kept(lake, project, version, partition) for version in made.metadata[VERSIONS]}
        if any(_outdated(entry, made, references, version) for version, entry in entries.items()):
            entries = dict(_measured(lake, project, partition, made, references))
        found += [entry for entry in entries.values() if entry is not None]
    return found


def as_point(entry: Mapping[str, Any]) -> Point:
    """For the picture."""
    interval = (entry["roc_auc_low"], entry["roc_auc_high"]) if entry["roc_auc_low"] is not None else None
    expected = entry["expected"]["roc_auc"] if entry["expected"] else None
    name = f"{entry['partition']} v{entry['version']}"
    return Point(name, entry["roc_auc"], interval, entry["promised"], expected)


def _key(project: Project, version: str, partition: str) -> str:
    return f"{project.name}/performance/{version}/{partition}.json"


def _kept(lake: Lake, project: Project, version: str, partition: str) -> Entry | None:
    data = lake.find(_key(project, version, partition))
    return None if data is None else dict(msgspec.json.decode(data))


def _outdated(
    entry: Entry | None, made: Materialized, references: Mapping[str, Reference], version: str
) -> bool:
    if entry is None or entry[LAKE_KEY] != made.lake_key:
        return True
    return (entry["promised"] is None) == (version in references)


def _measured(
    lake: Lake,
    project: Project,
    partition: str,
    made: Materialized,
    references: Mapping[str, Reference],
) -> Iterator[tuple[str, Entry]]:
    """Measure the partition's outcomes anew, by version, and keep what was found."""
    for version, rows in load_outcomes(lake, {partition: made}).groupby("version", sort=True):
        measured = measure_rows(project, rows, references)
        said = [one for one in said_before(lake, project, str(version)) if one.about == partition]
        entry = {
            "version": str(version),
            "partition": partition,
            "rows": len(rows),
            "positives": int(rows["label"].sum()),
            LAKE_KEY: made.lake_key,
            **_figures(measured, references.get(str(version))),
            "said before": msgspec.to_builtins(said[-1]) if said else None,
        }
        lake.put(_key(project, str(version), partition), msgspec.json.encode(entry), "application/json")
        yield str(version), entry


def _figures(measured: Measured | None, reference: Reference | None) -> Entry:
    """Real, promised and expected; None where there is too little to tell."""
    # By local clocks its rows may be of a neighbouring month, too: the month of most is it.
    month = max(measured.months, key=lambda m: m.real.rows) if measured else None
    real, interval = month.real if month else None, month.interval if month else None
    expected = msgspec.to_builtins(month.expected) if month and month.expected else None
    error = None
    if expected and real and real.roc_auc is not None:
        names = ("roc_auc", "log_loss", "brier", "positive_rate")
        error = {name: expected[name] - getattr(real, name) for name in names}
    return {
        "roc_auc": real.roc_auc if real else None,
        "roc_auc_low": interval.roc_auc.low if interval else None,
        "roc_auc_high": interval.roc_auc.high if interval else None,
        "log_loss": real.log_loss if real else None,
        "brier": real.brier if real else None,
        "promised": reference.promised.roc_auc.value if reference else None,
        "expected": expected,
        "error": error,
        "days": [msgspec.to_builtins(day) for day in measured.days] if measured else [],
        "slices": [msgspec.to_builtins(part) for part in measured.slices] if measured else [],
    }
