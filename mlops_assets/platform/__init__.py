"""The embedded platform behind ``mlops up``: real parts, from wheels, on loopback, state under ``home``.

``supervisor`` keeps every service alive; each is started through ``launch``, which first ends what
a killed predecessor left behind. The functions here import their parts when called, so that the
launcher and the command line start fast.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from mlops_assets.platform.service import Service, Status
    from mlops_assets.settings import Settings

    Progress = Callable[[str, str], None]
    """Called with a service's name and what it is doing now ("starting", "ready", ...)."""


def up(
    settings: Settings, only: Collection[str] | None = None, progress: Progress | None = None
) -> list[Service]:
    """Start what is not running yet, wait until all of it answers, and return the services.

    ``only``: names of services or groups (database, orchestrator, endpoint ...), with all that they need;
    default: all.

    Raises:
        PlatformError: a port is taken, an outside part is not reachable, or a service did not
            answer within ``start_timeout_seconds``; the message names the remedy.

    """
    from mlops_assets.platform import stack

    return stack.up(settings, only, progress)


def down(settings: Settings, progress: Progress | None = None) -> None:
    """Stop all services and leave no process behind; the state stays."""
    from mlops_assets.platform import stack

    stack.down(settings, progress)


def restart(settings: Settings, only: Collection[str], progress: Progress | None = None) -> list[Service]:
    """Stop the services named, then bring them up again (with changed code, say)."""
    from mlops_assets.platform import stack

    return stack.restart(settings, only, progress)


def status(settings: Settings, only: Collection[str] | None = None) -> list[Status]:
    """What each service (or those of ``only``) is doing now, asked of the service itself."""
    from mlops_assets.platform import stack

    return stack.status(settings, only)


def reset(settings: Settings) -> None:
    """Stop everything and delete all state: data, models, history, credentials."""
    from mlops_assets.platform import stack

    stack.reset(settings)
