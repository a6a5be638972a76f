"""E-mail over SMTP."""

from __future__ import annotations

import hashlib
import smtplib
import ssl
from dataclasses import dataclass
from email.message import EmailMessage
from typing import TYPE_CHECKING

from mlops_assets.alerts.channels.protocol import DeliveryError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mlops_assets.alerts.alert import Alert


@dataclass(frozen=True)
class Server:
    """An SMTP server. Without ``user`` nobody logs in; a password is never sent over a bare line."""

    host: str
    port: int = 587
    user: str = ""
    password: str = ""
    starttls: bool = True
    seconds: float = 10.0
    context: ssl.SSLContext | None = None


class EmailChannel:
    """One e-mail to ``to`` for each message. Those about one alert are a thread."""

    refresh_seconds: float | None = None

    def __init__(self, server: Server, sender: str, to: Sequence[str]) -> None:
        if server.user and not server.starttls:
            raise ValueError(
                "the SMTP password would be sent in clear. Remedy: set MLOPS_ALERT_SMTP_STARTTLS=true, "
                "or leave MLOPS_ALERT_SMTP_USER empty"
            )
        self._server, self._sender = server, sender
        self._to = [address.strip() for address in to if address.strip()]

    def send(self, alert: Alert) -> None:
        """Raises ``DeliveryError`` unless the server takes it for all receivers."""
        server = self._server
        try:
            with smtplib.SMTP(server.host, server.port, timeout=server.seconds) as client:
                if server.starttls:
                    client.starttls(context=server.context or ssl.create_default_context())
                if server.user:
                    client.login(server.user, server.password)
                refused = client.send_message(self._message(alert))
        except (smtplib.SMTPException, OSError) as error:
            raise _error(error) from error
        if refused:
            raise DeliveryError(f"the SMTP server refused {', '.join(refused)}", final=True)

    def _message(self, alert: Alert) -> EmailMessage:
        message = EmailMessage()
        message["Subject"] = " ".join(alert.headline.split())[:200]
        message["From"] = self._sender
        message["To"] = ", ".join(self._to)
        message["Message-ID"] = _message_id(alert.key or alert.fingerprint)
        thread = _message_id(f"{alert.fingerprint}@{alert.since.isoformat()}")
        message["In-Reply-To"] = message["References"] = thread
        message["Auto-Submitted"] = "auto-generated"
        message.set_content(alert.text)
        return message


def _message_id(text: str) -> str:
    """The same for the same message, so that a mail program drops what was sent twice."""
    return f"<{hashlib.sha256(text.encode()).hexdigest()[:32]}@mlops-alerts>"


def _error(error: Exception) -> DeliveryError:
    """A 4xx of SMTP means later, a 5xx never."""
    codes = [error.smtp_code] if isinstance(error, smtplib.SMTPResponseException) else []
    if isinstance(error, smtplib.SMTPRecipientsRefused):
        codes = [code for code, _ in error.recipients.values()]
    final = bool(codes) and all(code >= 500 for code in codes)
    final = final or isinstance(error, (ssl.SSLCertVerificationError, smtplib.SMTPNotSupportedError))
    told = f" {codes[0]}" if codes else ""
    return DeliveryError(f"the SMTP server did not take it: {type(error).__name__}{told}", final=final)
