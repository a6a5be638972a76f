"""Prometheus Alertmanager, API v2."""

from __future__ import annotations

import datetime as dt
import json
from typing import TYPE_CHECKING

from mlops_assets.alerts.channels.http import post

if TYPE_CHECKING:
    from mlops_assets.alerts.alert import Alert

_LIVES = 5
"""An alert ends by itself after that many refreshes that did not come."""


class AlertmanagerChannel:
    """POSTs to ``<url>/api/v2/alerts``. While an alert lasts it is sent again, as Alertmanager expects.

    Equal labels are one alert there, so that a message sent twice does nothing.
    """

    def __init__(self, url: str, seconds: float = 10.0, refresh_seconds: float = 60.0) -> None:
        self._url = f"{url.rstrip('/')}/api/v2/alerts"
        self._seconds = seconds
        self.refresh_seconds: float | None = refresh_seconds

    def send(self, alert: Alert) -> None:
        """Raises ``DeliveryError`` unless Alertmanager answers 200."""
        lives = dt.timedelta(seconds=_LIVES * (self.refresh_seconds or 60.0))
        entry = {
            "labels": _labels(alert),
            "annotations": {
                name: text
                for name, text in {
                    "summary": alert.title,
                    "seen": alert.seen,
                    "allowed": alert.allowed,
                    "remedy": alert.remedy,
                    "owners": ", ".join(alert.owners),
                }.items()
                if text
            },
            "startsAt": alert.since.isoformat(),
            "endsAt": (alert.resolved_at or dt.datetime.now(dt.UTC) + lives).isoformat(),
            **({"generatorURL": alert.url} if alert.url else {}),
        }
        post(self._url, json.dumps([entry]).encode(), {}, self._seconds)


def _labels(alert: Alert) -> dict[str, str]:
    """What makes it the same alert there. One whose severity changes is another; the first one expires."""
    labels = {
        "alertname": f"mlops_{alert.kind}",
        "fingerprint": alert.fingerprint,
        "severity": alert.severity,
        "project": alert.project,
        "asset": alert.asset,
        "group": alert.group,
    }
    return {name: value for name, value in labels.items() if value}
