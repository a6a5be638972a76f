"""Stage ``drift``: the last predictions against the champion's reference; the verdict and its checks."""

import datetime as dt
import hashlib
import json
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

import dagster as dg

from mlops_assets.lifecycle.checking import check_spec
from mlops_assets.lifecycle.describe import asset_key, common, step
from mlops_assets.lifecycle.lineage import (
    TRAINING_SET,
    NotMaterializedError,
    data_versions,
    latest,
)
from mlops_assets.lifecycle.log_days import objects_of
from mlops_assets.lifecycle.reference_profile import SAMPLE_ROWS, Watched, watched
from mlops_assets.project import Project
from mlops_assets.resources.lake import Lake
from mlops_assets.resources.registry import Registry

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    import pandas as pd

    from mlops_assets.judging.gate import Verdict
    from mlops_assets.monitoring.drift import DriftVerdict
    from mlops_assets.monitoring.estimate import Expected
    from mlops_assets.monitoring.reference import Reference

CHECKS = {
    "feature_drift": "The features of the last predictions are spread as in the champion's training set.",
    "score_drift": "The champion's scores are spread as on its held-out partition.",
}
CHAMPION = "champion"
VERDICT = "verdict"
"""Metadata: names a failing verdict for as long as it lasts, "" while the checks pass."""
LAST_FAILURE = "last failure"
"""Metadata: when a verdict began to fail last (``at``), of which champion, and the ``SAMPLE`` of its window
that a report is drawn from; it is there when the verdict is over, too."""
SAMPLE = "sample"


@dataclass
class Seen:
    """The window, profiled."""

    reference: "Reference"
    verdict: "DriftVerdict"
    expected: "Expected | None"
    sample: "pd.DataFrame"
    partitions: dict[str, int]
    first: str
    last: str
    answered_by_others: int = 0
    rows: int = field(init=False)

    def __post_init__(self) -> None:
        self.rows = self.verdict.rows


def build_drift(project: Project, registry: Registry) -> dg.AssetsDefinition:
    """The ``drift`` asset of ``project``; its checks are evaluated from ``Drift.min_rows`` rows on."""
    key = asset_key(project, "drift")
    described = common(project, "drift")

    @dg.multi_asset(
        name=f"{project.name}__drift",
        **step(project, "drift"),
        specs=[
            dg.AssetSpec(
                **described,
                deps=[asset_key(project, "reference_profile"), asset_key(project, "predictions")],
                kinds={"numpy"},
                description=(
                    "The features and scores of the last predictions against the champion's reference: own "
                    "binned statistics, corrected for many columns. With it, what performance calibrated "
                    "scores let one expect before labels come."
                ),
            )
        ],
        # A warning both, and they block nothing: that the world moved does not make an answer wrong. That
        # answers are wrong is what `performance` finds. They are causes of a training.
        check_specs=[
            check_spec(name, key, what, severity=dg.AssetCheckSeverity.WARN) for name, what in CHECKS.items()
        ],
        can_subset=True,  # so that a check may be left unevaluated
    )
    def drift(
        context: dg.AssetExecutionContext, lake: Lake
    ) -> Iterator[dg.MaterializeResult | dg.AssetCheckResult]:
        champion = watched(context.instance, project)
        days = data_versions(context.instance, asset_key(project, "predictions"))
        seen = look(lake, registry, project, champion, days)
        _keep_expected(lake, project, champion, seen)
        run_id, before = context.run.run_id, _before(context.instance, project)
        note = _note(champion, seen, before, run_id, partial(_put_sample, lake, project, seen.sample))
        yield dg.MaterializeResult(
            asset_key=key,
            data_version=dg.DataVersion(state_of(champion, days)),
            metadata=_metadata(champion, seen) | note,
        )
        if seen.verdict.judged:
            wanted = {check.name for check in context.selected_asset_check_keys}
            for verdict in (seen.verdict.features, seen.verdict.scores):
                if verdict.name in wanted:
                    yield _check(key, champion, verdict)

    return drift


def state_of(champion: Watched, days: "Mapping[str, str]") -> str:
    """The data version of the verdict: tells apart what it would be made from."""
    made_of = [champion.version, champion.model_uri, sorted((d, objects_of(s)) for d, s in days.items())]
    return hashlib.sha256(json.dumps(made_of).encode()).hexdigest()[:16]


def look(lake: Lake, registry: Registry, project: Project, champion: Watched, logged: dict[str, str]) -> Seen:
    """Profile the last predictions of the days ``logged`` and judge them, a batch at a time."""
    import numpy as np

    from mlops_assets.lifecycle.log_window import Sample, Window
    from mlops_assets.monitoring.drift import judge_drift
    from mlops_assets.monitoring.estimate import estimate_performance
    from mlops_assets.monitoring.profiles import empty_profile
    from mlops_assets.monitoring.reference import profile_features, profile_scores
    from serving.predictor import Predictor

    def load() -> Predictor:
        return Predictor.load(registry.model_bytes(champion.model_uri), project)

    reference = champion.reference(lake)
    features, scores = empty_profile(reference.features.binning), empty_profile(reference.scores.binning)
    window = Window(lake, project, project.drift.window_rows, champion.version, load)
    sample = Sample(project.drift.window_rows, SAMPLE_ROWS)
    partitions: Counter[str] = Counter()
    days: set[str] = set()
    kept, times = [], []
    for rows in window.read(list(logged)):
        features += profile_features(reference, rows.columns)
        scores += profile_scores(reference, rows.scores)
        sample.take(rows.columns)
        partitions.update(rows.partitions.tolist())
        days |= rows.days
        kept.append(rows.scores.astype(np.float32))
        times += [int(rows.times.min()), int(rows.times.max())]
    expected = estimate_performance(reference, np.concatenate(kept)) if kept else None
    return Seen(
        reference,
        judge_drift(reference, features, scores, project.drift, len(days) or None),
        expected,
        sample.frame(),
        dict(sorted(partitions.items())),
        _iso(min(times)) if times else "",
        _iso(max(times)) if times else "",
        window.answered_by_others,
    )


def _iso(micros: int) -> str:
    return dt.datetime.fromtimestamp(micros / 1e6, dt.UTC).isoformat(timespec="milliseconds")


def _before(instance: dg.DagsterInstance, project: Project) -> "Mapping[str, Any]":
    try:
        return latest(instance, asset_key(project, "drift")).metadata
    except NotMaterializedError:
        return {}


def _keep_expected(lake: Lake, project: Project, champion: Watched, seen: Seen) -> None:
    """Keep what is expected of the champion, to be compared with the truth when that comes."""
    from mlops_assets.lifecycle.estimates import Said, say

    if seen.expected is not None and seen.verdict.judged:
        e = seen.expected
        said = Said(seen.last, e.rows, seen.partitions, e.roc_auc, e.log_loss, e.brier, e.positive_rate)
        say(lake, project, champion.version, said)


def _note(
    champion: Watched, seen: Seen, before: "Mapping[str, Any]", run_id: str, keep: "Callable[[str], str]"
) -> dict[str, Any]:
    """Which failing verdict this is, and which was the last, as metadata; ``keep`` stores the sample."""
    last = {LAST_FAILURE: before[LAST_FAILURE]} if LAST_FAILURE in before else {}
    failed = [v.name for v in (seen.verdict.features, seen.verdict.scores) if not v.passed]
    if not failed:
        return {VERDICT: "", **last}
    lasting = str(before.get(VERDICT, ""))
    if lasting.startswith(f"{champion.version}/"):
        return {VERDICT: lasting, **last}  # the same as before: one report is drawn of it
    verdict = f"{champion.version}/{'+'.join(failed)}/{run_id[:8]}"
    failure = {VERDICT: verdict, CHAMPION: champion.version, SAMPLE: keep(run_id), "at": time.time()}
    return {VERDICT: verdict, LAST_FAILURE: failure}


def _put_sample(lake: Lake, project: Project, sample: "pd.DataFrame", run_id: str) -> str:
    import io

    key = f"{project.name}/drift/samples/{run_id}.parquet"
    buffer = io.BytesIO()
    sample.to_parquet(buffer, index=False, compression="zstd")
    lake.put(key, buffer.getvalue(), "application/vnd.apache.parquet")
    return key


def _metadata(champion: Watched, seen: Seen) -> dict[str, Any]:
    import msgspec

    from mlops_assets.lifecycle.pictures import Bar, bars

    shown = [
        Bar(c.name, c.distance, c.allowed, bad=c.drifted) for c in (*seen.verdict.columns, seen.verdict.score)
    ]
    expected = {} if seen.expected is None else {"expected": msgspec.to_builtins(seen.expected)}
    return {
        CHAMPION: champion.version,
        TRAINING_SET: champion.training_set,
        "window": {"rows": seen.rows, "first": seen.first, "last": seen.last},
        "partitions": seen.partitions,
        "judged": seen.verdict.judged,
        "drifted": [column.name for column in seen.verdict.drifted],
        "drifted share": seen.verdict.drifted_share,
        "score distance": seen.verdict.scores_distance,
        "answered by other versions": seen.answered_by_others,
        **expected,
        "columns": dg.MetadataValue.table(
            [
                dg.TableRecord(
                    {
                        "column": c.name,
                        "distance": round(c.distance, 4),
                        "allowed": round(c.allowed, 4),
                        "held out": round(c.held_out, 4),
                        "p": float(f"{c.adjusted_p:.2g}"),
                        "drifted": "yes" if c.drifted else "",
                        "moved": c.moved,
                    }
                )
                for c in (*seen.verdict.columns, seen.verdict.score)
            ]
        ),
        "picture": dg.MetadataValue.md(bars("distance from the reference; mark: allowed", shown)),
    }


def _check(key: dg.AssetKey, champion: Watched, verdict: "Verdict") -> dg.AssetCheckResult:
    return dg.AssetCheckResult(
        asset_key=key,
        check_name=verdict.name,
        passed=verdict.passed,
        severity=dg.AssetCheckSeverity.WARN,
        description=verdict.explanation,
        metadata={
            CHAMPION: champion.version,
            TRAINING_SET: champion.training_set,
            "observed": verdict.observed,
            "allowed": verdict.allowed,
            "what to do": verdict.explanation if not verdict.passed else "nothing",
            **verdict.figures,
        },
    )
