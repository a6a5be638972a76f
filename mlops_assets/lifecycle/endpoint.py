"""Stage ``endpoint``: materialized when the running server answers with the champion's version."""

import time

import dagster as dg
import httpx

from mlops_assets.automation.conditions import following_condition
from mlops_assets.lifecycle.describe import asset_key, common, step
from mlops_assets.lifecycle.freshness import freshness
from mlops_assets.lifecycle.lineage import VERSION, latest
from mlops_assets.project import Project

POLL_SECONDS = 0.2


def build_endpoint(project: Project, url: str) -> dg.AssetsDefinition:
    """The ``endpoint`` asset of ``project``, whose LitServe server listens at ``url``."""

    @dg.asset(
        **common(project, "endpoint"),
        **step(project, "endpoint"),
        deps=[asset_key(project, "champion")],
        kinds={"litserve"},
        automation_condition=following_condition(),
        description=f"The LitServe server at {url}, seen to answer with the champion's version.",
        **freshness(project.freshness.endpoint),
    )
    def endpoint(context: dg.AssetExecutionContext) -> dg.MaterializeResult:
        wanted = latest(context.instance, asset_key(project, "champion")).metadata[VERSION]
        started = time.monotonic()
        info = wait_for_version(url, wanted, project.endpoint.timeout_seconds)
        return dg.MaterializeResult(
            data_version=dg.DataVersion(wanted),
            metadata={
                "version": wanted,
                "address": dg.MetadataValue.url(url),
                "seconds waited": round(time.monotonic() - started, 2),
                "info": info,
            },
        )

    return endpoint


def wait_for_version(url: str, version: str, timeout_seconds: float) -> dict[str, object]:
    """What ``/info`` says once it names ``version``.

    Raises ``dagster.Failure`` after ``timeout_seconds``, with what the server last said.
    """
    deadline = time.monotonic() + timeout_seconds
    last = "nothing"
    with httpx.Client(base_url=url, timeout=5) as client:
        while True:
            try:
                info = dict(client.get("/info").json())
                if str(info.get("version")) == version:
                    return info
                last = f"version {info.get('version')}, health {client.get('/health').text}"
            except (httpx.HTTPError, ValueError) as error:
                last = repr(error)
            if time.monotonic() > deadline:
                raise dg.Failure(
                    f"the endpoint at {url} did not answer with version {version} within "
                    f"{timeout_seconds:g} s; it said: {last}. See its log (mlops logs) and /health."
                )
            time.sleep(POLL_SECONDS)
