"""Stage ``raw``: exactly the object version that was seen, checked against its contract, as Parquet."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import dagster as dg
from dagster_aws.s3 import S3Resource

from mlops_assets.automation.ledger import Ledger, ObjectVersion
from mlops_assets.contracts import ContractError, Problem, read_object
from mlops_assets.lifecycle.code import code_version
from mlops_assets.lifecycle.describe import asset_key, common, contract_schema, frame_metadata
from mlops_assets.lifecycle.lineage import CONTENT, LAKE_KEY, LINEAGE, data_version
from mlops_assets.lifecycle.partitions import partitions_def
from mlops_assets.project import Project, Source
from mlops_assets.resources.lake import Lake
from mlops_assets.resources.tables import Tables

if TYPE_CHECKING:
    import pandas as pd

CONTRACT = "contract"


def build_raw(project: Project, source: Source, bucket: str) -> dg.AssetsDefinition:
    """The ``raw/<source>`` asset of ``project``, by partition where the source has them.

    A file that breaks its contract is not swallowed and does not become rows: no materialization,
    but a failed ``contract`` check that says where and what to do. What was read before stays.
    """
    key = asset_key(project, "raw", source.name)
    # The check has the asset's partitions: a good month does not hide that another is broken.
    partitions = partitions_def(project) if source.partitioned else None

    @dg.asset(
        **common(project, "raw", source.name),
        partitions_def=partitions,
        kinds={"s3", "csv", "parquet"},
        code_version=code_version(read_object, source.contract),
        description=source.description,
        metadata={"dagster/column_schema": contract_schema(source.contract)},
        output_required=False,
        check_specs=[
            # It need not block: a broken object has no rows, so that nothing can be built from it.
            dg.AssetCheckSpec(
                CONTRACT,
                asset=key,
                partitions_def=partitions,
                description="The object holds what its contract says.",
            ),
        ],
    )
    def raw(
        context: dg.AssetExecutionContext, s3: S3Resource, lake: Lake, tables: Tables
    ) -> Iterator[dg.MaterializeResult | dg.AssetCheckResult]:
        partition = context.partition_key if source.partitioned else None
        ledger = Ledger(tables)
        seen = ledger.object_for(project, source, partition, context.run.tags)
        data = s3.get_client().get_object(Bucket=bucket, **seen.get_args)["Body"].read()
        try:
            frame = read_object(data, source.contract, key=seen.key, partition=partition)
        except ContractError as error:
            ledger.mark_broken(seen, context.run.run_id, str(error))
            yield _broken(error, seen)
            return
        lake_key, content = lake.put_frame(
            "/".join([project.name, "raw", source.name, partition or "all"]), frame
        )
        yield dg.MaterializeResult(
            data_version=data_version(content),
            metadata=_metadata(frame, seen, bucket, lake_key, content),
        )
        yield dg.AssetCheckResult(
            check_name=CONTRACT, passed=True, metadata={"object": seen.key, "version id": seen.version_id}
        )
        ledger.mark_handled(seen, context.run.run_id)

    return raw


def _metadata(
    frame: "pd.DataFrame", seen: ObjectVersion, bucket: str, lake_key: str, content: str
) -> dict[str, Any]:
    return {
        **frame_metadata(frame),
        "bucket": bucket,
        "key": seen.key,
        "version id": seen.version_id,
        "ETag": seen.etag,
        "bytes": seen.bytes,
        LAKE_KEY: lake_key,
        CONTENT: content,
        LINEAGE: {"bucket": bucket, "key": seen.key, "version_id": seen.version_id, "etag": seen.etag},
    }


def _broken(error: ContractError, seen: ObjectVersion) -> dg.AssetCheckResult:
    records = [dg.TableRecord(_record(problem)) for problem in error.problems]
    return dg.AssetCheckResult(
        check_name=CONTRACT,
        passed=False,
        severity=dg.AssetCheckSeverity.ERROR,
        description=str(error),
        metadata={
            "object": seen.key,
            "version id": seen.version_id,
            "problems": error.total,
            "where": dg.MetadataValue.table(records, schema=_PROBLEMS) if records else "",
            "remedy": "correct the file and upload it again under the same name; it is read as it comes",
        },
    )


_PROBLEMS = dg.TableSchema(
    columns=[
        dg.TableColumn("line", "int"),
        dg.TableColumn("column", "string"),
        dg.TableColumn("what", "string"),
        dg.TableColumn("remedy", "string"),
    ]
)


def _record(problem: Problem) -> dict[str, Any]:
    return {
        "line": problem.line if problem.line is not None else "",
        "column": problem.column or "",
        "what": problem.what,
        "remedy": problem.remedy,
    }
