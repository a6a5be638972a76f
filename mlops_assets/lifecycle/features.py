"""Stage ``features``: one row for each example, a pure function of the raw partitions."""

import dagster as dg

from mlops_assets.lifecycle.code import code_version
from mlops_assets.lifecycle.describe import asset_key, common, frame_metadata
from mlops_assets.lifecycle.lineage import CONTENT, LAKE_KEY, LINEAGE, data_version, latest
from mlops_assets.lifecycle.partitions import partitions_def
from mlops_assets.project import Project
from mlops_assets.resources.lake import Lake


def build_features(project: Project) -> dg.AssetsDefinition:
    """The ``features`` asset of ``project``, by partition."""

    @dg.asset(
        **common(project, "features"),
        deps=[asset_key(project, "raw", source.name) for source in project.sources],
        partitions_def=partitions_def(project),
        kinds={"pandas", "parquet"},
        code_version=code_version(project.features.build),
        description=(
            f"What {project.title.lower()} is predicted from, one row for each example, joined from "
            f"{', '.join(s.name for s in project.sources)}. Training and serving derive the model's "
            "columns from these rows by the same transform."
        ),
    )
    def features(context: dg.AssetExecutionContext, lake: Lake) -> dg.MaterializeResult:
        partition = context.partition_key
        frames, lineage = {}, {}
        for source in project.sources:
            key = asset_key(project, "raw", source.name)
            made = latest(context.instance, key, partition if source.partitioned else None)
            frames[source.name] = lake.get_frame(made.lake_key)
            lineage[source.name] = made.lineage
        frame = project.features.build(frames)
        lake_key, content = lake.put_frame(f"{project.name}/features/{partition}", frame)
        context.log.info(
            "%s: %s rows of features -> %s", partition, f"{len(frame):,}", lake.address(lake_key)
        )
        return dg.MaterializeResult(
            data_version=data_version(content),
            metadata={
                **frame_metadata(frame),
                "positive rate": float(frame[project.features.label].mean()),
                LAKE_KEY: lake_key,
                CONTENT: content,
                LINEAGE: lineage,
            },
        )

    return features
