"""How fast bytes may come, and how slow they may."""

from __future__ import annotations

import threading
import time

from tol_db.errors import TolDbError

SLOWEST = 1024.0
"""Bytes per second. A connection that drips below it for a whole timeout is dropped and opened again."""


class Pace:
    """A limit that all transfers of a run share.

    Args:
        rate: bytes per second, or None for none.
    """

    def __init__(self, rate: float | None) -> None:
        self.rate = rate
        self._lock = threading.Lock()
        self._free_at = time.monotonic()

    def delay(self, number: int) -> float:
        """Seconds to wait after ``number`` bytes came."""
        if self.rate is None:
            return 0.0
        with self._lock:
            now = time.monotonic()
            self._free_at = max(self._free_at, now) + number / self.rate
            return self._free_at - now


class TooSlow(TolDbError):
    """A connection that only drips: to be tried again, which counts as a failure whatever it brought."""


class Watch:
    """Notices a connection that is open and brings next to nothing.

    Args:
        window: seconds over which the rate is taken.
        slowest: bytes per second.
    """

    def __init__(self, window: float, slowest: float) -> None:
        self._window, self._slowest = window, slowest
        self._since = time.monotonic()
        self._bytes = 0

    def came(self, number: int) -> None:
        """Raises: TooSlow."""
        self._bytes += number
        elapsed = time.monotonic() - self._since
        if elapsed < self._window:
            return
        if self._bytes < self._slowest * elapsed:
            raise TooSlow(f"slower than {self._slowest:.0f} bytes a second")
        self._since, self._bytes = time.monotonic(), 0
