"""How a run is asked to stop: by a signal, once; the second one ends it at once."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from tol_db.errors import Interrupted

HANDLED = (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1)
"""SIGUSR1 is what SLURM is told to send before the time limit (``sbatch --signal=B:USR1@120``)."""


class Stop:
    """Set by the first signal.

    Attributes:
        number: of the signal, or None while none came.
    """

    def __init__(self) -> None:
        self.number: int | None = None

    def __call__(self, number: int, _frame: FrameType | None) -> None:
        if self.number is not None:
            os._exit(Interrupted.exit_code)
        self.number = number

    @property
    def asked(self) -> bool:
        return self.number is not None

    def check(self) -> None:
        """Raises: Interrupted, when a signal came."""
        if self.number is not None:
            raise Interrupted(
                f"stopped by {signal.Signals(self.number).name}", hint="run the same command again to go on"
            )


@contextmanager
def stop_signals() -> Iterator[Stop]:
    """Within, SIGINT, SIGTERM and SIGUSR1 only set the flag."""
    stop = Stop()
    before = [signal.signal(number, stop) for number in HANDLED]
    try:
        yield stop
    finally:
        for number, handler in zip(HANDLED, before, strict=True):
            signal.signal(number, handler)
