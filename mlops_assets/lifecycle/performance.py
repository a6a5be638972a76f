"""Stage ``performance``: the champion's real metrics on outcomes, against what its evaluation promised."""

import hashlib
import json
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import dagster as dg
import msgspec

from mlops_assets.lifecycle.describe import asset_key, common
from mlops_assets.lifecycle.lineage import LAKE_KEY, TRAINING_SET, data_versions, latest
from mlops_assets.lifecycle.reference_profile import Watched, reference_key, watched
from mlops_assets.project import Project
from mlops_assets.resources.lake import Lake

if TYPE_CHECKING:
    from collections.abc import Mapping

    import pandas as pd

    from mlops_assets.judging.gate import Verdict
    from mlops_assets.monitoring.performance import Measured
    from mlops_assets.monitoring.reference import Reference

PERFORMANCE = "performance"
CHAMPION = "champion"
OUTCOMES = "outcomes"
"""Metadata: outcomes by model version."""


def build_performance(project: Project) -> dg.AssetsDefinition:
    """The ``performance`` asset of ``project``.

    Its check is evaluated when the champion has ``Performance.min_outcomes`` outcomes of its own: a swap
    alone neither breaks a promise nor mends one.
    """
    key = asset_key(project, "performance")

    @dg.multi_asset(
        name=f"{project.name}__performance",
        specs=[
            dg.AssetSpec(
                **common(project, "performance"),
                deps=[
                    dg.AssetDep(asset_key(project, "outcomes"), partition_mapping=dg.AllPartitionMapping()),
                    asset_key(project, "reference_profile"),
                ],
                kinds={"numpy"},
                description=(
                    "The real metrics of what was served, by day, month and slice, with confidence "
                    "intervals, beside what the evaluation promised and what was expected without labels."
                ),
            )
        ],
        check_specs=[
            # An error: users got worse answers than were promised. It blocks nothing: what is served goes on
            # being the best there is until another passes the gate.
            dg.AssetCheckSpec(
                PERFORMANCE,
                asset=key,
                description="The champion ranks as well on real outcomes as its evaluation promised.",
            )
        ],
        can_subset=True,  # so that the check may be left unevaluated
    )
    def performance(
        context: dg.AssetExecutionContext, lake: Lake
    ) -> Iterator[dg.MaterializeResult | dg.AssetCheckResult]:
        from mlops_assets.lifecycle.performance_series import keep_series, load_outcomes, measure_all
        from mlops_assets.monitoring.performance import judge_performance

        champion = watched(context.instance, project)
        state = data_versions(context.instance, asset_key(project, "outcomes"))
        made = {
            p: latest(context.instance, asset_key(project, "outcomes"), p).metadata for p in sorted(state)
        }
        keys = {partition: str(metadata[LAKE_KEY]) for partition, metadata in made.items()}
        frame = load_outcomes(lake, keys)
        references = _references(lake, project, frame)
        measured = measure_all(project, frame, references)
        series = keep_series(lake, project, frame, references)
        own = _recent(project, frame[frame["version"] == champion.version])
        verdict = None
        if champion.version in references and (judged := measure_all(project, own, references)):
            verdict = judge_performance(judged, references[champion.version], project.performance)
        yield dg.MaterializeResult(
            asset_key=key,
            data_version=dg.DataVersion(state_of(champion, state)),
            metadata=_metadata(champion, frame, measured, verdict, series),
        )
        if verdict is not None and context.selected_asset_check_keys:
            yield _check(key, champion, own, verdict)

    return performance


def state_of(champion: Watched, outcomes: "Mapping[str, str]") -> str:
    """The data version: the outcomes and, after a dot, the champion that it would be made of."""
    rows = hashlib.sha256(json.dumps(sorted(outcomes.items())).encode()).hexdigest()[:12]
    model = hashlib.sha256(json.dumps([champion.version, champion.model_uri]).encode()).hexdigest()[:8]
    return f"{rows}.{model}"


def outcomes_of(state: str) -> str:
    """The part of ``state_of`` that the outcomes alone decide."""
    return state.partition(".")[0]


def _references(lake: Lake, project: Project, frame: "pd.DataFrame") -> "dict[str, Reference]":
    """Of each version that answered, as far as one was made and can be read."""
    from mlops_assets.monitoring.profiles import ProfileError
    from mlops_assets.monitoring.reference import decode_reference

    found = {}
    for version in sorted(set(frame["version"])):
        data = lake.find(reference_key(project.name, version))
        try:
            if data is not None:
                found[version] = decode_reference(data)
        except ProfileError:
            continue
    return found


def _recent(project: Project, own: "pd.DataFrame") -> "pd.DataFrame":
    """The newest partitions that hold enough outcomes to judge: good months must not hide a bad one."""
    enough = project.performance.min_outcomes
    rows = own.groupby("partition").size().sort_index(ascending=False).cumsum()
    wanted = rows.index[: int((rows < enough).sum()) + 1]
    return own[own["partition"].isin(set(wanted))]


def _metadata(
    champion: Watched,
    frame: "pd.DataFrame",
    measured: "Measured | None",
    verdict: "Verdict | None",
    series: list[dict[str, Any]],
) -> dict[str, Any]:
    from mlops_assets.lifecycle.performance_series import as_point
    from mlops_assets.lifecycle.pictures import points

    versions = {str(v): int(n) for v, n in frame["version"].value_counts().sort_index().items()}
    shown: dict[str, Any] = {
        CHAMPION: champion.version,
        TRAINING_SET: champion.training_set,
        OUTCOMES: versions,
        "rows": len(frame),
        "judged": verdict is not None,
        "observed": verdict.observed if verdict else "too few outcomes of the champion's own to judge it by",
        "series": series,
    }
    if measured is not None:
        shown["days"] = [msgspec.to_builtins(day) for day in measured.days][-62:]
        shown["slices"] = [msgspec.to_builtins(part) for part in measured.slices]
        shown["picture"] = dg.MetadataValue.md(
            points("ROC AUC by partition and version", [as_point(one) for one in series])
        )
    return shown


def _check(
    key: dg.AssetKey, champion: Watched, own: "pd.DataFrame", verdict: "Verdict"
) -> dg.AssetCheckResult:
    return dg.AssetCheckResult(
        asset_key=key,
        check_name=PERFORMANCE,
        passed=verdict.passed,
        severity=dg.AssetCheckSeverity.ERROR,
        description=verdict.explanation,
        metadata={
            CHAMPION: champion.version,
            TRAINING_SET: champion.training_set,
            "observed": verdict.observed,
            "allowed": verdict.allowed,
            "what to do": verdict.explanation if not verdict.passed else "nothing",
            "partitions": sorted(set(own["partition"])),
            "evidence": dict(verdict.figures),
        },
    )
