"""``mlops why``: the last trainings with their reasons, and what is awaited now."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from datetime import datetime

    from rich.console import Group

    from mlops_assets.project import Project
    from mlops_assets.retraining.table import Awaited, Training, Trainings
    from mlops_assets.settings import Settings


def trainings_of(settings: Settings, project: Project) -> Trainings:
    """The project's rows; raises ``PlatformError`` when the database does not answer."""
    from sqlalchemy.exc import OperationalError

    from mlops_assets.platform.service import PlatformError
    from mlops_assets.retraining.table import Trainings, engine_for

    try:
        return Trainings(engine_for(settings.dagster_database), project.name)
    except OperationalError as error:
        raise PlatformError(
            f"The database of the trainings does not answer. Is it up (mlops status)? {error.orig}"
        ) from error


def picture(project: Project, trainings: Trainings, last: int) -> Group:
    """The ``last`` trainings, oldest first, and what is awaited, for a console."""
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

    table = Table("asked for (UTC)", "cause", "why", "what came of it", "run", expand=False)
    rows = trainings.rows(last)
    for row in reversed(rows):
        table.add_row(_clock(row.at), row.cause, row.why, _outcome(row), (row.run_id or "")[:8])
    shown = table if rows else Text(f"{project.name} has not been trained yet.")
    return Group(shown, Text(_now(trainings.awaited())))


def as_json(trainings: Trainings, last: int) -> dict[str, Any]:
    """The same for programs."""
    awaited = trainings.awaited()
    return {
        "trainings": [_plain(vars(row)) for row in reversed(trainings.rows(last))],
        "awaited": _plain(vars(awaited)) if awaited else None,
    }


def _plain(row: dict[str, Any]) -> dict[str, Any]:
    return {name: value.isoformat() if hasattr(value, "isoformat") else value for name, value in row.items()}


def _outcome(row: Training) -> str:
    if row.outcome:
        return row.outcome
    return "under way" if row.run_id else "its run has yet to begin"


def _now(awaited: Awaited | None) -> str:
    if awaited is None:
        return "Nothing was decided yet: is the platform up (mlops status)?"
    return f"Since {_clock(awaited.since)} UTC: {awaited.why}"


def _clock(at: datetime) -> str:
    from datetime import UTC

    return f"{at.astimezone(UTC):%Y-%m-%d %H:%M:%S}"
