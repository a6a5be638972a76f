"""From an answer back to all that it came from."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING, Any

from mlops_assets.lifecycle.lineage import LAKE_KEY, TRAINING_SET
from mlops_assets.trace.answer import TraceError, find_answer
from mlops_assets.trace.facts import entries_of, facts_of
from mlops_assets.trace.parts import (
    FeaturePart,
    Link,
    ModelPart,
    PromotionPart,
    RawObject,
    Trace,
    TrainingSetPart,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from mlops_assets.project import Project
    from mlops_assets.resources.promotions import Promotion
    from mlops_assets.settings import Settings
    from mlops_assets.trace.facts import Facts

SCORES = ("roc_auc", "log_loss", "brier")


def follow(settings: Settings, projects: Sequence[Project], request_id: str) -> Trace:
    """The answer that one of ``projects`` gave to ``request_id``, and all that it came from.

    Raises ``TraceError`` when there is no such answer, or a part that it came from cannot be read.
    """
    looked = []
    for project in projects:
        found = find_answer(settings, project, request_id)
        if found.rows:
            versions = sorted({str(row["version"]) for row in found.rows}, key=int)
            models = [compose(settings, project, facts_of(settings, project, one)) for one in versions]
            return Trace(
                request_id=request_id,
                project=project.name,
                found_in=found.where,
                predictions=found.rows,
                models=models,
            )
        looked.append(found.where)
    raise TraceError(
        f"No answer with request id {request_id} is in the prediction log. Looked at {'; '.join(looked)}. "
        "The id is what the endpoint's answer calls request_id."
    )


def compose(settings: Settings, project: Project, facts: Facts) -> ModelPart:
    """The version that ``facts`` tell of, and what it came from."""
    links = _Links(settings.dagster_url, facts)
    tags, number = facts.version.tags, facts.version.number
    family = tags.get("family", "")
    ui = f"{settings.mlflow_url}/#"
    return ModelPart(
        version=number,
        is_champion=facts.champion == number,
        family=family,
        model_uri=facts.version.model_uri,
        registry=f"{ui}/models/{project.name}/versions/{number}",
        mlflow_run=f"{ui}/experiments/{facts.experiment}/runs/{facts.mlflow_run}",
        held_out=tags.get("held_out", ""),
        scores={name: float(tags[name]) for name in SCORES if name in tags},
        made_by=links.to(facts.fitted_in, f"candidates/{family}", code_version=facts.code_version),
        judged_by=links.to(tags.get("dagster_run", ""), "evaluation"),
        promotions=[_promotion(entry, links, facts.fitted_in) for entry in facts.promotions],
        training_set=_training_set(settings, project, facts, links),
    )


class _Links:
    """Links to the runs of one version's facts."""

    def __init__(self, dagster_url: str, facts: Facts) -> None:
        self._dagster_url, self._works = dagster_url, facts.works

    def reasons(self, run_id: str) -> dict[str, str]:
        """The run's tags that say why it was asked for."""
        tags = self._works[run_id].tags if run_id in self._works else {}
        return {name: text for name, text in tags.items() if name.startswith("mlops/")}

    def to(self, run_id: str, asset: str, partition: str = "", code_version: str = "") -> Link:
        work = self._works.get(run_id)
        at, tags = work.made.get((asset, partition), (None, {})) if work else (None, {})
        version = code_version or tags.get("dagster/code_version", "")
        return Link(
            run_id=run_id,
            url=f"{self._dagster_url}/runs/{run_id}" if run_id else "",
            code_version="" if version == run_id else version,  # the run's id is Dagster's word for none
            at=dt.datetime.fromtimestamp(at, dt.UTC) if at else None,
            tags=self.reasons(run_id),
        )


def _promotion(entry: Promotion, links: _Links, fitted_in: str) -> PromotionPart:
    kept = entry.evidence.get("reason", {}) if entry.kind == "promotion" else {}
    reasons = links.reasons(fitted_in) if entry.kind == "promotion" else {}
    return PromotionPart(
        kind=entry.kind,
        at=entry.at,
        replaced=entry.replaced,
        cause=str(kept.get("cause") or reasons.get("mlops/cause", "")),
        why=str(kept.get("why") or reasons.get("mlops/why", "")),
        made_by=links.to(entry.dagster_run or "", "champion"),
    )


def _training_set(settings: Settings, project: Project, facts: Facts, links: _Links) -> TrainingSetPart:
    manifest, lake = facts.manifest, settings.lake_bucket
    held_out = manifest["held_out"]["partition"]
    return TrainingSetPart(
        id=manifest["id"],
        rows=manifest["rows"],
        address=f"s3://{lake}/{manifest['lake_key']}",
        manifest=f"s3://{lake}/{facts.manifest_key}",
        made_by=links.to(facts.frozen_in, TRAINING_SET),
        features=[
            FeaturePart(
                partition=entry["partition"],
                held_out=entry["partition"] == held_out,
                address=f"s3://{lake}/{entry[LAKE_KEY]}",
                data_version=entry["data_version"],
                made_by=links.to(entry["dagster_run"], "features", entry["partition"]),
                objects=_objects(settings, project, entry, facts, links),
            )
            for entry in entries_of(manifest)
        ],
    )


def _objects(
    settings: Settings, project: Project, entry: Mapping[str, Any], facts: Facts, links: _Links
) -> list[RawObject]:
    found = []
    for source, told in sorted(entry["objects"].items()):
        partition = entry["partition"] if project.source(source).partitioned else ""
        which = (told["key"], told["version_id"])
        run = facts.readers.get(which, "")
        version = facts.restored.get(which, told["version_id"])
        # A copy is in the bucket that it was restored to, whatever its original's was called.
        bucket = settings.raw_bucket if which in facts.restored else told["bucket"]
        found.append(
            RawObject(
                source=source,
                address=f"s3://{bucket}/{told['key']}?versionId={version}",
                bucket=bucket,
                key=told["key"],
                version_id=version,
                etag=told["etag"],
                read_by=links.to(run, f"raw/{source}", partition),
            )
        )
    return found
