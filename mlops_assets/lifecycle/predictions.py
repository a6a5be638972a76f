"""Stage ``predictions``: what the endpoint answered, by day of the request, as the prediction log has it."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import dagster as dg

from mlops_assets.lifecycle.checking import check_spec
from mlops_assets.lifecycle.describe import asset_key, common, step
from mlops_assets.lifecycle.freshness import freshness
from mlops_assets.lifecycle.log_days import (
    Manifest,
    completeness,
    days_def,
    make_manifest,
    manifest_key,
    read_manifest,
    state_of,
    write_down,
)
from mlops_assets.project import Project
from mlops_assets.resources.lake import Lake
from mlops_assets.resources.tables import Tables

if TYPE_CHECKING:
    from collections.abc import Mapping

LOG_COMPLETE = "log_complete"


def build_predictions(project: Project) -> dg.AssetsDefinition:
    """The ``predictions`` asset of ``project``, by day of the request (UTC)."""
    key = asset_key(project, "predictions")
    days = days_def(project)

    @dg.asset(
        **common(project, "predictions"),
        **step(project, "predictions"),
        **freshness(project.freshness.predictions),
        partitions_def=days,
        deps=[asset_key(project, "endpoint")],
        kinds={"s3", "parquet"},
        check_specs=[
            # It need not block: what is logged is right, and more of it is worth more.
            check_spec(
                LOG_COMPLETE,
                key,
                "Every row that the endpoint answered that day is in the prediction log.",
                partitions_def=days,
            )
        ],
        description=(
            "What the endpoint answered on a day, as the prediction log has it: its objects, and how many "
            "rows of which model version they hold, about which partition."
        ),
    )
    def predictions(
        context: dg.AssetExecutionContext, lake: Lake, tables: Tables
    ) -> Iterator[dg.MaterializeResult | dg.AssetCheckResult]:
        from serving.prediction_log.objects import answered, list_objects

        day = context.partition_key
        client = lake.s3.get_client()
        counted = answered(client, lake.bucket, project.name, day)  # before the objects: they hold all of it
        objects = list_objects(client, lake.bucket, project.name, day)
        manifest = make_manifest(lake, project, day, objects, read_manifest(lake, project, day))
        address = lake.put_json(manifest_key(project, day), _plain(manifest))
        with tables.engine.begin() as connection:
            write_down(connection, manifest)
        figures = completeness(manifest, counted)
        yield dg.MaterializeResult(
            data_version=dg.DataVersion(state_of(objects, counted)),
            metadata=_metadata(manifest, figures, address),
        )
        yield _check(figures)

    return predictions


def _plain(manifest: Manifest) -> Any:
    import msgspec

    return msgspec.to_builtins(manifest)


def _metadata(manifest: Manifest, figures: "Mapping[str, Any]", address: str) -> dict[str, Any]:
    return {
        "dagster/row_count": manifest.rows,
        "rows": manifest.rows,
        "objects": len(manifest.entries),
        "bytes": sum(entry.bytes for entry in manifest.entries),
        "answered": figures["answered"],
        "versions": manifest.count("versions"),
        "partitions": manifest.count("partitions"),
        "manifest address": address,
    }


def _check(figures: "Mapping[str, Any]") -> dg.AssetCheckResult:
    """Complete when no server answered more rows than it logged.

    Rows that the policy at the spool's bound gave up are gone because a setting says so: a warning. Any
    other that is missing breaks a promise: an error. What a server logged after its last count, or
    without ever having shipped one (it was killed), is more than is known to be answered, and passes.
    """
    missing, given_up = figures["missing"], figures["given up"]
    lost = missing - given_up
    severity = dg.AssetCheckSeverity.WARN if missing and not lost else dg.AssetCheckSeverity.ERROR
    why = "Every row that was answered is logged."
    if missing:
        why = (
            f"{missing:,} of {figures['answered']:,} rows that were answered are not in the log: "
            f"{given_up:,} were given up at the spool's bound, {lost:,} are lost."
        )
    return dg.AssetCheckResult(
        check_name=LOG_COMPLETE,
        passed=not missing,
        severity=severity,
        description=why,
        metadata={
            **figures,
            "observed": f"{figures['logged']:,} rows logged, {missing:,} answered ones missing",
            "allowed": f"all {figures['answered']:,} answered rows",
            "what to do": (
                "look into the endpoint's log for what it says of the spool and the store; give the spool "
                "more room if its bound was reached. What is lost cannot be had back."
            ),
        },
    )
