"""Stage ``training_set``: the frozen, content-addressed rows that a training reads."""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import dagster as dg

from mlops_assets.lifecycle.checking import check_result, check_spec
from mlops_assets.lifecycle.describe import asset_key, common, frame_metadata, step
from mlops_assets.lifecycle.lineage import (
    CONTENT,
    LAKE_KEY,
    LINEAGE,
    MANIFEST,
    Materialized,
    data_version,
    latest,
)
from mlops_assets.project import Project
from mlops_assets.quality.examples import TRAINING_CHECKS, judge_training_set
from mlops_assets.resources.lake import Lake
from mlops_assets.resources.tables import Tables
from mlops_assets.retraining.condition import retraining_condition
from mlops_assets.retraining.reasons import claim

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class TrainingSet:
    """A frozen training set as its manifest tells it.

    ``id``: 16 hex digits of a hash over the content hashes of its partitions, in order.
    ``partitions``: what it holds; ``held_out``: the latest partition, which no training sees.
    ``lake_key`` and ``held_out_key``: the rows, as Parquet in the lake.
    """

    id: str
    partitions: tuple[str, ...]
    held_out: str
    lake_key: str
    held_out_key: str


def build_training_set(project: Project, database_url: str) -> dg.AssetsDefinition:
    """The ``training_set`` asset of ``project``; ``database_url`` is that of the platform's tables."""
    key, features = asset_key(project, "training_set"), asset_key(project, "features")

    @dg.asset(
        **common(project, "training_set"),
        **step(project, "training_set"),
        deps=[dg.AssetDep(features, partition_mapping=dg.AllPartitionMapping())],
        kinds={"pandas", "parquet"},
        output_required=False,  # rows that fail a check are not trained on: nothing comes after them
        check_specs=[check_spec(name, key, what, withholds=True) for name, what in TRAINING_CHECKS.items()],
        automation_condition=retraining_condition(project, database_url),
        description=(
            "The frozen rows of all partitions of features but the latest, which is held out for the "
            "evaluation. Named by its content; the manifest says which partitions and which object "
            "versions it came from."
        ),
    )
    def training_set(
        context: dg.AssetExecutionContext, lake: Lake, tables: Tables
    ) -> Iterator[dg.MaterializeResult | dg.AssetCheckResult]:
        import pandas as pd

        reason = claim(context, project, tables.url)
        context.log.info("%s: %s", reason.cause, reason.why)
        partitions = sorted(context.instance.get_materialized_partitions(features))
        if len(partitions) < project.min_partitions:
            raise dg.Failure(
                f"{project.name} has features of {len(partitions)} partition(s) {partitions}, a training "
                f"needs {project.min_partitions}: one to hold out, the others to train on. Upload more data."
            )
        made = {p: latest(context.instance, features, p) for p in partitions}
        *trained, held_out = partitions
        frame = pd.concat([lake.get_frame(made[p].lake_key) for p in trained], ignore_index=True)
        verdicts = judge_training_set(project.features, frame, lake.get_frame(made[held_out].lake_key))
        if not all(verdict.passed for verdict in verdicts):
            yield from map(check_result, verdicts)
            return
        content = _content([made[p] for p in trained])
        lake_key = f"{project.name}/training_set/{content[:16]}/rows.parquet"
        _write(lake, lake_key, frame)
        manifest = {
            "id": content[:16],
            "project": project.name,
            "rows": len(frame),
            "lake_key": lake_key,
            "partitions": [_entry(p, made[p]) for p in trained],
            "held_out": _entry(held_out, made[held_out]),
        }
        address = lake.put_json(
            f"{project.name}/training_set/{content[:16]}/manifest-{held_out}.json", manifest
        )
        context.log.info(
            "training set %s: %s rows of %s", content[:16], f"{len(frame):,}", ", ".join(trained)
        )
        yield dg.MaterializeResult(
            data_version=data_version(content),
            metadata={
                **frame_metadata(frame),
                "id": content[:16],
                "partitions": ", ".join(trained),
                "held out": held_out,
                "positive rate": float(frame[project.features.label].mean()),
                "manifest address": address,
                LAKE_KEY: lake_key,
                CONTENT: content,
                MANIFEST: manifest,
                LINEAGE: {p: made[p].lineage for p in trained},
                **reason.metadata(),
            },
        )
        yield from map(check_result, verdicts)

    return training_set


def read_training_set(context: dg.AssetExecutionContext, project: Project) -> TrainingSet:
    """The training set that was materialized last."""
    manifest = latest(context.instance, asset_key(project, "training_set")).metadata[MANIFEST]
    return TrainingSet(
        id=manifest["id"],
        partitions=tuple(entry["partition"] for entry in manifest["partitions"]),
        held_out=manifest["held_out"]["partition"],
        lake_key=manifest["lake_key"],
        held_out_key=manifest["held_out"][LAKE_KEY],
    )


def _entry(partition: str, made: Materialized) -> dict[str, Any]:
    return {
        "partition": partition,
        LAKE_KEY: made.lake_key,
        CONTENT: made.content,
        "data_version": data_version(made.content).value,
        "objects": made.lineage,
        "dagster_run": made.run_id,
    }


def _content(parts: "list[Materialized]") -> str:
    return hashlib.sha256("".join(part.content for part in parts).encode()).hexdigest()


def _write(lake: Lake, key: str, frame: "pd.DataFrame") -> None:
    import io

    buffer = io.BytesIO()
    frame.to_parquet(buffer, index=False, compression="zstd")
    lake.put(key, buffer.getvalue(), "application/vnd.apache.parquet")
