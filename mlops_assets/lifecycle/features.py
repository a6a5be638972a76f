"""Stage ``features``: one row for each example, a pure function of the raw partitions."""

from collections.abc import Iterator

import dagster as dg

from mlops_assets.lifecycle.checking import check_result, check_spec, other_summaries
from mlops_assets.lifecycle.code import code_version
from mlops_assets.lifecycle.describe import asset_key, common, frame_metadata, step
from mlops_assets.lifecycle.lineage import CONTENT, LAKE_KEY, LINEAGE, SUMMARY, data_version, latest
from mlops_assets.lifecycle.partitions import partitions_def
from mlops_assets.project import Project
from mlops_assets.quality.examples import FEATURES_CHECKS, judge_features
from mlops_assets.quality.summary import summarize
from mlops_assets.resources.lake import Lake, frame_hash
from mlops_assets.retraining.condition import features_condition


def build_features(project: Project) -> dg.AssetsDefinition:
    """The ``features`` asset of ``project``, by partition.

    Rows that fail a check do not become features: no materialization, what was built before stays.
    """
    key, partitions = asset_key(project, "features"), partitions_def(project)

    @dg.asset(
        **common(project, "features"),
        **step(project, "features"),
        deps=[asset_key(project, "raw", source.name) for source in project.sources],
        partitions_def=partitions,
        output_required=False,
        check_specs=[
            check_spec(name, key, what, withholds=True, partitions_def=partitions)
            for name, what in FEATURES_CHECKS.items()
        ],
        kinds={"pandas", "parquet"},
        code_version=code_version(project.features.build),
        automation_condition=features_condition(project),
        description=(
            f"What {project.title.lower()} is predicted from, one row for each example, joined from "
            f"{', '.join(s.name for s in project.sources)}. Training and serving derive the model's "
            "columns from these rows by the same transform."
        ),
    )
    def features(
        context: dg.AssetExecutionContext, lake: Lake
    ) -> Iterator[dg.MaterializeResult | dg.AssetCheckResult]:
        partition = context.partition_key
        frames, lineage = {}, {}
        for source in project.sources:
            raw = asset_key(project, "raw", source.name)
            made = latest(context.instance, raw, partition if source.partitioned else None)
            frames[source.name] = lake.get_frame(made.lake_key)
            lineage[source.name] = made.lineage
        frame = project.features.build(frames)
        summary = summarize(frame, frame_hash(frame))
        others = other_summaries(context.instance, key, partition)
        verdicts = judge_features(project.features, partition, frame, summary, list(others.values()))
        if not all(verdict.passed for verdict in verdicts):
            yield from map(check_result, verdicts)
            return
        lake_key, content = lake.put_frame(f"{project.name}/features/{partition}", frame)
        context.log.info(
            "%s: %s rows of features -> %s", partition, f"{len(frame):,}", lake.address(lake_key)
        )
        yield dg.MaterializeResult(
            data_version=data_version(content),
            metadata={
                **frame_metadata(frame),
                "positive rate": float(frame[project.features.label].mean()),
                LAKE_KEY: lake_key,
                CONTENT: content,
                SUMMARY: summary.as_json(),
                LINEAGE: lineage,
            },
        )
        yield from map(check_result, verdicts)

    return features
