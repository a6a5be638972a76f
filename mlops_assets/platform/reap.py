"""``mlops reap``: one look of the reaper, or one every few seconds."""

from __future__ import annotations

import logging
import signal
import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from mlops_assets.execution.reaper import Reaper
    from mlops_assets.settings import Settings

    Say = Callable[[str], None]

LOGGER = logging.getLogger("mlops.reaper")


def alive(settings: Settings) -> Path:
    """A file that is written after each look: its age says whether somebody looks at all."""
    return settings.state / "reaper.alive"


def fine(settings: Settings) -> Path:
    """A file that is written after each look that met no error, as the heartbeat in the database is."""
    return settings.state / "reaper.fine"


def reap(settings: Settings, say: Say, *, watch: bool) -> bool:
    """Look, and with ``watch`` go on until SIGTERM or SIGINT; whether the last look met no error.

    Raises ``execution.reaper.NoKubernetesError`` where runs are not launched on Kubernetes.
    """
    from mlops_assets.execution.reaper import build_reaper, cluster_instance

    with cluster_instance() as instance:
        reaper = build_reaper(instance, settings)
        if not watch:
            return _look(reaper, settings, say)
        ended = threading.Event()
        for name in (signal.SIGTERM, signal.SIGINT):
            signal.signal(name, lambda *_: ended.set())
        well = True
        while not ended.is_set():
            well = _look(reaper, settings, say)
            ended.wait(settings.kubernetes_reap_seconds)
        return well


def _look(reaper: Reaper, settings: Settings, say: Say) -> bool:
    try:
        report = reaper.look()
    except Exception:
        # Kubernetes or the database is away: the next look finds the same, or more.
        LOGGER.exception("the reaper cannot look; it needs Kubernetes and the database")
        errors = ["could not look"]
    else:
        errors = report.errors
        for line in (*report.done, *errors):
            say(line)
        if report.left:
            say(f"{report.left} more to do at the next look")
    settings.state.mkdir(parents=True, exist_ok=True)
    alive(settings).touch()
    if not errors:
        fine(settings).touch()
    return not errors
