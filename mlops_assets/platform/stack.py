"""Bringing the platform up and down, and saying how it is."""

from __future__ import annotations

import contextlib
import fcntl
import shutil
import time
from concurrent.futures import FIRST_EXCEPTION, Future, ThreadPoolExecutor, wait
from threading import Event
from typing import TYPE_CHECKING

from mlops_assets.platform import orphans, ports
from mlops_assets.platform.generated import ensure_secrets
from mlops_assets.platform.orchestrator import ensure_home
from mlops_assets.platform.service import NotReadyError, PlatformError, State, Status
from mlops_assets.platform.services import chosen, describe, named
from mlops_assets.platform.supervision import Process, Supervisor, tail

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator
    from pathlib import Path

    from mlops_assets.platform import Progress
    from mlops_assets.platform.service import Service
    from mlops_assets.settings import Settings

_GRACE_SECONDS = 5.0
_STARTS = 3
_SUPERVISOR = "supervisord"


def _silent(name: str, doing: str) -> None:
    pass


def up(settings: Settings, only: Collection[str] | None, progress: Progress | None) -> list[Service]:
    """See ``mlops_assets.platform.up``."""
    ensure_secrets(settings)
    with _alone(settings):
        supervisor = Supervisor(settings)
        if not supervisor.running():
            _clear_away(settings)
        everything = describe(settings)
        services = chosen(everything, only)
        ensure_home(settings)
        _prepare(supervisor, everything, services)
        _Starter(supervisor, settings.start_timeout_seconds, progress or _silent).run(services)
    return services


def _prepare(supervisor: Supervisor, everything: list[Service], services: list[Service]) -> None:
    """Check the ports of what is to start, hand the supervisor its configuration, stop what changed."""
    running = {name for name, process in supervisor.processes().items() if process.alive}
    embedded = [service for service in everything if not service.outside]
    starting = [s for s in services if not s.outside and s.name not in running]
    ports.require_free(starting)
    changed = supervisor.write(embedded)
    supervisor.start()
    supervisor.stop(changed & running)


def _clear_away(settings: Settings) -> None:
    """End what a killed supervisor left; choose internal ports anew where somebody took one."""
    orphans.end(orphans.platform(settings.state).processes(), _GRACE_SECONDS)
    file = settings.state / "ports.json"
    if file.exists() and not all(map(ports.is_free, ports.chosen_ports(file, ()).values())):
        file.unlink()


class _Starter:
    """Starts all services at the same time: those that need another wait for it by themselves."""

    def __init__(self, supervisor: Supervisor, timeout: float, progress: Progress) -> None:
        self._supervisor = supervisor
        self._timeout = timeout
        self._progress = progress
        self._failed = Event()

    def run(self, services: list[Service]) -> None:
        with ThreadPoolExecutor(len(services), thread_name_prefix="up") as pool:
            futures: list[Future[None]] = [pool.submit(self._one, service) for service in services]
            done, _ = wait(futures, return_when=FIRST_EXCEPTION)
            if any(future.exception() for future in done):
                self._failed.set()
        for future in futures:
            future.result()

    def _one(self, service: Service) -> None:
        deadline = time.monotonic() + self._timeout
        self._progress(service.name, "starting")
        if not service.outside:
            self._supervisor.launch(service.name)
        if not self._answers(service, service.probe, deadline):
            return
        if service.warm is not None:
            self._progress(service.name, "warming")
            if not self._answers(service, service.warm, deadline):
                return
        self._progress(service.name, "outside" if service.outside else "ready")

    def _answers(self, service: Service, probe: Callable[[], None], deadline: float) -> bool:
        """Wait until ``probe`` returns; False when another failed meanwhile, which says why itself."""
        pause, pids = 0.05, set[int]()
        while True:
            try:
                probe()
            except NotReadyError as error:
                if self._failed.is_set():
                    return False
                self._give_up(service, error, late=time.monotonic() > deadline, pids=pids)
            else:
                return True
            time.sleep(pause)
            pause = min(pause * 1.3, 0.5)

    def _give_up(self, service: Service, error: NotReadyError, *, late: bool, pids: set[int]) -> None:
        """Raise when there is nothing to wait for; ``pids`` collects the service's processes so far."""
        if service.outside:
            raise PlatformError(f"The outside {service.name} is not usable: {error}") from None
        process = self._supervisor.processes().get(service.name)
        if process is not None and process.alive:
            pids.add(process.pid)
        if not late and len(pids) <= _STARTS:
            return
        what = f"did not answer within {self._timeout:.0f} s (MLOPS_START_TIMEOUT_SECONDS)"
        log = tail(self._supervisor.logs / f"{service.name}.log", 20)
        raise PlatformError(
            f"{service.name} {what if late else f'ended {_STARTS} times'}: {error}\n"
            f"The end of its log:\n{log}"
        ) from None


def down(settings: Settings, progress: Progress | None) -> None:
    """See ``mlops_assets.platform.down``."""
    if not settings.state.exists():
        return
    with _alone(settings):
        _down(settings, progress or _silent)


def _down(settings: Settings, progress: Progress) -> None:
    supervisor = Supervisor(settings)
    known = supervisor.processes()
    ranks = {service.name: service.stop_rank for service in describe(settings)}
    # What others use is stopped last. A service that the settings no longer have goes first.
    for rank in sorted({ranks.get(name, 99) for name in known}, reverse=True):
        names = [name for name in known if ranks.get(name, 99) == rank]
        for name in names:
            progress(name, "stopping")
        supervisor.stop(names)
        for name in names:
            progress(name, "stopped")
    supervisor.shut_down()
    orphans.end(orphans.platform(settings.state).processes(), _GRACE_SECONDS)


def restart(settings: Settings, only: Collection[str], progress: Progress | None) -> list[Service]:
    """See ``mlops_assets.platform.restart``."""
    with _alone(settings):
        Supervisor(settings).stop(s.name for s in named(describe(settings), only) if not s.outside)
    return up(settings, only, progress)


def status(settings: Settings, only: Collection[str] | None) -> list[Status]:
    """See ``mlops_assets.platform.status``."""
    known = Supervisor(settings).processes()
    everything = describe(settings)
    services = named(everything, only)
    with ThreadPoolExecutor(max(len(services), 1)) as pool:
        return list(pool.map(lambda service: _status(service, known.get(service.name)), services))


def log_files(settings: Settings, only: Collection[str] | None) -> dict[str, Path]:
    """The log of each embedded service, by name; of the supervisor itself too, when it is asked for."""
    folder = Supervisor(settings).logs
    asked = None if only is None else [name for name in only if name != _SUPERVISOR]
    services = named(describe(settings), asked) if asked is None or asked else []
    names = [service.name for service in services if not service.outside]
    return {
        name: folder / f"{name}.log"
        for name in names + ([_SUPERVISOR] if only and _SUPERVISOR in only else [])
    }


def _status(service: Service, process: Process | None) -> Status:
    alive = process is not None and process.alive
    state: State = "stopped"
    detail = ""
    if alive or service.outside:
        state, detail = _asked(service.probe, "outside" if service.outside else "ready")
    elif process is not None and process.state in {"BACKOFF", "FATAL", "EXITED"}:
        state, detail = "failing", f"ends at once: mlops logs {service.name}"
    return Status(
        name=service.name,
        group=service.group,
        title=service.title,
        state=state,
        address=service.address,
        pid=process.pid if process is not None and alive else None,
        uptime=time.time() - process.started if process is not None and alive else None,
        detail=detail,
    )


def _asked(probe: Callable[[], None], fine: State) -> tuple[State, str]:
    try:
        probe()
    except PlatformError as error:
        return "failing", str(error)
    except NotReadyError as error:
        return ("unreachable" if fine == "outside" else "starting"), str(error)
    return fine, ""


def reset(settings: Settings) -> None:
    """See ``mlops_assets.platform.reset``."""
    if settings.state.exists():
        down(settings, None)
        shutil.rmtree(settings.state)
    if settings.sockets.exists():
        shutil.rmtree(settings.sockets)


@contextlib.contextmanager
def _alone(settings: Settings) -> Iterator[None]:
    """One ``up``, ``down`` or ``restart`` at a time; a second waits for the first."""
    settings.state.mkdir(parents=True, exist_ok=True)
    with (settings.state / "up.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
