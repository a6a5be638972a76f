"""A generic webhook: signed JSON."""

from __future__ import annotations

import hashlib
import hmac
import json
import time
from typing import TYPE_CHECKING

from mlops_assets.alerts.channels.http import post

if TYPE_CHECKING:
    from mlops_assets.alerts.alert import Alert

SIGNATURE = "X-Mlops-Signature"
TIMESTAMP = "X-Mlops-Timestamp"
IDEMPOTENCY_KEY = "Idempotency-Key"


def sign(secret: str, timestamp: str, body: bytes) -> str:
    """``sha256=`` and the HMAC of ``<timestamp>.<body>``: a receiver computes the same and compares."""
    digest = hmac.new(secret.encode(), timestamp.encode() + b"." + body, hashlib.sha256)
    return f"sha256={digest.hexdigest()}"


class WebhookChannel:
    """POSTs each message to ``url``. The timestamp is signed too, so that old requests can be refused."""

    refresh_seconds: float | None = None

    def __init__(self, url: str, secret: str, seconds: float = 10.0) -> None:
        self._url, self._secret, self._seconds = url, secret, seconds

    def send(self, alert: Alert) -> None:
        """Raises ``DeliveryError`` unless the receiver answers 2xx."""
        body = json.dumps(_payload(alert)).encode()
        timestamp = str(int(time.time()))
        headers = {
            TIMESTAMP: timestamp,
            SIGNATURE: sign(self._secret, timestamp, body),
            IDEMPOTENCY_KEY: alert.key,
        }
        post(self._url, body, headers, self._seconds)


def _payload(alert: Alert) -> dict[str, object]:
    return {
        "key": alert.key,
        "notice": alert.notice,
        "state": alert.state,
        "headline": alert.headline,
        "fingerprint": alert.fingerprint,
        "kind": alert.kind,
        "severity": alert.severity,
        "title": alert.title,
        "project": alert.project,
        "group": alert.group,
        "asset": alert.asset,
        "seen": alert.seen,
        "allowed": alert.allowed,
        "remedy": alert.remedy,
        "owners": list(alert.owners),
        "url": alert.url,
        "since": alert.since.isoformat(),
        "resolved_at": alert.resolved_at.isoformat() if alert.resolved_at else None,
        "seconds": alert.duration.total_seconds() if alert.duration is not None else None,
    }
