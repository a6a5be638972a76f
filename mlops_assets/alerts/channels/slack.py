"""Slack, through dagster-slack's client."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mlops_assets.alerts.channels.http import retry_after
from mlops_assets.alerts.channels.protocol import DeliveryError

if TYPE_CHECKING:
    from mlops_assets.alerts.alert import Alert

_TRY_AGAIN = {"ratelimited", "rate_limited", "internal_error", "fatal_error", "service_unavailable"}
_OUTAGES = (OSError, TimeoutError)
_SECTION = 2900  # Slack takes 3,000 characters in a section


class SlackChannel:
    """Posts each message to one Slack channel by ``chat.postMessage``."""

    refresh_seconds: float | None = None

    def __init__(
        self, token: str, channel: str, base_url: str = "https://slack.com/api/", seconds: float = 10.0
    ) -> None:
        self._token, self._channel, self._base_url, self._seconds = token, channel, base_url, seconds

    def send(self, alert: Alert) -> None:
        """Raises ``DeliveryError`` unless Slack says ok."""
        from slack_sdk.errors import SlackApiError, SlackClientError

        try:
            self._client().chat_postMessage(
                channel=self._channel,
                text=_escape(alert.headline),
                blocks=_blocks(alert),
                metadata={"event_type": "mlops_alert", "event_payload": {"key": alert.key}},
                unfurl_links=False,
            )
        except SlackApiError as error:
            raise _refused(error.response) from error
        except (SlackClientError, *_OUTAGES) as error:
            raise DeliveryError(f"Slack did not answer: {type(error).__name__}") from error

    def _client(self) -> Any:
        from dagster_slack import SlackResource

        client = SlackResource(token=self._token).get_client()
        # dagster-slack has no options for these; its client is made anew for each message.
        client.base_url = self._base_url.rstrip("/") + "/"
        client.timeout = max(1, round(self._seconds))
        client.retry_handlers = []  # trying again is decided by the delivery, which remembers
        return client


def _refused(answer: Any) -> DeliveryError:
    status = int(getattr(answer, "status_code", 0) or 0)
    # Where Slack answers with something else than JSON, the client hands the text over.
    data = getattr(answer, "data", None)
    reason = str(data.get("error", "")) if isinstance(data, dict) else ""
    headers = {name.lower(): value for name, value in (getattr(answer, "headers", None) or {}).items()}
    again = status == 429 or status >= 500 or reason in _TRY_AGAIN
    return DeliveryError(
        f"Slack answered {status} {reason}".strip(),
        retry_after=retry_after(headers.get("retry-after")),
        final=not again,
    )


def _blocks(alert: Alert) -> list[dict[str, Any]]:
    lines = [f"*{label}:* {_escape(text)}" for label, text in alert.facts.items() if label != "Dagster"]
    if alert.url:
        lines.append(f"<{alert.url}|Open in Dagster>")
    mark = "✅" if alert.resolved_at else ("🔴" if alert.severity == "error" else "🟠")
    return [
        {
            "type": "section",
            "text": {"type": "mrkdwn", "text": f"{mark} *{_escape(alert.headline)}*"[:_SECTION]},
        },
        {"type": "section", "text": {"type": "mrkdwn", "text": "\n".join(lines)[:_SECTION]}},
    ]


def _escape(text: str) -> str:
    """As Slack wants its three special characters: nothing in an alert mentions or links anybody."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
