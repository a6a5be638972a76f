"""Child processes that never outlive their parent, however the parent ends."""

from __future__ import annotations

import ctypes
import os
import signal
import socket
import sys
import threading
import time

_PR_SET_PDEATHSIG = 1
_LOOK_SECONDS = 0.5


def die_with(parent: int) -> None:
    """End this process when the process ``parent``, which started it, ends, also by SIGKILL."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:
            os._exit(1)
        return
    threading.Thread(target=_watch, args=(parent,), name="lifeline", daemon=True).start()


def close_sockets_on(port: int) -> None:
    """Close this process's inherited copies of sockets that are bound to ``port``."""
    for number in [int(name) for name in os.listdir("/dev/fd")]:  # noqa: PTH208 - no paths, numbers
        try:
            with socket.socket(fileno=os.dup(number)) as copy:
                name = copy.getsockname()
        except OSError:
            continue  # no socket, or the one that listed the folder
        if isinstance(name, tuple) and name[1] == port:
            os.close(number)


def _watch(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(_LOOK_SECONDS)
    os._exit(1)
