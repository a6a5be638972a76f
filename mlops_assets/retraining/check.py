"""The check ``retraining``: what the policy decided last, and whether it is at its wits' end."""
# Dagster takes a check's context only with an annotation that is not a string.

import datetime as dt
from typing import TYPE_CHECKING, Any

import dagster as dg

from mlops_assets.lifecycle.checking import declared
from mlops_assets.lifecycle.describe import asset_key
from mlops_assets.retraining.desk import Desk

if TYPE_CHECKING:
    from mlops_assets.project import Project
    from mlops_assets.retraining.policy import Decision

NAME = "retraining"
_DESCRIPTION = (
    "What the retraining policy waits for. Fails when something calls for a training that was tried on the "
    "same data already: the loop cannot mend it by itself."
)
_REMEDY = (
    "See what came of the last training (mlops why): deliver more labelled data, change the model's code, or "
    "train by hand. If a run failed for a cause outside of it, run it again from the failure."
)


def as_result(decision: "Decision") -> dict[str, Any]:
    """The arguments of a check's result."""
    return {
        "passed": not decision.tried,
        "severity": dg.AssetCheckSeverity.WARN,
        "description": decision.why,
        "metadata": {
            "observed": decision.why,
            "allowed": "no cause for a training that was tried on the same data already",
            "what to do": _REMEDY if decision.tried else "nothing",
            "causes": ", ".join(decision.causes) or "none",
            "evidence": dict(decision.evidence),
        },
    }


def tell(instance: dg.DagsterInstance, desk: Desk, decision: "Decision", now: dt.datetime) -> None:
    """Report the decision as an evaluation of the check, only when it says something else than before."""
    if desk.trainings.note(decision, now):
        key = asset_key(desk.project, "training_set")
        instance.report_runless_asset_event(
            dg.AssetCheckEvaluation(asset_key=key, check_name=NAME, **as_result(decision))
        )


def build_retraining_check(project: "Project", database_url: str) -> dg.AssetChecksDefinition:
    """The check of ``project``. Automation reports it when it changes; a person can run it any time."""
    desk = Desk(project, database_url)

    @dg.asset_check(
        asset=asset_key(project, "training_set"),
        name=NAME,
        description=_DESCRIPTION,
        metadata=declared(dg.AssetCheckSeverity.WARN),
    )
    def retraining(context: dg.AssetCheckExecutionContext) -> dg.AssetCheckResult:
        instance = context.instance
        state = desk.gather(instance, dt.datetime.now(dt.UTC), desk.settle(instance))
        return dg.AssetCheckResult(**as_result(desk.decide(state)))

    return retraining
