"""The model's process's end of the socket to the API process, and how the process ends."""

from __future__ import annotations

import logging
import os
import signal
import socket
import threading
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path

logger = logging.getLogger(__name__)


class Channel:
    """The socket to the API process. Sending is safe from several threads."""

    def __init__(self, address: Path) -> None:
        address.unlink(missing_ok=True)
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(address))
        self._listener.listen(1)
        self._lock = threading.Lock()
        self._peer: socket.socket | None = None
        self._stopping = False
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.signal(signal.SIGTERM, self._stop)

    def _stop(self, _number: int, _frame: Any) -> None:
        """Go once the API process has gone: it may be draining requests that this process must answer."""
        if self._peer is None:
            os._exit(0)
        self._stopping = True
        signal.signal(signal.SIGALRM, lambda *_: os._exit(0))
        signal.alarm(60)

    def accept(self, first: bytes) -> socket.socket:
        """The API process's next connection; ``first`` is sent on it at once."""
        if self._stopping:
            os._exit(0)
        peer, _ = self._listener.accept()
        with self._lock:
            self._peer = peer
            peer.sendall(first)
        return peer

    def send(self, data: bytes) -> None:
        """Send to the API process, if it is connected."""
        with self._lock:
            if self._peer is not None:
                try:
                    self._peer.sendall(data)
                except OSError:
                    logger.debug("the API process went away; it will ask again")

    def close(self) -> None:
        with self._lock:
            if self._peer is not None:
                self._peer.close()
            self._peer = None
        if self._stopping:
            os._exit(0)
