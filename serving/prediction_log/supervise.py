"""Keeps the shipper's process running, from the server's main process."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
import threading
from typing import TYPE_CHECKING

from serving.prediction_log.lookup import NAME

if TYPE_CHECKING:
    from pathlib import Path

    from serving.config import Config

AGAIN_SECONDS = 0.5
LAST_SECONDS = 15.0

logger = logging.getLogger(__name__)


class Supervisor:
    """Starts the shipper, again whenever it ends, and lets it ship the rest when the server stops."""

    def __init__(self, config: Config, sockets: Path) -> None:
        """``sockets``: the folder for the socket on which it answers look-ups."""
        self.address = sockets / NAME
        self._command = [
            sys.executable, "-m", "serving.prediction_log", "--project", config.project,
            "--spool", str(config.log_folder), "--lookup", str(self.address), "--parent", str(os.getpid()),
        ]  # fmt: skip
        self._stopping = threading.Event()
        self._process: subprocess.Popen[bytes] | None = None
        # Linux ties a child's life to the thread that started it: this one lives as long as the server.
        self._thread = threading.Thread(target=self._keep, name="shipper", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def _keep(self) -> None:
        while True:
            self._process = subprocess.Popen(self._command, stdin=subprocess.PIPE)
            if self._stopping.is_set():
                self._end()
            status = self._process.wait()
            if self._stopping.is_set() and status == 0:
                return
            logger.warning("the prediction log's shipper ended with %d; starting it again", status)
            self._stopping.wait(AGAIN_SECONDS)

    def stop(self) -> None:
        """Let it ship what the stopped server left, for a while."""
        if not self._thread.is_alive():
            return
        self._stopping.set()
        self._end()
        self._thread.join(LAST_SECONDS)

    def _end(self) -> None:
        if self._process is not None and self._process.stdin is not None:
            self._process.stdin.close()
