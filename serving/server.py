"""LitServe's server with our request path, and the processes it consists of.

main      LitServer.run: starts, watches and ends the others; the champion's follower in a thread
API       uvicorn: HTTP, metrics; hands bodies to the model's process in batches
model     LitServe's inference worker: decodes, predicts, logs, encodes
shipper   brings the prediction log from the disk to the object store; looks up what was logged
manager   LitServe's shared state
"""

from __future__ import annotations

import logging
import os
import signal
import threading
import time
from contextlib import asynccontextmanager, contextmanager
from typing import TYPE_CHECKING, Any

import litserve as ls

from serving.follower import Follower
from serving.front import PATH, Front
from serving.keys import Key
from serving.lifeline import close_sockets_on, die_with
from serving.link import Link
from serving.metrics import Metrics
from serving.prediction_log.spool import Spool
from serving.prediction_log.supervise import Supervisor
from serving.prediction_log.view import LogView
from serving.routes import Routes
from serving.worker import EndpointAPI

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from pathlib import Path

    from mlops_assets.project import Project
    from serving.config import Config
    from serving.store import Store

LOOK_SECONDS = 0.2
OURS = {"/", "/health", "/info", "/docs", "/docs/oauth2-redirect", "/redoc", "/openapi.json", PATH}

logger = logging.getLogger(__name__)


class EndpointServer(ls.LitServer):  # type: ignore[misc]
    """LitServe's server for one project."""

    def __init__(self, config: Config, project: Project, store: Store, address: Path) -> None:
        self._port = config.port
        self._parent = os.getpid()
        self._starting_manager = False
        os.register_at_fork(after_in_child=self._forked)
        self.asked_to_stop = False
        self.draining = False
        self.failed = False
        self._link = Link(address, config.answer_seconds)
        spool = Spool(config.log_folder)
        spool.prepare()
        super().__init__(
            EndpointAPI(config, address),
            accelerator="cpu",
            workers_per_device=1,
            timeout=False,
            restart_workers=True,
            disable_openapi_url=True,
        )
        self.monitor_internal = LOOK_SECONDS
        self.uvicorn_graceful_timeout = config.drain_seconds
        self._follower = Follower(config.registry, project.name, store, config.poll_seconds)
        self._supervisor = Supervisor(config, address.parent) if config.log else None
        log = LogView(spool, self._link.server, self._supervisor.address) if self._supervisor else None
        metrics = Metrics(project.name)
        key = Key(config.api_key)
        routes = Routes(project, self._link, metrics, store, key, log)
        kept = [route for route in self.app.router.routes if getattr(route, "path", None) not in OURS]
        self.app.router.routes[:] = [*routes.routes(), *kept]
        # Starlette calls whatever stands here: /predict is answered before any middleware is asked.
        self.app.middleware_stack = Front(
            self.app.build_middleware_stack(), self._link, metrics, key, log.counts if log else None
        )

    @asynccontextmanager
    async def lifespan(self, _app: Any) -> AsyncIterator[None]:
        """The API process's life: instead of polling LitServe's response queue, hold the link."""
        self._link.start()
        yield
        self._link.stop()

    def _init_manager(self, num_api_servers: int) -> Any:
        # A SIGTERM to the whole group must not take LitServe's shared state away while it drains.
        self._starting_manager = True
        try:
            with _signal(signal.SIGTERM, signal.SIG_IGN):
                return super()._init_manager(num_api_servers)
        finally:
            self._starting_manager = False

    def _forked(self) -> None:
        die_with(self._parent)
        if self._starting_manager:
            # LitServe binds the port before it forks its manager, which would hold it open to clients
            # that nobody answers any more.
            close_sockets_on(self._port)

    def _start_server(self, *args: Any, **kwargs: Any) -> Any:
        with _signal(signal.SIGTERM, signal.SIG_DFL):
            workers = super()._start_server(*args, **kwargs)
        # The listening socket is the API process's alone: with it, the port must close.
        for held in (argument for argument in args if isinstance(argument, list)):
            for listening in held:
                listening.close()
        # Only now, since a process that has threads must not be forked.
        self._follower.start()
        if self._supervisor is not None:
            self._supervisor.start()
        threading.Thread(target=self._watch, args=(list(workers.values()),), daemon=True).start()
        return workers

    def _watch(self, processes: list[Any]) -> None:
        """End the server when its API process has ended: a supervisor then starts all of it anew."""
        while all(process.is_alive() for process in processes):
            time.sleep(LOOK_SECONDS)
        if not self.draining:
            logger.error("the API process ended; ending the server")
            self.failed = True
            self._shutdown_event.set()

    def launch_single_inference_worker(self, lit_api: EndpointAPI, worker_id: int) -> Any:
        """LitServe's restart of a model's process, which must not happen while the server stops."""
        if self.draining:
            return self.inference_workers[worker_id]
        return super().launch_single_inference_worker(lit_api, worker_id)

    def _perform_graceful_shutdown(self, manager: Any, *args: Any, **kwargs: Any) -> None:
        self.draining = True
        super()._perform_graceful_shutdown(_Last(manager, self._supervisor), *args, **kwargs)


class _Last:
    """LitServe's manager, ended after the shipper has shipped the rest: LitServe's threads need it."""

    def __init__(self, manager: Any, supervisor: Supervisor | None) -> None:
        self._manager = manager
        self._supervisor = supervisor

    def shutdown(self) -> None:
        if self._supervisor is not None:
            self._supervisor.stop()
        self._manager.shutdown()


@contextmanager
def _signal(number: int, handler: Any) -> Iterator[None]:
    before = signal.signal(number, handler)
    try:
        yield
    finally:
        signal.signal(number, before)
