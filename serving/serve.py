"""Start an endpoint, and end it as it should end."""

from __future__ import annotations

import fcntl
import logging
import os
import signal
import socket
import tempfile
import time
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from serving.config import LOG_FORMAT, Config, ConfigError, load_project
from serving.server import EndpointServer
from serving.store import Store

if TYPE_CHECKING:
    from mlops_assets.project import Project

LOCK_SECONDS = 5.0
"""A server that was just killed may leave children that hold its lock for a moment."""

KEEP_ALIVE_SECONDS = 75
LONGEST_ADDRESS = 100
"""Bytes of a Unix socket's path; the system's limit is 104 to 108."""

logger = logging.getLogger(__name__)


def serve(config: Config) -> int:
    """Serve until SIGTERM or SIGINT, which drain (0), or until a part is lost for good (1).

    Raises ``ConfigError`` if the endpoint cannot be started like this.
    """
    logging.basicConfig(level=logging.INFO, format=LOG_FORMAT)
    project = load_project(config.project)
    _check_names(project)
    store = Store(config.store)
    store.prepare()
    lock = _lock(config.store)
    _check_port(config.host, config.port)
    server = EndpointServer(config, project, store, _address(config.store))
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: _stop(server))
    logger.info("serving %s at http://%s:%d", project.name, config.host, config.port)
    try:
        _run(server, config)
    except KeyboardInterrupt:
        logger.info("stopped before it was up")
    except (EOFError, OSError) as error:
        server.failed = not server.asked_to_stop
        logger.error("LitServe's manager ended; ending the server (%r)", error)  # noqa: TRY400 - known
    lock.close()
    return int(server.failed)


def _run(server: EndpointServer, config: Config) -> None:
    server.run(
        host=config.host,
        port=config.port,
        num_api_servers=1,
        log_level="warning",
        generate_client_file=False,
        # uvicorn's own
        access_log=False,
        loop="uvloop",
        http="httptools",
        ws="none",
        lifespan="on",
        server_header=False,
        timeout_keep_alive=KEEP_ALIVE_SECONDS,
    )


def _stop(server: EndpointServer) -> None:
    """LitServe drains on KeyboardInterrupt, and has no handler for SIGTERM."""
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, signal.SIG_IGN)
    logger.info("stopping: requests in flight are answered first")
    server.asked_to_stop = server.draining = True
    raise KeyboardInterrupt


def _check_names(project: Project) -> None:
    if project.endpoint.positive in ("probability", "unknown"):
        raise ConfigError(
            f"project {project.name}: endpoint.positive is {project.endpoint.positive!r}, which an answer's "
            "rows use for something else; name the label differently"
        )


def _lock(folder: Path) -> IO[Any]:
    """Hold the local store; raises ``ConfigError`` while another server does."""
    held = (folder / "lock").open("w")
    deadline = time.monotonic() + LOCK_SECONDS
    while True:
        try:
            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            if time.monotonic() > deadline:
                held.close()
                raise ConfigError(
                    f"another endpoint uses {folder}: stop it, or give another --store"
                ) from error
            time.sleep(0.1)
        else:
            return held


def _check_port(host: str, port: int) -> None:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            raise ConfigError(
                f"port {port} of {host} cannot be used ({error.strerror}): stop what holds it, or give "
                "another --port (MLOPS_ENDPOINT_BASE_PORT moves all endpoints)"
            ) from error


def _address(folder: Path) -> Path:
    """Where the API process finds the model's; the store's lock keeps it to one server."""
    address = folder / "model.sock"
    if len(os.fsencode(address)) <= LONGEST_ADDRESS:
        return address
    return Path(tempfile.mkdtemp(prefix="endpoint-")) / address.name
