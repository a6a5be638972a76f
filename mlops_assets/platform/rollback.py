"""``mlops rollback`` and ``mlops retire``: what a person does to the champion, and Dagster's UI shows."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    import dagster as dg

    from mlops_assets.project import Project
    from mlops_assets.resources.promotions import Promotion, PromotionLog
    from mlops_assets.settings import Settings


def rollback(settings: Settings, project: Project) -> Promotion:
    """Return to the former champion and note it on the ``champion`` asset; the promotion log's new row.

    The note is a materialization without a run: ``endpoint`` follows it, as it follows a promotion.
    Raises ``lifecycle.champion.RollbackError`` when there is none to return to, and ``PlatformError``
    when the database does not answer.
    """
    from mlops_assets.lifecycle import champion
    from mlops_assets.resources.registry import Registry

    log = promotion_log(settings)
    registry = Registry(settings.mlflow_url)
    entry = champion.rollback(log, registry, project.name)
    note = champion.note_of_rollback(project, registry.version(project.name, entry.version), entry)
    with platform_instance(settings) as instance:
        instance.report_runless_asset_event(note)
    return entry


def retire(settings: Settings, project: Project) -> Promotion:
    """Take the alias from the champion; the promotion log's new row. Raises as ``rollback`` does."""
    from mlops_assets.lifecycle import champion
    from mlops_assets.resources.registry import Registry

    return champion.retire(promotion_log(settings), Registry(settings.mlflow_url), project.name)


def promotion_log(settings: Settings) -> PromotionLog:
    """The promotion log of the platform; ``PlatformError`` when its database does not answer."""
    from sqlalchemy.exc import OperationalError

    from mlops_assets.platform.service import PlatformError
    from mlops_assets.resources.promotions import PromotionLog
    from mlops_assets.resources.tables import engine_for

    try:
        return PromotionLog(engine_for(settings.dagster_database))
    except OperationalError as error:
        raise PlatformError(
            f"The database of the promotion log does not answer. Is it up (mlops status)? {error.orig}"
        ) from error


@contextmanager
def platform_instance(settings: Settings) -> Iterator[dg.DagsterInstance]:
    """The platform's Dagster instance, from outside of its services."""
    import dagster as dg

    from mlops_assets.platform.orchestrator import ensure_home

    ensure_home(settings)  # without its dagster.yaml, Dagster would make another instance there
    with dg.DagsterInstance.from_config(str(settings.dagster_home)) as instance:
        yield instance
