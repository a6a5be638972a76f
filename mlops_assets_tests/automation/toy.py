"""A small project and its assets, to watch the sensor with: real store, real tables, real runs."""
# Dagster takes an asset's context only with an annotation that is not a string.

from collections.abc import Iterator, Mapping

import dagster as dg
import msgspec
import pandas as pd
from dagster_aws.s3 import S3Resource

from mlops_assets.automation.ledger import Ledger
from mlops_assets.automation.names import build_object_names_checks
from mlops_assets.automation.plan import Limits
from mlops_assets.automation.s3_sensor import build_s3_sensor
from mlops_assets.contracts import Column, Contract
from mlops_assets.lifecycle.describe import asset_key
from mlops_assets.lifecycle.partitions import partitions_def
from mlops_assets.project import Endpoint, Features, Partitions, Project, Source
from mlops_assets.resources.tables import Tables


class Instance(msgspec.Struct):
    """What a request would hold."""

    x: float


def _build(frames: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    return pd.concat(frames.values())


_CONTRACT = Contract(columns=(Column(name="x", type="number", description="A number."),), key=())
FEATURES = Features(
    build=_build,
    instance=Instance,
    transform=lambda c: c,
    numeric=("x",),
    categorical=(),
    identity=(),
    label="y",
)


def project(name: str = "toy") -> Project:
    """Two monthly sources and one that all months share."""
    patterns = {
        "flights": "flights/{partition}.csv",
        "weather": "weather/{partition}.csv",
        "planes": "planes/planes.csv",
    }
    return Project(
        name=name,
        title="Toy",
        description="For tests.",
        owners=("team:tests",),
        partitions=Partitions(every="month", start="2013-01", end="2013-12"),
        sources=tuple(
            Source(name=source, pattern=pattern, contract=_CONTRACT, description="Numbers.")
            for source, pattern in patterns.items()
        ),
        features=FEATURES,
        families=(),
        endpoint=Endpoint(port_offset=0, positive="yes"),
    )


def raw_asset(toy: Project, source: Source, bucket: str) -> dg.AssetsDefinition:
    """Reads its object as the lifecycle does: ``broken`` breaks the contract, ``crash`` ends the run."""
    key = asset_key(toy, "raw", source.name)

    @dg.asset(
        key=key,
        partitions_def=partitions_def(toy) if source.partitioned else None,
        output_required=False,
        check_specs=[dg.AssetCheckSpec("contract", asset=key)],
    )
    def raw(
        context: dg.AssetExecutionContext, s3: S3Resource, tables: Tables
    ) -> Iterator[dg.MaterializeResult[None] | dg.AssetCheckResult]:
        ledger = Ledger(tables)
        seen = ledger.object_for(
            toy, source, context.partition_key if source.partitioned else None, context.run.tags
        )
        answer = s3.get_client().get_object(Bucket=bucket, **seen.get_args)
        text = answer["Body"].read().decode()
        if text == "crash":
            raise RuntimeError(text)
        if text == "broken":
            ledger.mark_broken(seen, context.run.run_id, "line 1: it says so")
            yield dg.AssetCheckResult(check_name="contract", passed=False, description=seen.key)
            return
        yield dg.MaterializeResult(metadata={"version": seen.version_id, "text": text})
        yield dg.AssetCheckResult(check_name="contract", passed=True)
        ledger.mark_handled(seen, context.run.run_id)

    return raw


def features_asset(toy: Project) -> dg.AssetsDefinition:
    """Says which months it was built for."""

    @dg.asset(
        key=asset_key(toy, "features"),
        partitions_def=partitions_def(toy),
        deps=[asset_key(toy, "raw", source.name) for source in toy.sources],
    )
    def features(context: dg.AssetExecutionContext) -> None:
        context.log.info("features of %s", context.partition_key)

    return features


def definitions(
    toy: Project, bucket: str, s3: S3Resource, tables: Tables, limits: Limits | None = None
) -> dg.Definitions:
    """The project's raw assets, features, check and sensor."""
    return dg.Definitions(
        assets=[*(raw_asset(toy, source, bucket) for source in toy.sources), features_asset(toy)],
        asset_checks=build_object_names_checks(toy),
        sensors=[build_s3_sensor(toy, bucket, limits)],
        resources={"s3": s3, "tables": tables},
        executor=dg.in_process_executor,
    )
