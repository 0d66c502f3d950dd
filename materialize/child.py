"""What a process needs that works for another one: its parent's signals held back, and no life beyond it."""

from __future__ import annotations

import ctypes
import os
import signal
import threading
import time
from contextlib import suppress

PR_SET_PDEATHSIG = 1
WORKER_SIGNALS = frozenset({signal.SIGINT, signal.SIGTERM, signal.SIGUSR1})
"""Signals that a worker is started with blocked, and unblocks when its handlers stand."""


def die_with(parent: int) -> None:
    """Make sure that this process does not outlive its parent."""
    with suppress(OSError, AttributeError):  # not Linux: the thread below does it
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(75)  # it died before we asked

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(1)
        os._exit(75)

    threading.Thread(target=watch, daemon=True, name="watch-parent").start()
