"""Watches the reaper, which has no ticks: by its heartbeat, which beats after each look that met no error."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING

from mlops_assets.alerts.alert import Alert
from mlops_assets.alerts.store import Over, Seen
from mlops_assets.execution.reaping import HEARTBEAT

if TYPE_CHECKING:
    from collections.abc import Iterator

    import dagster as dg

    from mlops_assets.alerts.sources import Context
    from mlops_assets.alerts.store import Observation

FINGERPRINT = "sensor/reaper:silent"


def of_reaper(
    instance: dg.DagsterInstance, context: Context, now: dt.datetime, awake: float, seconds: float
) -> Iterator[Observation]:
    """Whether it was silent for ``seconds``, all of them since we are ``awake``; nothing if there is none."""
    beat = instance.get_daemon_heartbeats().get(HEARTBEAT)
    if beat is None:
        return
    if now.timestamp() - max(beat.timestamp, awake) <= seconds:
        yield Over(FINGERPRINT, now)
        return
    last = dt.datetime.fromtimestamp(beat.timestamp, dt.UTC).isoformat(timespec="seconds")
    alert = Alert(
        fingerprint=FINGERPRINT,
        kind="sensor",
        severity="error",
        title="the reaper no longer does its work",
        since=now,
        group="default",
        seen=f"no look without an error since {last}: runs whose pods do not start go on waiting",
        allowed="it looks at Kubernetes and at Dagster's runs, and meets no error",
        remedy="kubectl logs deployment/reaper says what it met; see that it runs and that its role is bound",
        url=f"{context.url}/deployment/daemons",
    )
    yield Seen(alert)
