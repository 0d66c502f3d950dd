"""A worker process of the pool: asks for nothing, takes one unit at a time, sends one message per shard.

It ends with its parent, also when that is killed: the kernel sends SIGKILL (Linux), and where it cannot, a
thread sees that the parent has changed.
"""

from __future__ import annotations

import ctypes
import os
import signal
import threading
import time
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from materialize.dataset import Dataset
from materialize.unit_rows import load_unit
from materialize.work import UnitWriter
from tol_db.db.engine import Database
from tol_db.errors import Interrupted, TolDbError

PR_SET_PDEATHSIG = 1
WORKER_SIGNALS = frozenset({signal.SIGINT, signal.SIGTERM, signal.SIGUSR1})
"""Signals that a worker is started with blocked, and unblocks when its handlers stand."""


@dataclass(frozen=True, slots=True)
class Order:
    """Write these shards of a unit, as this attempt."""

    unit: int
    shards: tuple[int, ...]
    token: str


@dataclass(frozen=True, slots=True)
class ShardDone:
    receipt: Path


@dataclass(frozen=True, slots=True)
class ImagesRead:
    number: int


@dataclass(frozen=True, slots=True)
class UnitEnded:
    """How a unit ended.

    Attributes:
        ending: ``done``, ``failed`` or ``interrupted``.
        message, hint: what went wrong.
        exit_code: of the error.
    """

    ending: str
    message: str = ""
    hint: str | None = None
    exit_code: int = 0


class _Stop:
    asked = False

    def __call__(self, *_signal: Any) -> None:
        self.asked = True


def main(pipe: Connection, database: Path, dataset: Dataset, parent: int) -> None:
    """Take orders from the pipe until it is closed."""
    stop = _Stop()
    # Ctrl-C reaches the whole group: the parent decides, and tells by SIGTERM
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGUSR1, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, stop)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, WORKER_SIGNALS)
    die_with(parent)
    try:
        while not stop.asked:
            order: Order = pipe.recv()
            pipe.send(_carry_out(order, pipe, database, dataset, stop))
    except (EOFError, BrokenPipeError, ConnectionResetError):
        return  # the parent is gone or wants no more


def _carry_out(order: Order, pipe: Connection, database: Path, dataset: Dataset, stop: _Stop) -> UnitEnded:
    try:
        with Database(database, readonly=True).read() as conn:
            task = load_unit(conn, dataset, order.unit, order.shards)
        UnitWriter(
            task,
            dataset.recipe,
            dataset.output_root,
            order.token,
            on_shard=lambda receipt: pipe.send(ShardDone(receipt)),
            on_images=lambda number: pipe.send(ImagesRead(number)),
            stopping=lambda: stop.asked,
        ).run()
    except Interrupted as err:
        return UnitEnded("interrupted", str(err), err.hint, err.exit_code)
    except TolDbError as err:
        return UnitEnded("failed", str(err), err.hint, err.exit_code)
    except Exception as err:  # noqa: BLE001  a fault of ours fails the unit, with its name, not the pool
        return UnitEnded("failed", f"internal error: {type(err).__name__}: {err}", None, 1)
    return UnitEnded("done")


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
