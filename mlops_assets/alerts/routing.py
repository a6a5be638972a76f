"""What a route is, and which channels an alert takes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import Field, field_validator, model_validator

from mlops_assets.alerts.alert import Kind, Severity
from mlops_assets.alerts.channels import NAMES
from mlops_assets.project import Declared

if TYPE_CHECKING:
    from collections.abc import Collection

    from mlops_assets.alerts.alert import Alert

LAST_RESORT = "log"


class Match(Declared):
    """Which alerts. Each list that is not empty must hold the alert's value; all lists must agree."""

    severity: frozenset[Severity] = frozenset()
    kind: frozenset[Kind] = frozenset()
    project: frozenset[str] = frozenset()
    group: frozenset[str] = frozenset()
    owner: frozenset[str] = frozenset()

    def fits(self, alert: Alert) -> bool:
        """Whether ``alert`` is one of them."""
        return (
            (not self.severity or alert.severity in self.severity)
            and (not self.kind or alert.kind in self.kind)
            and (not self.project or alert.project in self.project)
            and (not self.group or alert.group in self.group)
            and (not self.owner or bool(self.owner & set(alert.owners)))
        )


class Route(Declared):
    """Alerts that match take the first of ``channels`` that works.

    The first route that matches is taken; with ``go_on``, those below it are asked as well.
    """

    name: str = Field(pattern=r"^[a-z][a-z0-9_]*$")
    match: Match = Match()
    channels: tuple[str, ...] = Field(min_length=1)
    go_on: bool = False

    @field_validator("channels")
    @classmethod
    def _known(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if unknown := sorted(set(value) - NAMES):
            raise ValueError(f"names no channel: {', '.join(unknown)}; there are {', '.join(sorted(NAMES))}")
        return value


class Routing(Declared):
    """All routes, in order. An alert that none matches goes to the log."""

    routes: tuple[Route, ...]
    reminder_hours: float = Field(default=24.0, gt=0)

    @model_validator(mode="after")
    def _names_are_unique(self) -> Routing:
        names = [route.name for route in self.routes]
        if len(set(names)) != len(names) or "default" in names:
            raise ValueError(f"two routes share a name, or one is called default: {names}")
        return self

    def of(self, alert: Alert, configured: Collection[str]) -> dict[str, tuple[str, ...]]:
        """Route name -> the channels to try, in order: those of ``configured``, or else the log.

        An alert about a channel does not take that channel.
        """
        about = alert.fingerprint.removeprefix("delivery/") if alert.kind == "delivery" else ""
        found: dict[str, tuple[str, ...]] = {}
        for route in self.routes:
            if route.match.fits(alert):
                usable = tuple(name for name in route.channels if name in configured and name != about)
                found[route.name] = usable or (LAST_RESORT,)
                if not route.go_on:
                    break
        return found or {"default": (LAST_RESORT,)}
