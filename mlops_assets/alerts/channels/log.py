"""The log: the channel that is always there."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mlops_assets.alerts.alert import Alert

LOGGER = logging.getLogger("mlops.alerts")


class LogChannel:
    """One record of the logger ``mlops.alerts`` for each message."""

    refresh_seconds: float | None = None

    def send(self, alert: Alert) -> None:
        """Never fails: what handlers do with the record is theirs."""
        level = logging.INFO if alert.resolved_at else logging.ERROR
        if not alert.resolved_at and alert.severity == "warning":
            level = logging.WARNING
        LOGGER.log(level, "%s", alert.text, extra={"alert": alert.fingerprint, "alert_key": alert.key})
