"""Stage ``outcomes``: the true labels of what was predicted, whenever they arrive."""

import hashlib
import json
import tempfile
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import dagster as dg

from mlops_assets.lifecycle.describe import asset_key, common, step
from mlops_assets.lifecycle.event_partitions import event_partitions, event_time_column
from mlops_assets.lifecycle.lineage import CONTENT, LAKE_KEY, data_version, latest
from mlops_assets.lifecycle.log_days import logged_by_partition, read_manifest
from mlops_assets.lifecycle.partitions import partitions_def
from mlops_assets.project import Project
from mlops_assets.resources.lake import Lake
from mlops_assets.resources.tables import Tables

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    import pandas as pd

    from mlops_assets.lifecycle.joining import Labels

VERSIONS, EVENT_DAYS = "versions", "event days"
"""Metadata: outcomes by model version, and of how many days they are."""


@dataclass
class Joined:
    """A partition's outcomes as a file, and what was counted on the way."""

    path: Path
    digest: Any = field(default_factory=hashlib.sha256)
    rows: int = 0
    positives: int = 0
    without_label: int = 0
    ambiguous: int = 0
    versions: Counter[str] = field(default_factory=Counter)
    event_days: set[str] = field(default_factory=set)

    @property
    def content(self) -> str:
        """Tells outcomes apart by their rows."""
        return str(self.digest.hexdigest())


def build_outcomes(project: Project) -> dg.AssetsDefinition:
    """The ``outcomes`` asset of ``project``, by the project's partitions."""

    @dg.asset(
        **common(project, "outcomes"),
        **step(project, "outcomes"),
        partitions_def=partitions_def(project),
        deps=[
            asset_key(project, "features"),
            dg.AssetDep(asset_key(project, "predictions"), partition_mapping=dg.AllPartitionMapping()),
        ],
        kinds={"pandas", "parquet"},
        description=(
            "The predictions about a partition, of whatever day, with the labels that its features brought: "
            "joined again when either changes, however late."
        ),
    )
    def outcomes(context: dg.AssetExecutionContext, lake: Lake, tables: Tables) -> dg.MaterializeResult:
        from mlops_assets.lifecycle.joining import Labels

        partition = context.partition_key
        features = latest(context.instance, asset_key(project, "features"), partition)
        with tables.engine.connect() as connection:
            days = logged_by_partition(connection, project.name).get(partition, {})
        labels = Labels(project, lake.get_frame(features.lake_key))
        with tempfile.TemporaryDirectory() as folder:
            joined = _join(lake, project, partition, days, labels, Path(folder) / "outcomes.parquet")
            key = f"{project.name}/outcomes/{partition}/{joined.content[:32]}.parquet"
            address = lake.put_file(key, joined.path)
        context.log.info("%s: %s outcomes -> %s", partition, f"{joined.rows:,}", address)
        version = state_of(data_version(features.content).value, days)
        return dg.MaterializeResult(
            data_version=dg.DataVersion(version),
            metadata={
                **_metadata(joined, labels),
                "days": sorted(days),
                "features": features.content[:16],
                "address": address,
                LAKE_KEY: key,
                CONTENT: joined.content,
            },
        )

    return outcomes


def state_of(features: str, days: "Mapping[str, str]") -> str:
    """The data version of outcomes: the data version of the features, and the log objects of each day."""
    return hashlib.sha256(json.dumps([features, sorted(days.items())]).encode()).hexdigest()[:16]


def _join(  # noqa: PLR0913 - the two sides of the join, and where it goes
    lake: Lake, project: Project, partition: str, days: "Mapping[str, str]", labels: "Labels", path: Path
) -> Joined:
    """Write the outcomes of ``partition`` to ``path``, a batch of the log at a time."""
    import pandas as pd
    import pyarrow as pa
    import pyarrow.parquet as pq

    joined = Joined(path)
    schema = _schema(project)
    with pq.ParquetWriter(path, schema, compression="zstd") as writer:
        for logged in _logged(lake, project, partition, days, labels):
            found = labels.join(logged)
            ambiguous = labels.ambiguous_among(logged)
            joined.rows += len(found)
            joined.positives += int(found["label"].sum())
            joined.ambiguous += ambiguous
            joined.without_label += len(logged) - len(found) - ambiguous
            joined.versions.update(found["version"].tolist())
            joined.event_days.update(found["event_time"].str.slice(0, 10).unique())
            joined.digest.update(pd.util.hash_pandas_object(found, index=False).to_numpy().tobytes())
            writer.write_table(pa.Table.from_pandas(found, schema, preserve_index=False))
    return joined


def _logged(
    lake: Lake, project: Project, partition: str, days: "Mapping[str, str]", labels: "Labels"
) -> "Iterator[pd.DataFrame]":
    """The logged predictions about ``partition``, by day and arrival."""
    import pyarrow.compute as pc

    from mlops_assets.lifecycle.joining import LOGGED
    from serving.prediction_log.reader import read_batches

    event_time = event_time_column(project)
    columns = list(dict.fromkeys([*LOGGED, event_time, *labels.received]))
    for day in sorted(days):
        manifest = read_manifest(lake, project, day)
        keys = [entry.key for entry in manifest.of_partition(partition)] if manifest else []
        for batch in read_batches(lake.s3.get_client(), lake.bucket, keys, columns):
            about = event_partitions(project, batch.column(event_time))
            mine = batch.filter(pc.equal(about, partition))
            if mine.num_rows:
                yield mine.to_pandas()


def _schema(project: Project) -> Any:
    import pyarrow as pa

    from serving.fields import fields_of

    kinds = {"int": pa.int64(), "float": pa.float64(), "bool": pa.bool_(), "str": pa.string()}
    known = {f.name: kinds[f.kind] for f in fields_of(project.features.instance)}
    return pa.schema(
        [
            ("request_id", pa.string()),
            ("row", pa.int32()),
            ("time", pa.timestamp("us", tz="UTC")),
            ("version", pa.string()),
            ("probability", pa.float64()),
            ("event_time", pa.string()),
            ("label", pa.int8()),
            *((name, known.get(name, pa.string())) for name in project.features.slices),
        ]
    )


def _metadata(joined: Joined, labels: "Labels") -> dict[str, Any]:
    return {
        "dagster/row_count": joined.rows,
        "rows": joined.rows,
        "positives": joined.positives,
        VERSIONS: dict(sorted(joined.versions.items())),
        EVENT_DAYS: len(joined.event_days),
        "predictions without a label": joined.without_label,
        "predictions about an ambiguous entity": joined.ambiguous,
        "labels": labels.rows,
        "ambiguous labels": labels.ambiguous,
    }
