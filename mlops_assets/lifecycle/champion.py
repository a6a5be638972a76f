"""Stage ``champion``: the only code that moves the registry's alias, and the promotion log."""

from typing import TYPE_CHECKING, Any

import dagster as dg

from mlops_assets.automation.conditions import DATA_VERSION_TAG, following_condition
from mlops_assets.lifecycle.describe import asset_key, common, step
from mlops_assets.lifecycle.freshness import freshness
from mlops_assets.lifecycle.lineage import (
    EVIDENCE,
    MLFLOW_RUN,
    MODEL_URI,
    TRAINING_SET,
    VERSION,
    latest,
)
from mlops_assets.project import Project
from mlops_assets.resources.promotions import Promotion, PromotionLog
from mlops_assets.resources.registry import Registry, Version
from mlops_assets.resources.tables import Tables
from mlops_assets.retraining.reasons import Reason

if TYPE_CHECKING:
    from collections.abc import Mapping

    import sqlalchemy as sa

SCORES = ("roc_auc", "log_loss", "brier")
"""On the held-out partition, as tags of the registered version: the endpoint shows them."""


class RollbackError(RuntimeError):
    """There is no former champion to go back to."""


def build_champion(project: Project, registry: Registry) -> dg.AssetsDefinition:
    """The ``champion`` asset of ``project``: made only when every check of the gate has passed."""

    @dg.asset(
        **common(project, "champion"),
        **step(project, "champion"),
        deps=[asset_key(project, "evaluation")],
        kinds={"mlflow", "postgres"},
        automation_condition=following_condition(),
        description=(
            "The registered model version that holds the alias `champion`, the only one that is served. "
            "The gate's checks on evaluation block it."
        ),
        **freshness(project.freshness.champion),
    )
    def champion(context: dg.AssetExecutionContext, tables: Tables) -> dg.MaterializeResult:
        judged = latest(context.instance, asset_key(project, "evaluation"))
        evidence = judged.metadata[EVIDENCE]
        reason = Reason.read(evidence)
        _require_passed(evidence)
        _require_current(registry, project, judged.metadata)
        made = registry.register(
            project.name,
            judged.metadata[MODEL_URI],
            judged.metadata[MLFLOW_RUN],
            {
                TRAINING_SET: judged.metadata[TRAINING_SET],
                "dagster_run": judged.run_id,
                "held_out": evidence["held_out"],
                "family": evidence["challenger"],
                **{name: str(evidence["scores"][evidence["challenger"]][name]) for name in SCORES},
                **reason.tags("mlops."),
            },
        )
        log = PromotionLog(tables.engine)
        replaced = promote(log, registry, made, "promotion", evidence, context.run.run_id)
        context.log.info(
            "%s: version %s is the champion, it replaced %s", project.name, made.number, replaced
        )
        url = f"{registry.uri}/#/models/{project.name}/versions/{made.number}"
        return dg.MaterializeResult(
            data_version=dg.DataVersion(made.number),
            metadata={
                VERSION: made.number,
                "replaced": replaced or "nothing: the first champion",
                "registry": dg.MetadataValue.url(url),
                EVIDENCE: evidence,
                MODEL_URI: made.model_uri,
                **reason.metadata(),
            },
        )

    return champion


def promote(  # noqa: PLR0913 - what the log keeps
    log: PromotionLog,
    registry: Registry,
    version: Version,
    kind: str,
    evidence: "Mapping[str, Any]",
    dagster_run: str | None,
) -> str | None:
    """Point the alias at ``version`` and append the move to the log; the version that was replaced.

    One promotion of a project at a time. The row is committed after the alias has moved; if the
    process dies between the two, the next promotion or rollback finds the alias away from the log's
    last row and writes a row of kind ``repair`` first. Promoting the champion again changes nothing.
    """
    with log.locked(version.project) as connection:
        current = registry.champion(version.project)
        _repair(log, connection, version.project, current)
        if current is not None and current.number == version.number:
            connection.commit()
            return None
        replaced = current.number if current else None
        log.append(
            connection,
            {
                "project": version.project,
                "version": version.number,
                "replaced": replaced,
                "kind": kind,
                "evidence": dict(evidence),
                "dagster_run": dagster_run,
            },
        )
        registry.point_champion(version.project, version.number)
        connection.commit()
        return replaced


def rollback(log: PromotionLog, registry: Registry, project: str) -> Promotion:
    """Return to the former champion; the log's new row.

    A second rollback goes one further back, not forth again. Raises ``RollbackError`` without one.
    """
    current = registry.champion(project)
    if current is None:
        raise RollbackError(f"{project} has no champion yet: nothing to roll back")
    former = _former(log, project, current.number)
    if former is None:
        raise RollbackError(
            f"{project} version {current.number} replaced no other: there is no former champion to return to"
        )
    promote(log, registry, registry.version(project, former), "rollback", {"from": current.number}, None)
    return next(log.entries(project))


def retire(log: PromotionLog, registry: Registry, project: str) -> Promotion:
    """Take the alias away, so that the next challenger has no champion to be compared with.

    For a champion that this code cannot load any more (its features have changed): the gate never lets
    an incumbent lose by default, so that a person has to say that it goes. The endpoint goes on with
    what it has. Returns the log's new row; raises ``RollbackError`` if there is no champion.
    """
    with log.locked(project) as connection:
        current = registry.champion(project)
        if current is None:
            raise RollbackError(f"{project} has no champion: nothing to retire")
        _repair(log, connection, project, current)
        row = {"project": project, "version": current.number, "kind": "retirement", "evidence": {}}
        log.append(connection, row)
        registry.remove_champion(project)
        connection.commit()
    return next(log.entries(project))


def note_of_rollback(project: Project, version: Version, entry: Promotion) -> dg.AssetMaterialization:
    """The ``champion`` asset after a rollback to ``version``, which no run has made."""
    return dg.AssetMaterialization(
        asset_key(project, "champion"),
        description=f"rolled back from version {entry.replaced}",
        metadata={
            VERSION: version.number,
            "kind": entry.kind,
            "replaced": entry.replaced or "",
            EVIDENCE: dict(entry.evidence),
            MODEL_URI: version.model_uri,
        },
        tags={DATA_VERSION_TAG: version.number},
    )


def _former(log: PromotionLog, project: str, version: str) -> str | None:
    """What ``version`` replaced when it was promoted (not when a rollback returned to it)."""
    for entry in log.entries(project):
        if entry.version == version and entry.kind in ("promotion", "repair"):
            return entry.replaced
    return None


def _repair(log: PromotionLog, connection: "sa.Connection", project: str, current: Version | None) -> None:
    last = next(log.entries(project), None)
    if current is not None and (last is None or last.version != current.number):
        log.append(
            connection,
            {
                "project": project,
                "version": current.number,
                "replaced": last.version if last else None,
                "kind": "repair",
                "evidence": {"found": "the registry's alias was at this version, the log was not"},
                "dagster_run": None,
            },
        )


def _require_current(registry: Registry, project: Project, judged: "Mapping[str, Any]") -> None:
    """The champion that was compared with is still the champion, or the challenger is already."""
    current = registry.champion(project.name)
    compared = judged[EVIDENCE]["champion"]
    if current is not None and current.number != compared and current.model_uri != judged[MODEL_URI]:
        raise dg.Failure(
            f"the challenger was compared with champion {compared or 'none'}, but version {current.number} "
            "is the champion now: materialize evaluation again, then champion"
        )


def _require_passed(evidence: "Mapping[str, Any]") -> None:
    failed = [name for name, verdict in evidence["verdicts"].items() if not verdict["passed"]]
    if failed:
        raise dg.Failure(
            f"the gate refused {evidence['challenger']}: {', '.join(failed)} failed. See the checks on "
            "evaluation; the champion stays."
        )
