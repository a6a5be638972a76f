"""The check ``serves_champion`` on ``endpoint``: the server answers, and with the champion's version."""

import time
from collections.abc import Iterator
from dataclasses import dataclass

import dagster as dg
import httpx

from mlops_assets.automation.conditions import DATA_VERSION_TAG
from mlops_assets.lifecycle.checking import check_result, check_spec
from mlops_assets.lifecycle.describe import asset_key
from mlops_assets.lifecycle.lineage import VERSION, Materialized, NotMaterializedError, latest
from mlops_assets.project import Project
from mlops_assets.quality.verdict import Verdict

SERVES_CHAMPION = "serves_champion"
DESCRIPTION = "The endpoint answers, and with the version that is the champion."
REMEDY = (
    "see whether the endpoint runs and what it says (`mlops status`, `mlops logs`, its /health), and whether "
    "MLflow answers: it follows the registry's alias `champion`. If somebody moved the alias by hand: move "
    "it back, only a promotion or `mlops rollback` moves it"
)
ASK_SECONDS = 3.0


@dataclass(frozen=True)
class Answer:
    """What ``/info`` said: the ``version`` that is served, or None and why."""

    version: str | None
    why: str = ""


def ask(url: str, timeout_seconds: float = ASK_SECONDS) -> Answer:
    """What the endpoint at ``url`` serves now. Never raises for a server that does not answer well."""
    try:
        info = httpx.get(f"{url}/info", timeout=timeout_seconds).raise_for_status().json()
        version = info["version"]
    except httpx.HTTPError as error:
        return Answer(None, f"{type(error).__name__}: {error}")
    except (ValueError, KeyError, TypeError) as error:
        return Answer(None, f"/info is no information of an endpoint: {error!r}")
    return Answer(None if version is None else str(version), "" if version else "no model is loaded")


def judge_serving(
    champion: str | None, answer: Answer, url: str, seconds_since: float, patience_seconds: float
) -> Verdict | None:
    """Whether ``answer`` is of version ``champion``; None while that cannot be said.

    That is before the first promotion, and for ``patience_seconds`` after each: the server loads and
    proves a version before it swaps it in. ``seconds_since`` the promotion.
    """
    if champion is None:
        return None
    passed = answer.version == champion
    if not passed and seconds_since < patience_seconds:
        return None
    observed = f"version {answer.version}" if answer.version else f"no version ({answer.why})"
    return Verdict(
        SERVES_CHAMPION,
        passed,
        f"the endpoint at {url} serves {observed}",
        f"version {champion}, from {patience_seconds:g} s after its promotion on",
        REMEDY,
        {"champion": champion, "served": answer.version or ""},
    )


def promoted(instance: dg.DagsterInstance, project: Project) -> Materialized | None:
    """The last promotion or rollback, as the asset ``champion`` tells it; None before the first."""
    try:
        return latest(instance, asset_key(project, "champion"))
    except NotMaterializedError:
        return None


def look(
    made: Materialized | None, project: Project, url: str, now: float
) -> tuple[str | None, Verdict | None]:
    """The champion's version and the verdict of now (seconds since 1970). Asks the endpoint."""
    if made is None:
        return None, None
    champion = str(made.metadata[VERSION])
    patience = project.endpoint.timeout_seconds
    return champion, judge_serving(champion, ask(url), url, now - made.timestamp, patience)


def as_evaluation(project: Project, verdict: Verdict) -> dg.AssetCheckEvaluation:
    """The verdict as an event that no run has made."""
    result = check_result(verdict)
    return dg.AssetCheckEvaluation(
        asset_key=asset_key(project, "endpoint"),
        check_name=SERVES_CHAMPION,
        passed=verdict.passed,
        severity=result.severity,
        description=result.description,
        metadata=result.metadata,
    )


def note_of_sight(project: Project, version: str, url: str) -> dg.AssetMaterialization:
    """The ``endpoint`` asset, seen again to serve ``version``: what its freshness is about."""
    return dg.AssetMaterialization(
        asset_key(project, "endpoint"),
        description="seen again",
        metadata={"version": version, "address": dg.MetadataValue.url(url)},
        tags={DATA_VERSION_TAG: version},
    )


def build_serving_check(project: Project, url: str) -> dg.AssetChecksDefinition:
    """The check, as a person runs it and as it follows the ``endpoint`` asset in a run.

    The sensor ``<project>_endpoint`` looks all the time and reports what changes.
    """
    key = asset_key(project, "endpoint")

    @dg.multi_asset_check(
        name=f"{project.name}__endpoint__{SERVES_CHAMPION}",
        specs=[check_spec(SERVES_CHAMPION, key, DESCRIPTION)],
        can_subset=True,  # nothing is said while a version is being swapped in
    )
    def serves_champion(context: dg.AssetCheckExecutionContext) -> Iterator[dg.AssetCheckResult]:
        _, verdict = look(promoted(context.instance, project), project, url, time.time())
        if verdict is not None:
            yield check_result(verdict, key)

    return serves_champion
