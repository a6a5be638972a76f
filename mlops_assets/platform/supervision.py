"""The process supervisor: ``supervisord`` on a generated configuration, spoken to on a Unix socket."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import shlex
import subprocess
import sys
import time
import xmlrpc.client
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from mlops_assets.platform.orphans import MARKER
from mlops_assets.platform.service import PlatformError
from mlops_assets.settings import inherited_environment

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from mlops_assets.platform.service import Service
    from mlops_assets.settings import Settings

_HEAD = """\
[supervisord]
nodaemon=false
directory={state}
pidfile={run}/supervisord.pid
logfile={logs}/supervisord.log
logfile_maxbytes=5MB
logfile_backups=1
loglevel=info
umask=077
minfds=4096
{user}

[unix_http_server]
file={socket}
chmod=0700

[rpcinterface:supervisor]
supervisor.rpcinterface_factory=supervisor.rpcinterface:make_main_rpcinterface
"""

# A service is RUNNING after one second; before that, an exit is retried, a second later each time.
_PROGRAM = """
[program:{name}]
command={command}
autostart=false
autorestart=true
startsecs=1
startretries=1000
stopsignal={signal}
stopasgroup={as_group}
killasgroup=true
stopwaitsecs={seconds}
redirect_stderr=true
stdout_logfile={logs}/{name}.log
stdout_logfile_maxbytes=10MB
stdout_logfile_backups=2
priority={priority}
"""


_UNSTOPPED = {"STARTING", "RUNNING", "STOPPING"}


@dataclass(frozen=True)
class Process:
    """What the supervisor knows of a service. ``state``: supervisor's name (RUNNING, BACKOFF ...)."""

    state: str
    pid: int
    started: float
    """Unix time of the last start."""

    @property
    def alive(self) -> bool:
        return self.state in {"RUNNING", "STARTING"}


class Supervisor:
    """The supervisor of the platform in ``settings.state``, whether it runs or not."""

    def __init__(self, settings: Settings) -> None:
        self._state = settings.state
        self._socket = settings.sockets / "supervisor.sock"
        self._run = settings.state / "run"
        self.logs = settings.state / "logs"

    def running(self) -> bool:
        """Whether a supervisor answers."""
        with contextlib.suppress(OSError, http.client.HTTPException, xmlrpc.client.Error):
            return bool(self._call("getState")["statename"] == "RUNNING")
        return False

    def processes(self) -> dict[str, Process]:
        """Each service that the supervisor knows, by name; empty when it does not run."""
        try:
            return {
                row["name"]: Process(row["statename"], row["pid"], row["start"])
                for row in self._call("getAllProcessInfo")
            }
        except (OSError, http.client.HTTPException):
            return {}

    def write(self, services: Iterable[Service]) -> set[str]:
        """Write the configuration and the specifications; the names whose specification changed."""
        for folder in (self._run, self.logs, self._socket.parent):
            folder.mkdir(mode=0o711, parents=True, exist_ok=True)
        changed = {service.name for service in services if self._write_spec(service)}
        _write_private(self._config, self._configuration(services))
        return changed

    def _write_spec(self, service: Service) -> bool:
        spec = {
            "argv": list(service.argv),
            "env": dict(service.env),
            "cwd": service.cwd or str(self._state),
            "user": service.user,
            "prepare": service.prepare,
            "belonging": {"state": str(self._state), "name": service.name, "cwd": service.cwd},
        }
        text = json.dumps(spec, indent=1, sort_keys=True)
        file = self._spec(service.name)
        if file.exists() and file.read_text() == text:
            return False
        _write_private(file, text)
        return True

    def _spec(self, name: str) -> Path:
        return self._run / f"{name}.json"

    @property
    def _config(self) -> Path:
        return self._run / "supervisord.conf"

    def _configuration(self, services: Iterable[Service]) -> str:
        logs, root = _escaped(self.logs), os.geteuid() == 0
        parts = [
            _HEAD.format(
                state=_escaped(self._state),
                run=_escaped(self._run),
                logs=logs,
                socket=_escaped(self._socket),
                user="user=root" if root else "",
            )
        ]
        for service in services:
            command = [sys.executable, "-m", "mlops_assets.platform.launch", str(self._spec(service.name))]
            parts.append(
                _PROGRAM.format(
                    name=service.name,
                    command=_escaped(shlex.join(command)),
                    signal=service.stop_signal,
                    as_group="true" if service.stop_signal == "KILL" else "false",
                    seconds=service.stop_seconds,
                    logs=logs,
                    priority=900 - service.stop_rank,
                )
            )
        return "".join(parts)

    def start(self) -> None:
        """Start the supervisor, or make the running one read its configuration again."""
        if self.running():
            added, changed, removed = self._call("reloadConfig")[0]
            for name in [*removed, *changed]:
                self.stop([name])
                self._call("removeProcessGroup", name)
            for name in [*added, *changed]:
                self._call("addProcessGroup", name)
            return
        marker = {MARKER: f"{self._state}:supervisor"}
        command = [sys.executable, "-m", "supervisor.supervisord", "-c", str(self._config)]
        done = subprocess.run(
            command, env={**inherited_environment(), **marker}, capture_output=True, text=True, check=False
        )
        deadline = time.monotonic() + 20
        while not self.running():
            if done.returncode or time.monotonic() > deadline:
                log = tail(self.logs / "supervisord.log", 20)
                raise PlatformError(f"The supervisor does not start: {done.stdout}{done.stderr}\n{log}")
            time.sleep(0.02)

    def launch(self, name: str) -> None:
        """Start service ``name`` unless it runs; does not wait."""
        with contextlib.suppress(xmlrpc.client.Fault):  # ALREADY_STARTED
            self._call("startProcess", name, False)  # noqa: FBT003 - supervisor's signature: wait

    def stop(self, names: Iterable[str]) -> None:
        """Stop services at the same time, and wait until all are stopped."""
        waiting = set(names)
        for name in waiting:
            with contextlib.suppress(xmlrpc.client.Fault):  # NOT_RUNNING
                self._call("stopProcess", name, False)  # noqa: FBT003 - supervisor's signature: wait
        while waiting:
            known = self.processes()
            waiting = {
                n for n in waiting if n in known and known[n].state in {"STOPPING", "RUNNING", "STARTING"}
            }
            if waiting:
                time.sleep(0.05)

    def shut_down(self) -> None:
        """End the supervisor; its services are to be stopped before."""
        with contextlib.suppress(OSError, http.client.HTTPException, xmlrpc.client.Fault):
            self._call("shutdown")
        deadline = time.monotonic() + 60
        while self._socket.exists() and self.running() and time.monotonic() < deadline:
            time.sleep(0.05)

    def _call(self, method: str, *arguments: object) -> Any:
        from supervisor.xmlrpc import SupervisorTransport

        # One connection a call: the transport is not safe to share between threads.
        transport = SupervisorTransport(serverurl=f"unix://{self._socket}")
        try:
            proxy = xmlrpc.client.ServerProxy("http://127.0.0.1", transport=transport)
            return getattr(proxy.supervisor, method)(*arguments)
        finally:
            transport.close()


def _escaped(value: object) -> str:
    return str(value).replace("%", "%%")  # supervisor expands %(name)s


def _write_private(file: Path, text: str) -> None:
    """Replace ``file`` with ``text``, readable by the owner alone (it may hold credentials)."""
    part = file.with_name(f"{file.name}.part")
    part.unlink(missing_ok=True)
    with os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as out:
        out.write(text)
    part.replace(file)


def tail(file: Path, lines: int) -> str:
    """The last ``lines`` lines of ``file``, or "" when there is no such file."""
    if not file.exists():
        return ""
    return "\n".join(file.read_text(errors="replace").splitlines()[-lines:])
