"""What the platform says of itself: checks and assets by Dagster's API, the rest from its tables."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from mlops_assets.alerts.alert import decode
from mlops_assets.alerts.tables import alerts as table
from mlops_assets.demo.story import AlertSpan, Estimate, Promotion, Real, Seen, Training, Verdict
from mlops_assets.resources.promotions import PromotionLog
from mlops_assets.retraining.table import Trainings, engine_for

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mlops_assets.observe import Dagster
    from mlops_assets.project import Project
    from mlops_assets.settings import Settings

CHECKS = (
    ("drift", "feature_drift"),
    ("drift", "score_drift"),
    ("performance", "performance"),
)
LATEST = 12
"""Evaluations asked for at a look: more are read than are made between two looks."""


class Eyes:
    """Looks at one project of a running platform."""

    def __init__(self, settings: Settings, project: Project, dagster: Dagster) -> None:
        self._url, self._project, self._dagster = settings.dagster_database, project.name, dagster

    def look(self, since: float, latest: int = LATEST) -> Seen:
        """What happened after ``since``; of each check's verdicts, and of estimates, the ``latest``.

        Raises ``ObserveError`` when Dagster does not answer.
        """
        made = self._dagster.made(self._project, "performance", 1)
        engine = engine_for(self._url)
        return Seen(
            verdicts=self._verdicts(since, latest),
            alerts=alerts(engine, self._project, since),
            trainings=trainings(engine, self._project, since),
            promotions=promotions(engine, self._project),
            estimates=self._estimates(since, latest),
            real=[_real(entry) for entry in (made[0].metadata.get("series") or [] if made else [])],
        )

    def _verdicts(self, since: float, latest: int) -> list[Verdict]:
        found = []
        for asset, check in CHECKS:
            for one in self._dagster.verdicts(self._project, asset, check, latest):
                if one.at > since:
                    told = {name: str(one.metadata.get(name, "")) for name in ("observed", "allowed")}
                    champion = str(one.metadata.get("champion", ""))
                    found.append(Verdict(one.at, check, one.passed, champion, **told))
        return sorted(found, key=lambda verdict: verdict.at)

    def _estimates(self, since: float, latest: int) -> list[Estimate]:
        return [
            Estimate(made.at, str(made.metadata["champion"]), float(made.metadata["expected"]["roc_auc"]))
            for made in reversed(self._dagster.made(self._project, "drift", latest))
            if made.at > since and made.metadata.get("judged") and made.metadata.get("expected")
        ]


def alerts(engine: sa.Engine, project: str, since: float) -> list[AlertSpan]:
    """The project's alerts that began or lasted after ``since``."""
    found = []
    with engine.connect() as connection:
        for row in connection.execute(sa.select(table).order_by(table.c.id)):
            alert = decode(row.payload)
            ended = alert.resolved_at.timestamp() if alert.resolved_at else None
            began = alert.since.timestamp()
            if alert.project == project and (ended is None or ended > since):
                found.append(
                    AlertSpan(row.id, alert.title, row.severity, began, row.fingerprint, alert.seen, ended)
                )
    return found


def trainings(engine: sa.Engine, project: str, since: float) -> list[Training]:
    """The trainings that were asked for after ``since``."""
    return [
        Training(
            row.at.timestamp(),
            row.cause,
            row.why,
            row.run_id or "",
            row.ended_at.timestamp() if row.ended_at else None,
            row.outcome or "",
        )
        for row in reversed(Trainings(engine, project).rows())
        if row.at.timestamp() > since
    ]


def promotions(engine: sa.Engine, project: str) -> list[Promotion]:
    """All moves of the alias."""
    return [
        Promotion(
            entry.at.timestamp(), entry.version, entry.kind, entry.replaced, **_promised(entry.evidence)
        )
        for entry in reversed(list(PromotionLog(engine).entries(project)))
    ]


def _promised(evidence: Mapping[str, Any]) -> dict[str, Any]:
    """What the evaluation said of the challenger; nothing where there was none (a rollback)."""
    if "challenger" not in evidence:
        return {}
    score = evidence["scores"][evidence["challenger"]]
    interval = {name: score.get(f"roc_auc_{name}") for name in ("low", "high")}
    return {"held_out": evidence["held_out"], "roc_auc": score["roc_auc"], **interval}


def _real(entry: Mapping[str, Any]) -> Real:
    return Real(
        month=entry["partition"],
        version=entry["version"],
        rows=entry["rows"],
        roc_auc=entry["roc_auc"],
        low=entry["roc_auc_low"],
        high=entry["roc_auc_high"],
        promised=entry["promised"],
        expected=entry["expected"]["roc_auc"] if entry["expected"] else None,
    )
