"""What a channel is."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from mlops_assets.alerts.alert import Alert


class DeliveryError(Exception):
    """A channel did not take an alert.

    ``final``: sending the same again is of no use (a refusal, not an outage). ``retry_after``: the
    receiver asked for that many seconds of silence.
    """

    def __init__(self, message: str, *, retry_after: float | None = None, final: bool = False) -> None:
        super().__init__(message)
        self.retry_after = retry_after
        self.final = final


class Channel(Protocol):
    """A way to reach people. Sending ends in bounded time, whatever the receiver does."""

    refresh_seconds: float | None
    """How often an alert that lasts has to be sent again for the receiver to go on showing it."""

    def send(self, alert: Alert) -> None:
        """Hand ``alert`` over. Returns only when the receiver has taken it, else ``DeliveryError``."""
