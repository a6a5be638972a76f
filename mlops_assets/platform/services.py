"""All services of the platform, in the order in which they can start."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mlops_assets.platform import database, endpoint, metrics, object_store, orchestrator, registry
from mlops_assets.platform.service import PlatformError

if TYPE_CHECKING:
    from collections.abc import Collection

    from mlops_assets.platform.service import Service
    from mlops_assets.settings import Settings


def describe(settings: Settings) -> list[Service]:
    """Every service, embedded or outside, as the settings have it. Starts nothing."""
    return [
        object_store.service(settings),
        *database.services(settings),
        registry.service(settings),
        *orchestrator.services(settings),
        *endpoint.services(settings),
        metrics.service(settings),
    ]


def named(services: list[Service], only: Collection[str] | None) -> list[Service]:
    """The services that ``only`` names, by name or group; all for None.

    Raises ``PlatformError`` for a name that there is not.
    """
    if only is None:
        return services
    known = {name for service in services for name in (service.name, service.group)}
    if unknown := sorted(set(only) - known):
        raise PlatformError(f"There is no service {', '.join(unknown)}, but {', '.join(sorted(known))}.")
    return [service for service in services if {service.name, service.group} & set(only)]


def chosen(services: list[Service], only: Collection[str] | None) -> list[Service]:
    """The services that ``only`` names and all that these need."""
    wanted = {service.name for service in named(services, only)}
    while more := {need for s in services if s.name in wanted for need in s.needs} - wanted:
        wanted |= more
    return [service for service in services if service.name in wanted]
