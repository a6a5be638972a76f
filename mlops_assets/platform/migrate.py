"""Bring outside databases up to the installed versions, and set the pools' limits: ``mlops migrate``.

The embedded platform does this by itself as it starts. On a cluster many processes start at once, and a
change of tables is one process's business: a Job, before an upgrade's other parts.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from mlops_assets.platform import database

if TYPE_CHECKING:
    from collections.abc import Callable

    from dagster_postgres import DagsterPostgresStorage

    from mlops_assets.settings import Settings

    Say = Callable[[str], None]


def migrate(settings: Settings, say: Say) -> None:
    """Make or upgrade all tables; can be repeated, and interrupted anywhere."""
    migrate_dagster(settings, say)
    if settings.mlflow_uri is None or settings.mlflow_database_url is not None:
        migrate_mlflow(settings, say)


def migrate_dagster(settings: Settings, say: Say) -> None:
    """Dagster's tables, the platform's own beside them, and the limits of pools."""
    from dagster_postgres import DagsterPostgresStorage

    from mlops_assets.platform.dagster_instance import ensure_tables
    from mlops_assets.resources.tables import engine_for

    url = settings.dagster_database
    database.wait_for(url)
    ensure_tables(url)
    storage = DagsterPostgresStorage(url, should_autocreate_tables=False)
    runs, events, schedules = storage.run_storage, storage.event_log_storage, storage.schedule_storage
    runs.upgrade()  # type: ignore[attr-defined]  # PostgreSQL's has it
    events.upgrade()
    schedules.upgrade()
    for migrated in (runs, schedules):
        migrated.migrate(lambda text: say(f"Dagster: {text}"))
    events.reindex_assets()
    engine_for(url)
    say("Dagster's tables and the platform's own are up to date")
    set_pool_limits(storage, {"gpu": settings.pool_gpu, "s3": settings.pool_s3}, say)


def set_pool_limits(storage: DagsterPostgresStorage, limits: dict[str, int | None], say: Say) -> None:
    """How many steps of each pool may run at once; None: as many as there are."""
    events = storage.event_log_storage
    found = {limit.name for limit in events.get_pool_limits()}
    for name, limit in limits.items():
        if limit is not None:
            events.set_concurrency_slots(name, limit)
        elif name in found:
            events.delete_concurrency_limit(name)
        say(f"pool {name}: {limit or 'any number of'} steps at once")


def make_buckets(settings: Settings, say: Say) -> None:
    """Make the buckets that are missing, and have the raw one keep versions.

    For stores that are part of the deployment; who has buckets made by somebody else never calls this.
    """
    from mlops_assets.platform.object_store import s3_client

    client = s3_client(settings)
    there = {bucket["Name"] for bucket in client.list_buckets()["Buckets"]}
    for name in (settings.raw_bucket, settings.lake_bucket):
        if name not in there:
            client.create_bucket(Bucket=name)
    client.put_bucket_versioning(Bucket=settings.raw_bucket, VersioningConfiguration={"Status": "Enabled"})
    say(f"buckets {settings.raw_bucket} (with versions) and {settings.lake_bucket} are there")


def migrate_mlflow(settings: Settings, say: Say) -> None:
    """The tables of MLflow's tracking and registry."""
    from mlflow.store.db import utils as untyped

    utils = cast("Any", untyped)

    url = settings.mlflow_database
    database.wait_for(url)
    engine = utils.create_sqlalchemy_engine(url)
    if utils._all_tables_exist(engine):  # noqa: SLF001 - MLflow's own way of asking
        utils._upgrade_db(engine)  # noqa: SLF001 - what `mlflow db upgrade` calls
    else:
        utils._initialize_tables(engine)  # noqa: SLF001 - an upgrade of nothing fails
    engine.dispose()
    say("MLflow's tables are up to date")
