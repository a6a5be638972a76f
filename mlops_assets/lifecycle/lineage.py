"""What an asset last was: where its rows are and what they came from, read from Dagster's event log."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import dagster as dg

from mlops_assets.automation.conditions import DATA_VERSION_TAG

if TYPE_CHECKING:
    from collections.abc import Mapping

# Names of metadata that one stage writes and another reads.
LAKE_KEY = "lake_key"
CONTENT = "content_hash"
LINEAGE = "lineage"
SUMMARY = "summary"
MANIFEST = "manifest"
TRAINING_SET = "training_set"
MODEL_URI = "model_uri"
MLFLOW_RUN = "mlflow_run"
CHALLENGER = "challenger"
EVIDENCE = "evidence"
VERSION = "version"


def data_version(content_hash: str) -> dg.DataVersion:
    """Dagster's data version of a value with this content hash."""
    return dg.DataVersion(content_hash[:16])


class NotMaterializedError(LookupError):
    """An asset that is needed has not been made yet."""


@dataclass(frozen=True)
class Materialized:
    """One materialization: ``metadata`` by name as plain values, ``run_id`` of the run that made it."""

    metadata: Mapping[str, Any]
    run_id: str
    timestamp: float

    @property
    def lake_key(self) -> str:
        return str(self.metadata[LAKE_KEY])

    @property
    def content(self) -> str:
        return str(self.metadata[CONTENT])

    @property
    def lineage(self) -> Any:
        return self.metadata[LINEAGE]


def latest(instance: dg.DagsterInstance, key: dg.AssetKey, partition: str | None = None) -> Materialized:
    """The asset's (or its partition's) last materialization; ``NotMaterializedError`` if there is none."""
    wanted = dg.AssetRecordsFilter(asset_key=key, asset_partitions=[partition] if partition else None)
    records = instance.fetch_materializations(wanted, limit=1).records
    if not records or records[0].asset_materialization is None:
        which = f"{key.to_user_string()}{f' [{partition}]' if partition else ''}"
        raise NotMaterializedError(f"{which} has not been materialized yet: materialize it first")
    metadata = records[0].asset_materialization.metadata
    plain = {name: getattr(value, "value", value) for name, value in metadata.items()}
    return Materialized(plain, records[0].run_id, records[0].timestamp)


def latest_by_partition(instance: dg.DagsterInstance, key: dg.AssetKey) -> dict[str, Materialized]:
    """Partition -> its last materialization, of all materialized partitions in their order."""
    kind = dg.DagsterEventType.ASSET_MATERIALIZATION
    ids = instance.event_log_storage.get_latest_storage_id_by_partition(key, kind)
    if not ids:
        return {}
    wanted = dg.AssetRecordsFilter(asset_key=key, storage_ids=list(ids.values()))
    found = {}
    for record in instance.fetch_materializations(wanted, limit=len(ids)).records:
        made = record.asset_materialization
        if made is not None and made.partition is not None:
            plain = {name: getattr(value, "value", value) for name, value in made.metadata.items()}
            found[made.partition] = Materialized(plain, record.run_id, record.timestamp)
    return dict(sorted(found.items()))


def data_versions(instance: dg.DagsterInstance, key: dg.AssetKey) -> dict[str, str]:
    """Partition -> data version, of all materialized partitions."""
    found = instance.event_log_storage.get_latest_tags_by_partition(
        key, dg.DagsterEventType.ASSET_MATERIALIZATION, [DATA_VERSION_TAG]
    )
    return {partition: tags.get(DATA_VERSION_TAG, "") for partition, tags in found.items()}
