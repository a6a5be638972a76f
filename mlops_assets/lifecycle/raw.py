"""Stage ``raw``: exactly the object version that was seen, checked, as Parquet."""

from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import dagster as dg
from dagster_aws.s3 import S3Resource

from mlops_assets.automation.ledger import Ledger, ObjectVersion
from mlops_assets.contracts import ContractError, read_object
from mlops_assets.lifecycle.checking import check_result, check_spec, other_summaries, problem_table
from mlops_assets.lifecycle.code import code_version
from mlops_assets.lifecycle.describe import asset_key, common, contract_schema, frame_metadata, step
from mlops_assets.lifecycle.freshness import freshness
from mlops_assets.lifecycle.lineage import CONTENT, LAKE_KEY, LINEAGE, SUMMARY, data_version
from mlops_assets.lifecycle.partitions import partitions_def
from mlops_assets.project import Project, Source
from mlops_assets.quality.raw import CHECKS, judge_raw
from mlops_assets.quality.summary import Summary, summarize
from mlops_assets.quality.verdict import Verdict
from mlops_assets.resources.lake import Lake, frame_hash
from mlops_assets.resources.tables import Tables

if TYPE_CHECKING:
    import pandas as pd

CONTRACT = "contract"


def build_raw(project: Project, source: Source, bucket: str) -> dg.AssetsDefinition:
    """The ``raw/<source>`` asset of ``project``, by partition where the source has them.

    A file that breaks its contract, or whose rows fail another check, is not swallowed and does not
    become rows: no materialization, but a failed check that says where and what to do. What was read
    before stays, and whoever builds on it later finds that.
    """
    key = asset_key(project, "raw", source.name)
    # The checks have the asset's partitions: a good month does not hide that another is broken.
    partitions = partitions_def(project) if source.partitioned else None
    described = {CONTRACT: "The object holds what its contract says.", **CHECKS}

    @dg.multi_asset(
        name=f"{project.name}__raw__{source.name}",
        **step(project, "raw", source.name),
        specs=[
            dg.AssetSpec(
                **common(project, "raw", source.name),
                partitions_def=partitions,
                kinds={"s3", "csv", "parquet"},
                code_version=code_version(read_object, source.contract),
                description=source.description,
                metadata={"dagster/column_schema": contract_schema(source.contract)},
                skippable=True,
                # An object that all partitions share changes when it does; the others have a rhythm.
                **freshness(project.freshness.raw if source.partitioned else None),
            )
        ],
        check_specs=[
            check_spec(name, key, what, withholds=True, partitions_def=partitions)
            for name, what in described.items()
        ],
        can_subset=True,  # a file that breaks its contract has no rows for the other checks to look at
    )
    def raw(
        context: dg.AssetExecutionContext, s3: S3Resource, lake: Lake, tables: Tables
    ) -> Iterator[dg.MaterializeResult | dg.AssetCheckResult]:
        partition = context.partition_key if source.partitioned else None
        ledger = Ledger(tables)
        seen = ledger.object_for(project, source, partition, context.run.tags)
        data = s3.get_client().get_object(Bucket=bucket, **seen.get_args)["Body"].read()
        wanted = {check.name for check in context.selected_asset_check_keys}
        try:
            frame = read_object(data, source.contract, key=seen.key, partition=partition, duplicates=False)
        except ContractError as error:
            _refuse(ledger, seen, context.run.run_id, str(error))
            yield from _selected(wanted, [_broken(error, seen)])
            return
        summary = summarize(frame, frame_hash(frame))
        verdicts = judge_raw(
            source, partition, frame, summary, other_summaries(context.instance, key, partition)
        )
        failed = [verdict for verdict in verdicts if not verdict.passed]
        if failed:
            _refuse(
                ledger, seen, context.run.run_id, "\n".join(f"{v.check}: {v.explanation}" for v in failed)
            )
        elif key in context.selected_asset_keys:
            folder = "/".join([project.name, "raw", source.name, partition or "all"])
            lake_key, _ = lake.put_frame(folder, frame)
            yield dg.MaterializeResult(
                asset_key=key,
                data_version=data_version(summary.content),
                metadata=_metadata(frame, seen, bucket, lake_key, summary),
            )
        yield from _selected(wanted, _results(seen, verdicts))
        if not failed and key in context.selected_asset_keys:
            ledger.mark_handled(seen, context.run.run_id)

    return raw


def _refuse(ledger: Ledger, seen: ObjectVersion, run_id: str, why: str) -> None:
    """Note that the version is broken; one that was read before is still what its partition is made of."""
    if seen.state != "handled":
        ledger.mark_broken(seen, run_id, why)


def _selected(wanted: set[str], results: Iterable[dg.AssetCheckResult]) -> Iterator[dg.AssetCheckResult]:
    """The results of the checks that the run is to evaluate; all were judged."""
    return (result for result in results if result.check_name in wanted)


def _results(seen: ObjectVersion, verdicts: Sequence[Verdict]) -> Iterator[dg.AssetCheckResult]:
    which = {"object": seen.key, "version id": seen.version_id}
    yield dg.AssetCheckResult(
        check_name=CONTRACT, passed=True, severity=dg.AssetCheckSeverity.ERROR, metadata=which
    )
    for verdict in verdicts:
        yield check_result(verdict, more=which)


def _metadata(
    frame: "pd.DataFrame", seen: ObjectVersion, bucket: str, lake_key: str, summary: Summary
) -> dict[str, Any]:
    return {
        **frame_metadata(frame),
        "bucket": bucket,
        "key": seen.key,
        "version id": seen.version_id,
        "ETag": seen.etag,
        "bytes": seen.bytes,
        LAKE_KEY: lake_key,
        CONTENT: summary.content,
        SUMMARY: summary.as_json(),
        LINEAGE: {"bucket": bucket, "key": seen.key, "version_id": seen.version_id, "etag": seen.etag},
    }


def _broken(error: ContractError, seen: ObjectVersion) -> dg.AssetCheckResult:
    return dg.AssetCheckResult(
        check_name=CONTRACT,
        passed=False,
        severity=dg.AssetCheckSeverity.ERROR,
        description=str(error),
        metadata={
            "object": seen.key,
            "version id": seen.version_id,
            "problems": error.total,
            "observed": str(error),
            "allowed": "what the contract of the source says: see the asset's columns",
            "where": problem_table(error.problems),
            "what to do": "correct the file and upload it again under the same name; it is read as it comes",
        },
    )
