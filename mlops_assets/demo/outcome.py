"""What came of an upload, told from Dagster's assets and runs alone. Pure functions."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from mlops_assets.observe import Asset, Run

ENDED_BADLY = ("FAILURE", "CANCELED")
SETTLE_SECONDS = 5.0
SENSOR_SECONDS = 30.0
"""How long the S3 sensor may take to ask for a failed run again: its last back-off, and some ticks."""


@dataclass(frozen=True)
class Outcome:
    """``kind``: "served" or "refused". ``evidence``: what the gate went by; ``refusals``: why it refused."""

    kind: str
    version: str = ""
    evidence: Mapping[str, Any] = field(default_factory=dict)
    refusals: tuple[str, ...] = ()


def outcome(assets: Mapping[str, Asset], after: float, held_out: str) -> Outcome | None:
    """What the evaluation on ``held_out`` that was made ``after`` led to; None while it is open.

    Served: the champion was made of that evaluation, and the endpoint was then seen to answer with
    its version. Refused: a check of that evaluation did not pass.
    """
    judged = assets["evaluation"].since(after)
    if not judged or judged[0].metadata.get("held out") != held_out:
        return None
    evidence = judged[0].metadata["evidence"]
    failed = [c for c in assets["evaluation"].checks if c.passed is False and c.at >= after]
    if failed:
        reasons = tuple(f"{check.name}: {check.description}" for check in failed)
        return Outcome("refused", evidence=evidence, refusals=reasons)
    promoted = [made for made in assets["champion"].since(judged[0].at) if made.run_id]
    if not promoted:
        return None
    version = str(promoted[0].metadata["version"])
    served = assets["endpoint"].since(promoted[0].at)
    if any(str(made.metadata["version"]) == version for made in served):
        return Outcome("served", version, evidence)
    return None


def given_up(
    runs: Sequence[Run], assets: Mapping[str, Asset], partitions: Collection[str], now: float
) -> Run | None:
    """A run for ``partitions`` that ended badly, and that nothing tries again; None if there is none.

    No reason to give up: a run that lost its process (Dagster starts it again), one that the S3 sensor
    asks for again, one whose work a later run does or did, a run for other partitions or a person's, and
    one that only the gate has failed.
    """
    for run in runs:
        waited = now - (run.ended or run.created)
        if (
            run.status in ENDED_BADLY
            and run.sensor is not None
            and (run.partition is None or run.partition in partitions)
            and waited > (SENSOR_SECONDS if run.sensor.endswith("_s3") else SETTLE_SECONDS)
            and not run.will_retry
            and not any(_takes_over(other, run) for other in runs)
            and not _refused(run, assets["evaluation"])
        ):
            return run
    return None


def failed_checks(assets: Mapping[str, Asset]) -> list[str]:
    """The checks that do not pass now, with what they say."""
    return [
        f"{asset.name}/{check.name}: {check.description}"
        for asset in assets.values()
        for check in asset.checks
        if check.passed is False
    ]


def _takes_over(later: Run, run: Run) -> bool:
    """Whether ``later`` makes what ``run`` was to make. If it fails as well, that counts for itself."""
    return (
        later.created > run.created
        and later.partition == run.partition
        and bool(set(later.assets) & set(run.assets))
    )


def _refused(run: Run, evaluation: Asset) -> bool:
    """Whether the run made the last evaluation, and its checks are what failed it."""
    mine = bool(evaluation.made) and evaluation.made[0].run_id == run.run_id
    return mine and any(check.passed is False for check in evaluation.checks)
