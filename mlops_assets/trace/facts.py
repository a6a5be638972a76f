"""What is known of one model version: read from the registry, the lake, the platform's tables and Dagster."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from mlops_assets.lifecycle.lineage import CONTENT, MANIFEST, TRAINING_SET
from mlops_assets.lifecycle.tracking import RUN_TAG
from mlops_assets.observe import Dagster, ObserveError
from mlops_assets.platform.object_store import s3_client
from mlops_assets.trace.answer import TraceError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mlops_assets.observe import Made, Work
    from mlops_assets.project import Project
    from mlops_assets.resources.promotions import Promotion
    from mlops_assets.resources.registry import Version
    from mlops_assets.settings import Settings


@dataclass(frozen=True)
class Facts:
    """All that a trace of ``version`` is told from.

    ``champion``: the number of the version that holds the alias now. ``experiment``, ``mlflow_run`` and
    ``code_version``: of the candidate. ``fitted_in``, ``frozen_in``: the Dagster runs that made the candidate
    and its training set. ``readers``: (key, version id) of each raw object -> the run that read it;
    ``restored``: -> what the version is called since it was restored from a backup.
    ``promotions``: moves of the alias to the version, oldest first. ``works``: run -> what it made.
    """

    version: Version
    champion: str
    experiment: str
    mlflow_run: str
    code_version: str
    manifest_key: str
    manifest: Mapping[str, Any]
    fitted_in: str
    frozen_in: str
    readers: Mapping[tuple[str, str], str]
    promotions: tuple[Promotion, ...]
    works: Mapping[str, Work]
    restored: Mapping[tuple[str, str], str] = field(default_factory=dict)


def facts_of(settings: Settings, project: Project, number: str) -> Facts:
    """The facts of a version. Raises ``TraceError`` where a part does not answer or is gone."""
    version, champion, run = _registered(settings, project, number)
    manifest_key, manifest = _manifest(settings, project, version)
    readers, restored = _readers(settings, project, manifest)
    promotions = _promotions(settings, project, number)
    dagster = Dagster(settings.dagster_url)
    fitted_in = run.data.tags.get(RUN_TAG, "")
    try:
        frozen_in = frozen_by(dagster.made(project.name, TRAINING_SET), manifest, fitted_in)
        works = dagster.work(
            {fitted_in, frozen_in, version.tags.get("dagster_run", "")}
            | {entry["dagster_run"] for entry in entries_of(manifest)}
            | {*readers.values(), *(entry.dagster_run or "" for entry in promotions)}
        )
    except ObserveError as error:
        raise TraceError(f"{error}. Is it up (mlops status webserver)?") from error
    return Facts(
        version=version,
        champion=champion,
        experiment=run.info.experiment_id,
        mlflow_run=run.info.run_id,
        code_version=run.data.tags.get("code_version", ""),
        manifest_key=manifest_key,
        manifest=manifest,
        fitted_in=fitted_in,
        frozen_in=frozen_in,
        readers=readers,
        promotions=promotions,
        works=works,
        restored=restored,
    )


def entries_of(manifest: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The manifest's partitions of features, the held-out one last."""
    return [*manifest["partitions"], manifest["held_out"]]


def frozen_by(made: list[Made], manifest: Mapping[str, Any], fitted_in: str) -> str:
    """The run that froze the training set: mostly the one that fitted the model as well."""

    def told(one: Mapping[str, Any]) -> list[str]:
        return [one["id"], one["held_out"]["partition"], one["held_out"][CONTENT]]

    same = [m.run_id for m in made if MANIFEST in m.metadata and told(m.metadata[MANIFEST]) == told(manifest)]
    return fitted_in if fitted_in in same else next(iter(same), "")


def _registered(settings: Settings, project: Project, number: str) -> tuple[Version, str, Any]:
    """The version, the champion's number ("" for none), and the MLflow run that logged the version."""
    from mlflow.exceptions import MlflowException

    from mlops_assets.resources.registry import Registry

    registry = Registry(settings.mlflow_url)
    try:
        version, champion = registry.version(project.name, number), registry.champion(project.name)
        run_id = registry.client.get_model_version(project.name, number).run_id
        return version, champion.number if champion else "", registry.client.get_run(str(run_id))
    except MlflowException as error:
        raise TraceError(
            f"Version {number} gave the answer, but the registry at {settings.mlflow_url} does not tell of "
            f"it: {error}. Is it up (mlops status registry)?"
        ) from error


def _manifest(settings: Settings, project: Project, version: Version) -> tuple[str, dict[str, Any]]:
    """Key and content of the training set's manifest."""
    from botocore.exceptions import BotoCoreError, ClientError

    folder = f"{project.name}/training_set/{version.tags[TRAINING_SET]}"
    key = f"{folder}/manifest-{version.tags['held_out']}.json"
    try:
        found = s3_client(settings).get_object(Bucket=settings.lake_bucket, Key=key)
        return key, dict(json.loads(found["Body"].read()))
    except (BotoCoreError, ClientError) as error:
        raise TraceError(
            f"The manifest of version {version.number}'s training set, s3://{settings.lake_bucket}/{key}, "
            f"cannot be read: {error}. Is the object store up (mlops status object-store)?"
        ) from error


def _readers(
    settings: Settings, project: Project, manifest: Mapping[str, Any]
) -> tuple[dict[tuple[str, str], str], dict[tuple[str, str], str]]:
    """The runs that read the manifest's object versions, and what those are called since a restore."""
    import sqlalchemy as sa

    from mlops_assets.resources.tables import engine_for, object_versions, restored_versions

    wanted = {(o["key"], o["version_id"]) for e in entries_of(manifest) for o in e["objects"].values()}
    read, copy = object_versions.c, restored_versions.c
    copies = sa.select(copy.key, copy.version_id, copy.restored_as).where(
        sa.tuple_(copy.key, copy.version_id).in_(wanted)
    )
    try:
        with engine_for(settings.dagster_database).connect() as connection:
            restored = {(key, version): now for key, version, now in connection.execute(copies)}
            now = {pair: (pair[0], restored.get(pair, pair[1])) for pair in wanted}
            query = sa.select(read.key, read.version_id, read.run_id).where(
                read.project == project.name, sa.tuple_(read.key, read.version_id).in_(set(now.values()))
            )
            runs = {(key, version): run or "" for key, version, run in connection.execute(query)}
            return {pair: runs.get(called, "") for pair, called in now.items()}, restored
    except sa.exc.OperationalError as error:
        raise TraceError(
            f"The database with the ledger of object versions does not answer: {error.orig}. Is it up "
            "(mlops status database)?"
        ) from error


def _promotions(settings: Settings, project: Project, number: str) -> tuple[Promotion, ...]:
    from mlops_assets.platform.rollback import promotion_log

    entries = promotion_log(settings).entries(project.name)
    return tuple([entry for entry in entries if entry.version == number][::-1])
