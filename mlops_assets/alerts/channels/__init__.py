"""The channels: one file each. A new one is a file here and a line in ``from_settings``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mlops_assets.alerts.channels.log import LogChannel

if TYPE_CHECKING:
    from mlops_assets.alerts.channels.protocol import Channel
    from mlops_assets.settings import Settings

NAMES = frozenset({"log", "webhook", "slack", "alertmanager", "email"})
"""All channels that a route can name."""


def from_settings(settings: Settings) -> dict[str, Channel]:
    """The channels that ``settings`` has an address for, by name; the log always is one."""
    made: dict[str, Channel] = {"log": LogChannel()}
    seconds = settings.alert_timeout_seconds
    if settings.alert_webhook_url and settings.alert_webhook_secret:
        from mlops_assets.alerts.channels.webhook import WebhookChannel

        url, secret = (settings.alert_webhook_url, settings.alert_webhook_secret)
        made["webhook"] = WebhookChannel(url.get_secret_value(), secret.get_secret_value(), seconds)
    if settings.alert_slack_token and settings.alert_slack_channel:
        from mlops_assets.alerts.channels.slack import SlackChannel

        token, place = settings.alert_slack_token.get_secret_value(), settings.alert_slack_channel
        made["slack"] = SlackChannel(token, place, settings.alert_slack_url, seconds)
    if settings.alert_alertmanager_url:
        from mlops_assets.alerts.channels.alertmanager import AlertmanagerChannel

        made["alertmanager"] = AlertmanagerChannel(settings.alert_alertmanager_url, seconds)
    if settings.alert_smtp_host and settings.alert_email_from and settings.alert_email_to:
        from mlops_assets.alerts.channels.email import EmailChannel, Server

        server = Server(
            settings.alert_smtp_host,
            settings.alert_smtp_port,
            settings.alert_smtp_user or "",
            settings.alert_smtp_password.get_secret_value() if settings.alert_smtp_password else "",
            settings.alert_smtp_starttls,
            seconds,
        )
        made["email"] = EmailChannel(server, settings.alert_email_from, settings.alert_email_to.split(","))
    return made
