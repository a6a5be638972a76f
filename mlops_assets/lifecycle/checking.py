"""How a check says what it is (severity, does it block), and what it found."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import dagster as dg

from mlops_assets.lifecycle.lineage import SUMMARY
from mlops_assets.quality.summary import Summary

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mlops_assets.contracts import Problem
    from mlops_assets.quality.verdict import Verdict

Blocks = Literal["withheld", "downstream", "no"]
"""What a failure keeps from happening: the materialization; what comes after it in the run; nothing."""

MOST_OTHERS = 24
"""Partitions that one is compared with: the nearest."""

PROBLEMS = dg.TableSchema(
    columns=[
        dg.TableColumn("line", "int"),
        dg.TableColumn("column", "string"),
        dg.TableColumn("what", "string"),
        dg.TableColumn("remedy", "string"),
    ]
)


def check_spec(  # noqa: PLR0913 - all that a check declares
    name: str,
    asset: dg.AssetKey,
    description: str,
    *,
    severity: dg.AssetCheckSeverity = dg.AssetCheckSeverity.ERROR,
    withholds: bool = False,
    blocking: bool = False,
    partitions_def: dg.PartitionsDefinition | None = None,
) -> dg.AssetCheckSpec:
    """A check that says in its metadata how severe its failure is, and whether it blocks.

    ``withholds``: the asset judges before it is materialized, and is not if this fails. That blocks every
    way to the rows: other runs, other days, a person's hand. ``blocking`` is Dagster's: the asset is
    materialized, and what comes after it in the same run is not.
    """
    blocks: Blocks = "withheld" if withholds else "downstream" if blocking else "no"
    return dg.AssetCheckSpec(
        name,
        asset=asset,
        description=description,
        blocking=blocking,
        partitions_def=partitions_def,
        metadata=declared(severity, blocks),
    )


def declared(severity: dg.AssetCheckSeverity, blocks: Blocks = "no") -> dict[str, str]:
    """How severe a check's failure is and what it blocks, as metadata of its definition."""
    return {"severity": severity.value, "blocks": blocks}


def check_result(
    verdict: Verdict, asset: dg.AssetKey | None = None, more: dict[str, Any] | None = None
) -> dg.AssetCheckResult:
    """A verdict as Dagster shows it; alerts read ``observed``, ``allowed`` and ``what to do``."""
    told: dict[str, Any] = {
        "observed": verdict.observed,
        "allowed": verdict.allowed,
        "what to do": verdict.remedy,
        **verdict.figures,
        **(more or {}),
    }
    if verdict.accepted:
        told["accepted"] = verdict.accepted
    if verdict.problems:
        told["where"] = problem_table(verdict.problems)
    return dg.AssetCheckResult(
        asset_key=asset,
        check_name=verdict.check,
        passed=verdict.passed,
        severity=dg.AssetCheckSeverity.ERROR,
        description=verdict.explanation,
        metadata=told,
    )


def problem_table(problems: Sequence[Problem]) -> dg.TableMetadataValue:
    """The places of a file that are to be corrected."""
    records = [
        dg.TableRecord(
            {
                "line": problem.line if problem.line is not None else "",
                "column": problem.column or "",
                "what": problem.what,
                "remedy": problem.remedy,
            }
        )
        for problem in problems
    ]
    return dg.MetadataValue.table(records, schema=PROBLEMS)


def other_summaries(
    instance: dg.DagsterInstance, asset: dg.AssetKey, partition: str | None
) -> dict[str, Summary]:
    """Partition -> summary of what ``asset`` holds of other partitions than this one, the nearest ones.

    Read from the materializations' metadata: no rows are read. Empty for an asset without partitions.
    """
    if partition is None:
        return {}
    stored = instance.event_log_storage.get_latest_storage_id_by_partition(
        asset, dg.DagsterEventType.ASSET_MATERIALIZATION
    )
    names = sorted([name for name in stored if name != partition])
    before = sum(name < partition for name in names)
    nearest = sorted(names, key=lambda name: abs(names.index(name) + 0.5 - before))[:MOST_OTHERS]
    if not nearest:
        return {}
    wanted = dg.AssetRecordsFilter(asset_key=asset, storage_ids=[stored[name] for name in nearest])
    found = {}
    for record in instance.fetch_materializations(wanted, limit=len(nearest)).records:
        made = record.asset_materialization
        if made is not None and made.partition is not None and SUMMARY in made.metadata:
            found[made.partition] = Summary.from_json(made.metadata[SUMMARY].value)
    return found
