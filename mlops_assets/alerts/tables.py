"""The tables of alerts, in the platform's schema."""

from __future__ import annotations

from typing import TYPE_CHECKING

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import JSONB

from mlops_assets.resources.tables import engine_for, metadata

if TYPE_CHECKING:
    from datetime import datetime

__all__ = ["alerts", "channels", "cursors", "engine_for", "messages"]


def _moment(name: str, *, nullable: bool = False) -> sa.Column[datetime]:
    return sa.Column(name, sa.DateTime(timezone=True), nullable=nullable)


alerts = sa.Table(
    "alerts",
    metadata,
    sa.Column("id", sa.BigInteger, sa.Identity(), primary_key=True),
    sa.Column("fingerprint", sa.Text, nullable=False),
    sa.Column("kind", sa.Text, nullable=False),
    sa.Column("severity", sa.Text, nullable=False),
    sa.Column("state", sa.Text, nullable=False),
    _moment("first_seen"),
    _moment("last_seen"),
    _moment("resolved_at", nullable=True),
    _moment("reminded_at"),
    sa.Column("reminders", sa.Integer, nullable=False, server_default="0"),
    sa.Column("times_seen", sa.BigInteger, nullable=False, server_default="1"),
    sa.Column("last_event", sa.BigInteger, nullable=False, server_default="0"),
    sa.Column("waits_for", JSONB, nullable=False, server_default="[]"),
    sa.Column("payload", JSONB, nullable=False),
)
"""A row is one problem from its beginning to its end; the same problem later is another row.

``last_event`` is the newest event of Dagster's log that the row tells of: older ones are no news.
``waits_for``: assets or partitions that have to be good again before the alert is over.
"""

sa.Index("alerts_firing", alerts.c.fingerprint, unique=True, postgresql_where=sa.text("state = 'firing'"))
sa.Index("alerts_history", alerts.c.fingerprint, alerts.c.last_event)

messages = sa.Table(
    "alert_messages",
    metadata,
    sa.Column("id", sa.BigInteger, sa.Identity(), primary_key=True),
    sa.Column("key", sa.Text, nullable=False, unique=True),
    sa.Column("alert_id", sa.BigInteger, sa.ForeignKey(alerts.c.id), nullable=False, index=True),
    sa.Column("route", sa.Text, nullable=False),
    sa.Column("notice", sa.Text, nullable=False),
    sa.Column("payload", JSONB, nullable=False),
    sa.Column("channels", JSONB, nullable=False),
    sa.Column("place", sa.Integer, nullable=False, server_default="0"),
    sa.Column("channel", sa.Text, nullable=False),
    sa.Column("state", sa.Text, nullable=False, server_default="pending"),
    sa.Column("attempts", sa.Integer, nullable=False, server_default="0"),
    sa.Column("rounds", sa.Integer, nullable=False, server_default="0"),
    sa.Column("error", sa.Text),
    _moment("created_at"),
    _moment("next_try", nullable=True),
    _moment("sent_at", nullable=True),
)
"""A row is one message on one route. ``channel`` is ``channels[place]``, the one to try next.

``pending`` until a channel has taken it (``sent``). ``rounds`` counts how often all channels failed.
A sent message with a ``next_try`` is to be sent again then, as long as its alert lasts.
"""

sa.Index("alert_messages_due", messages.c.next_try, postgresql_where=sa.text("next_try IS NOT NULL"))

channels = sa.Table(
    "alert_channels",
    metadata,
    sa.Column("name", sa.Text, primary_key=True),
    sa.Column("failures", sa.Integer, nullable=False, server_default="0"),
    sa.Column("sent_total", sa.BigInteger, nullable=False, server_default="0"),
    sa.Column("failed_total", sa.BigInteger, nullable=False, server_default="0"),
    sa.Column("error", sa.Text),
    _moment("down_since", nullable=True),
    _moment("wait_until", nullable=True),
)
"""How each channel fares: ``failures`` since the last success; nothing is sent before ``wait_until``."""

cursors = sa.Table(
    "alert_cursors",
    metadata,
    sa.Column("source", sa.Text, primary_key=True),
    sa.Column("position", JSONB, nullable=False),
)
"""How far each source was read. Moved in the transaction that records what was read."""
