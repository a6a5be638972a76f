"""Stage ``performance``: the champion's real metrics on outcomes, against what its evaluation promised."""

import hashlib
import json
from collections import Counter
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import dagster as dg

from mlops_assets.lifecycle.checking import check_spec
from mlops_assets.lifecycle.describe import asset_key, common, step
from mlops_assets.lifecycle.lineage import TRAINING_SET, data_versions, latest_by_partition
from mlops_assets.lifecycle.outcomes import EVENT_DAYS, VERSIONS
from mlops_assets.lifecycle.reference_profile import Watched, reference_key, watched
from mlops_assets.project import Project
from mlops_assets.resources.lake import Lake

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mlops_assets.judging.gate import Verdict
    from mlops_assets.lifecycle.lineage import Materialized
    from mlops_assets.monitoring.reference import Reference

PERFORMANCE = "performance"
CHAMPION = "champion"
OUTCOMES = "outcomes"
"""Metadata: outcomes by model version."""
SHOWN = 24
"""Partitions whose figures are shown, the newest; those of all are in the lake."""


def build_performance(project: Project) -> dg.AssetsDefinition:
    """The ``performance`` asset of ``project``.

    Its check is evaluated when the champion has ``Performance.min_outcomes`` outcomes of its own: a swap
    alone neither breaks a promise nor mends one.
    """
    key = asset_key(project, "performance")

    @dg.multi_asset(
        name=f"{project.name}__performance",
        **step(project, "performance"),
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
            check_spec(
                PERFORMANCE, key, "The champion ranks as well on real outcomes as its evaluation promised."
            )
        ],
        can_subset=True,  # so that the check may be left unevaluated
    )
    def performance(
        context: dg.AssetExecutionContext, lake: Lake
    ) -> Iterator[dg.MaterializeResult | dg.AssetCheckResult]:
        from mlops_assets.lifecycle.performance_series import keep_series, load_outcomes, measure_rows
        from mlops_assets.monitoring.performance import judge_performance

        champion = watched(context.instance, project)
        state = data_versions(context.instance, asset_key(project, "outcomes"))
        outcomes = latest_by_partition(context.instance, asset_key(project, "outcomes"))
        references = _references(lake, project, outcomes)
        recent = [*outcomes][-SHOWN:]
        changed = {p for p, made in outcomes.items() if made.timestamp >= _last_time(context, key)}
        series = keep_series(lake, project, outcomes, references, changed | set(recent))
        own, verdict = _own(project, champion, outcomes), None
        if own and champion.version in references:
            rows = load_outcomes(lake, own)
            measured = measure_rows(project, rows[rows["version"] == champion.version], references)
            if measured is not None:
                verdict = judge_performance(measured, references[champion.version], project.performance)
        shown = [entry for entry in series if entry["partition"] in recent]
        yield dg.MaterializeResult(
            asset_key=key,
            data_version=dg.DataVersion(state_of(champion, state)),
            metadata=_metadata(champion, outcomes, verdict, shown),
        )
        if verdict is not None and context.selected_asset_check_keys:
            yield _check(key, champion, sorted(own), verdict)

    return performance


def state_of(champion: Watched, outcomes: "Mapping[str, str]") -> str:
    """The data version: the outcomes and, after a dot, the champion that it would be made of."""
    rows = hashlib.sha256(json.dumps(sorted(outcomes.items())).encode()).hexdigest()[:12]
    model = hashlib.sha256(json.dumps([champion.version, champion.model_uri]).encode()).hexdigest()[:8]
    return f"{rows}.{model}"


def outcomes_of(state: str) -> str:
    """The part of ``state_of`` that the outcomes alone decide."""
    return state.partition(".")[0]


def _references(
    lake: Lake, project: Project, outcomes: "Mapping[str, Materialized]"
) -> "dict[str, Reference]":
    """Of each version that answered, as far as one was made and can be read."""
    from mlops_assets.monitoring.profiles import ProfileError
    from mlops_assets.monitoring.reference import decode_reference

    found = {}
    for version in sorted({v for made in outcomes.values() for v in made.metadata[VERSIONS]}):
        data = lake.find(reference_key(project.name, version))
        try:
            if data is not None:
                found[version] = decode_reference(data)
        except ProfileError:
            continue
    return found


def _last_time(context: dg.AssetExecutionContext, key: dg.AssetKey) -> float:
    """When performance was materialized last; 0 before the first time."""
    event = context.instance.get_latest_materialization_event(key)
    return event.timestamp if event else 0.0


def _own(
    project: Project, champion: Watched, outcomes: "Mapping[str, Materialized]"
) -> "dict[str, Materialized]":
    """The newest partitions that hold enough outcomes of the champion, of enough days, to judge it by.

    No more: good months must not hide a bad one.
    """
    from mlops_assets.judging.resampling import MIN_GROUPS

    found: dict[str, Materialized] = {}
    rows = days = 0
    for partition in sorted(outcomes, reverse=True):
        if rows >= project.performance.min_outcomes and days >= MIN_GROUPS:
            break
        told = outcomes[partition].metadata
        if mine := int(told[VERSIONS].get(champion.version, 0)):
            found[partition] = outcomes[partition]
            rows, days = rows + mine, days + int(told[EVENT_DAYS])
    return found


def _metadata(
    champion: Watched,
    outcomes: "Mapping[str, Materialized]",
    verdict: "Verdict | None",
    series: list[dict[str, Any]],
) -> dict[str, Any]:
    from mlops_assets.lifecycle.performance_series import as_point
    from mlops_assets.lifecycle.pictures import points

    versions: Counter[str] = Counter()
    for made in outcomes.values():
        versions.update(made.metadata[VERSIONS])
    own = [entry for entry in series if entry["version"] == champion.version]
    return {
        CHAMPION: champion.version,
        TRAINING_SET: champion.training_set,
        OUTCOMES: dict(sorted(versions.items())),
        "rows": versions.total(),
        "judged": verdict is not None,
        "observed": verdict.observed if verdict else "too few outcomes of the champion's own to judge it by",
        "series": [{name: entry[name] for name in entry if name not in _DETAILS} for entry in series],
        **({name: own[-1][name] for name in _DETAILS} if own else {}),
        "picture": dg.MetadataValue.md(
            points("ROC AUC by partition and version", [as_point(entry) for entry in series])
        ),
    }


_DETAILS = ("days", "slices")
"""Shown of the champion's newest partition; of the others they are in the lake."""


def _check(
    key: dg.AssetKey, champion: Watched, partitions: list[str], verdict: "Verdict"
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
            "partitions": partitions,
            "evidence": dict(verdict.figures),
        },
    )
