"""What a service of the platform is, and what can be said of it."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

State = Literal["ready", "starting", "failing", "stopped", "outside", "unreachable"]


class PlatformError(RuntimeError):
    """The platform cannot do what was asked; the message says what, why, and the remedy."""


class NotReadyError(Exception):
    """Raised by a probe: the service does not answer as it should yet; the message says in what."""


@dataclass(frozen=True)
class Port:
    """A loopback port that a service listens on, and the setting that moves it (if one does)."""

    number: int
    setting: str | None = None


@dataclass(frozen=True)
class Service:
    """One supervised process (or, when ``outside``, one that somebody else runs).

    ``argv`` and ``env`` are the whole command and environment; ``prepare`` names a function
    ("module:function") that the launcher calls first, and ``user`` the account it then changes to.
    ``probe`` returns when the service truly answers and raises otherwise; so does ``warm`` when it also
    does its work as fast as it can, which only ``up`` waits for. ``cwd`` identifies
    processes that hide their environment (PostgreSQL's children).
    """

    name: str
    group: str
    title: str
    address: str
    probe: Callable[[], None]
    warm: Callable[[], None] | None = None
    argv: tuple[str, ...] = ()
    env: Mapping[str, str] = field(default_factory=dict, repr=False)
    cwd: str | None = None
    ports: tuple[Port, ...] = ()
    needs: tuple[str, ...] = ()
    prepare: str | None = None
    user: str | None = None
    stop_signal: str = "TERM"
    stop_seconds: int = 10
    stop_rank: int = 0
    """Services of a higher rank are stopped first."""

    @property
    def outside(self) -> bool:
        return not self.argv


@dataclass(frozen=True)
class Status:
    """One row of ``mlops status``. ``uptime``: seconds since the process started, None if there is none."""

    name: str
    group: str
    title: str
    state: State
    address: str
    pid: int | None = None
    uptime: float | None = None
    detail: str = ""

    def as_json(self) -> dict[str, object]:
        return asdict(self)
