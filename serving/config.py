"""What one endpoint is started with, and the command that starts it."""

from __future__ import annotations

import argparse
import sys
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

from mlops_assets.project import Project
from mlops_assets.settings import get_settings
from serving.prediction_log.limits import Limits

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mlops_assets.settings import Settings

LOG_FORMAT = "%(asctime)s %(levelname)s %(name)s: %(message)s"

_HOSTS = ("127.0.0.1", "0.0.0.0", "::")  # noqa: S104 - a choice of the user's; the default is loopback


class ConfigError(ValueError):
    """The endpoint cannot be started like this; the message says what to change."""


@dataclass(frozen=True)
class Config:
    """One endpoint. ``project``: a name of the catalog, or ``package.module:ATTRIBUTE``.

    ``answer_seconds``: how long a request waits for its answer, a restart of the model's process
    included. ``drain_seconds``: how long a stopping server waits for requests in flight.
    ``log``: the prediction log's limits; None: nothing is logged.
    """

    project: str
    host: str
    port: int
    registry: str
    store: Path
    poll_seconds: float = 1.0
    api_key: str | None = field(default=None, repr=False)
    answer_seconds: float = 15.0
    drain_seconds: float = 20.0
    log: Limits | None = None

    @property
    def log_folder(self) -> Path:
        """Where answers lie until they are shipped."""
        return self.store / "log"

    def __post_init__(self) -> None:
        if not 1024 <= self.port <= 65535:
            raise ConfigError(f"port {self.port} is not between 1024 and 65535: give another --port")
        if self.host not in _HOSTS:
            raise ConfigError(f"host {self.host!r} is none of {', '.join(_HOSTS)}: give another --host")


def load_project(name: str) -> Project:
    """The project ``name`` of the catalog, or the attribute that ``package.module:ATTRIBUTE`` names.

    Raises ``ConfigError`` if there is none.
    """
    module, colon, attribute = name.partition(":")
    try:
        if not colon:
            from mlops_assets.catalog import get_project

            return get_project(name)
        found = getattr(import_module(module), attribute)
    except (ImportError, AttributeError, LookupError, ValueError) as error:
        raise ConfigError(f"there is no project {name!r}: {error}") from error
    if not isinstance(found, Project):
        raise ConfigError(f"{name} is a {type(found).__name__}, not a Project")
    return found


def command_line(project: Project | str, *options: str) -> list[str]:
    """The command that starts the endpoint of ``project``; what ``options`` leave out comes from settings."""
    name = project.name if isinstance(project, Project) else project
    return [sys.executable, "-m", "serving", "--project", name, *options]


def parse(arguments: Sequence[str] | None = None) -> Config:
    """The endpoint that the command line asks for; settings give what it leaves out."""
    given = _parser().parse_args(arguments)
    settings = get_settings()
    project = load_project(given.project)
    key = settings.endpoint_api_key
    return Config(
        project=given.project,
        host=given.host or settings.endpoint_host,
        port=given.port or settings.endpoint_base_port + project.endpoint.port_offset,
        registry=given.registry or settings.mlflow_url,
        store=(given.store or settings.state / "endpoints" / project.name).expanduser().resolve(),
        poll_seconds=given.poll_seconds or settings.endpoint_poll_seconds,
        api_key=key.get_secret_value() if key is not None else None,
        log=_limits(settings),
    )


def _limits(settings: Settings) -> Limits | None:
    if settings.prediction_log == "off":
        return None
    return Limits(
        max_bytes=settings.prediction_log_max_bytes,
        at_bound=settings.prediction_log_at_bound,
        segment_bytes=settings.prediction_log_segment_bytes,
        segment_seconds=settings.prediction_log_segment_seconds,
        sync=settings.prediction_log_sync,
    )


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m serving",
        description="Serve the champion of one project. The API key comes from MLOPS_ENDPOINT_API_KEY only: "
        "a command line can be read by others.",
    )
    parser.add_argument("--project", required=True, help="a name of the catalog, or package.module:ATTRIBUTE")
    parser.add_argument("--host", help="address to listen on")
    parser.add_argument("--port", type=int, help="port to listen on")
    parser.add_argument("--registry", help="MLflow tracking URI")
    parser.add_argument("--store", type=Path, metavar="DIR", help="folder of the local copies")
    parser.add_argument("--poll-seconds", type=float, help="how often the alias is looked at")
    return parser
