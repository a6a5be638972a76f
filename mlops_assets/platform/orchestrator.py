"""The orchestrator: Dagster's code location, webserver and daemon, each a service."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import mlops_assets.platform
from mlops_assets.platform import database, object_store
from mlops_assets.platform.environment import cores, service_environment
from mlops_assets.platform.ports import HOST
from mlops_assets.platform.service import NotReadyError, PlatformError, Port, Service

if TYPE_CHECKING:
    from mlops_assets.settings import Settings

GROUP = "orchestrator"
CODE_LOCATION, WEBSERVER, DAEMON = "code-location", "webserver", "daemon"
LOCATION_NAME = "mlops_assets"
DEFINITIONS = "mlops_assets.definitions"
_ROOT = Path(mlops_assets.platform.__file__).parents[2]


def services(settings: Settings) -> list[Service]:
    """The three processes. All start at once: the latter two wait for the database by themselves."""
    stores = (object_store.NAME, database.holder(settings.database_url is not None, "dagster"))
    url = settings.dagster_url
    location = Service(
        name=CODE_LOCATION,
        group=GROUP,
        title="Dagster: definitions and runs",
        address=f"{HOST}:{settings.code_location_port} (gRPC)",
        probe=ServesGrpc(settings.code_location_port),
        warm=_RunsStartAtOnce(settings.warm_file),
        argv=(sys.executable, "-m", "mlops_assets.platform.code_location", DEFINITIONS),
        env=_environment(settings, CODE_LOCATION, threads=cores()),
        ports=(Port(settings.code_location_port, "MLOPS_CODE_LOCATION_PORT"),),
        needs=stores,
        # Its runs end with it and are started again afterwards, the same as when it is killed.
        stop_signal="KILL",
        stop_rank=2,
    )
    webserver = Service(
        name=WEBSERVER,
        group=GROUP,
        title="Dagster: assets, runs, checks",
        address=url,
        probe=_LocationLoaded(url),
        argv=(sys.executable, "-m", "mlops_assets.platform.dagster_process", WEBSERVER),
        env=_environment(settings, WEBSERVER),
        ports=(Port(settings.dagster_port, "MLOPS_DAGSTER_PORT"),),
        needs=(*stores, CODE_LOCATION),
        stop_rank=3,
    )
    daemon = Service(
        name=DAEMON,
        group=GROUP,
        title="Dagster: sensors, queue, monitoring",
        address="",
        probe=_Heartbeats(settings),
        argv=(sys.executable, "-m", "mlops_assets.platform.dagster_process", DAEMON),
        env=_environment(settings, DAEMON),
        needs=(*stores, CODE_LOCATION, WEBSERVER),
        stop_seconds=5,  # it waits for its rounds to end; what they did not commit, the next ones do
        stop_rank=3,
    )
    return [location, webserver, daemon]


def _environment(settings: Settings, name: str, threads: int = 1) -> dict[str, str]:
    extra = {"DAGSTER_HOME": str(settings.dagster_home)}
    if name == CODE_LOCATION:
        extra["MLFLOW_TRACKING_URI"] = settings.mlflow_url
    return service_environment(settings, name, store=True, threads=threads, extra=extra)


def workspace_file(settings: Settings) -> Path:
    """Where the platform's own workspace is described: the code location as a gRPC server."""
    return settings.dagster_home / "workspace.yaml"


def ensure_home(settings: Settings) -> None:
    """Make Dagster's home: a link to the root's ``dagster.yaml``, and the platform's workspace."""
    source = _ROOT / "dagster.yaml"
    if not source.exists():
        raise PlatformError(f"{source} is missing. Install from a checkout: pip install -e .")
    settings.dagster_home.mkdir(mode=0o700, parents=True, exist_ok=True)
    link = settings.dagster_home / "dagster.yaml"
    if not (link.is_symlink() and link.readlink() == source):
        link.unlink(missing_ok=True)
        link.symlink_to(source)
    server = {"host": HOST, "port": settings.code_location_port, "location_name": LOCATION_NAME}
    # JSON is YAML.
    workspace_file(settings).write_text(json.dumps({"load_from": [{"grpc_server": server}]}) + "\n")


class ServesGrpc:
    """The code location listens, which it does once its definitions are loaded."""

    def __init__(self, port: int) -> None:
        self._port = port

    def __call__(self) -> None:
        import socket

        try:
            socket.create_connection((HOST, self._port), timeout=5).close()
        except OSError as error:
            raise NotReadyError(f"{HOST}:{self._port}: {error}") from error


class _RunsStartAtOnce:
    """The server that runs are forked from has imported what they need (see ``code_location``)."""

    def __init__(self, file: Path) -> None:
        self._file = file

    def __call__(self) -> None:
        if not self._file.exists():
            raise NotReadyError("what runs need is still being imported")


_LOCATIONS = """
query Locations { workspaceOrError {
  __typename
  ... on PythonError { message }
  ... on Workspace { locationEntries {
    name loadStatus locationOrLoadError { __typename ... on PythonError { className message } }
  } }
} }
"""


class _LocationLoaded:
    """The webserver answers GraphQL, and shows the code location loaded, without an error."""

    def __init__(self, url: str) -> None:
        self._url = url

    def __call__(self) -> None:
        workspace = graphql(self._url, _LOCATIONS)["workspaceOrError"]
        entries = workspace.get("locationEntries")
        if not entries:
            raise NotReadyError(f"{self._url}: no code location ({workspace.get('message', 'none yet')})")
        for entry in entries:
            loaded = entry["locationOrLoadError"] or {}
            if loaded.get("__typename") == "PythonError":
                # A location that does not answer yet may; one that answers with an error will not mend.
                passing = loaded["className"] == "DagsterUserCodeUnreachableError"
                kind = NotReadyError if passing else PlatformError
                raise kind(
                    f"The code location has an error (mend it, then: mlops restart {CODE_LOCATION}): "
                    f"{loaded['message']}"
                )
            if entry["loadStatus"] != "LOADED" or not loaded:
                raise NotReadyError(f"{self._url}: {entry['name']} is {entry['loadStatus'].lower()}")


_DAEMONS = """
query Daemons { instance { daemonHealth { allDaemonStatuses {
  daemonType required healthy lastHeartbeatTime lastHeartbeatErrors { message }
} } } }
"""


class _Heartbeats:
    """Every daemon that the instance requires is healthy, and was heard from since the process started."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    def __call__(self) -> None:
        from mlops_assets.platform.supervision import Supervisor

        process = Supervisor(self._settings).processes().get(DAEMON)
        started = process.started if process is not None and process.alive else 0.0
        answer = graphql(self._settings.dagster_url, _DAEMONS)
        for daemon in answer["instance"]["daemonHealth"]["allDaemonStatuses"]:
            if not daemon["required"]:
                continue
            name = daemon["daemonType"].lower()
            if not daemon["healthy"]:
                errors = "; ".join(error["message"] for error in daemon["lastHeartbeatErrors"] or ())
                raise NotReadyError(f"{name} is not healthy {errors}".rstrip())
            if (daemon["lastHeartbeatTime"] or 0) < started:
                raise NotReadyError(f"{name} has not been heard from yet")


def graphql(url: str, query: str) -> dict[str, Any]:
    """The ``data`` of Dagster's answer to ``query``; ``NotReadyError`` when there is none."""
    import httpx

    try:
        answer = httpx.post(f"{url}/graphql", json={"query": query}, timeout=20)
        answer.raise_for_status()
        body = answer.json()
    except (httpx.HTTPError, ValueError) as error:
        raise NotReadyError(f"{url}: {error}") from error
    if body.get("errors") or not body.get("data"):
        raise NotReadyError(f"{url}: {body.get('errors')}")
    return dict(body["data"])
