"""A worker process of the pool: asks for nothing, takes one unit at a time, sends one message per shard.

It ends with its parent, also when that is killed: the kernel sends SIGKILL (Linux), and where it cannot, a
thread sees that the parent has changed.
"""

from __future__ import annotations

import signal
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from materialize.child import WORKER_SIGNALS, die_with
from materialize.dataset import Dataset
from materialize.slot import Slot
from materialize.unit import UnitTask
from materialize.unit_rows import load_unit
from materialize.work import UnitWriter, Verdict, try_alone
from tol_db.db.engine import Database
from tol_db.errors import Interrupted, TolDbError


@dataclass(frozen=True, slots=True)
class Order:
    """Write these shards of a unit, as this attempt.

    Attributes:
        verdicts: (key, verdict) of images that the decoder does not survive.
    """

    unit: int
    shards: tuple[int, ...]
    token: str
    verdicts: tuple[tuple[str, Verdict], ...] = ()


@dataclass(frozen=True, slots=True)
class Trial:
    """Decode one image of these shards of a unit, and write nothing: an earlier worker died with it."""

    unit: int
    shards: tuple[int, ...]
    key: str
    is_solo: bool = False


@dataclass(frozen=True, slots=True)
class Ready:
    """The worker has begun: what it dies of from here on may have to do with its work."""


@dataclass(frozen=True, slots=True)
class Survived:
    """The end of a trial."""


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


def main(pipe: Connection, database: Path, dataset: Dataset, parent: int, slot: Slot) -> None:
    """Take orders from the pipe until it is closed."""
    stop = _Stop()
    # Ctrl-C reaches the whole group: the parent decides, and tells by SIGTERM
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGUSR1, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, stop)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, WORKER_SIGNALS)
    die_with(parent)
    try:
        pipe.send(Ready())
        while not stop.asked:
            order: Order | Trial = pipe.recv()
            pipe.send(_carry_out(order, pipe, database, dataset, slot, stop))
    except (EOFError, BrokenPipeError, ConnectionResetError):
        return  # the parent is gone or wants no more


def _carry_out(
    order: Order | Trial, pipe: Connection, database: Path, dataset: Dataset, slot: Slot, stop: _Stop
) -> UnitEnded | Survived:
    try:
        with Database(database, readonly=True).read() as conn:
            task = load_unit(conn, dataset, order.unit, order.shards)
        if isinstance(order, Trial):
            try_alone(task, order.key, dataset.recipe, slot)
            return Survived()
        _write(order, task, pipe, dataset, slot, stop)
    except Interrupted as err:
        return UnitEnded("interrupted", str(err), err.hint, err.exit_code)
    except TolDbError as err:
        return UnitEnded("failed", str(err), err.hint, err.exit_code)
    except MemoryError:
        return UnitEnded("failed", "the machine is out of memory", "use fewer --workers, or ask for more memory", 1)
    except Exception as err:  # noqa: BLE001  a fault of ours fails the unit, with its name, not the pool
        return UnitEnded("failed", f"internal error: {type(err).__name__}: {err}", None, 1)
    return UnitEnded("done")


def _write(order: Order, task: UnitTask, pipe: Connection, dataset: Dataset, slot: Slot, stop: _Stop) -> None:
    UnitWriter(
        task,
        dataset.recipe,
        dataset.output_root,
        order.token,
        watch=slot,
        verdicts=dict(order.verdicts),
        on_shard=lambda receipt: pipe.send(ShardDone(receipt)),
        on_images=lambda number: pipe.send(ImagesRead(number)),
        stopping=lambda: stop.asked,
    ).run()
