"""A process that checks shards, one at a time: it takes a shard's id, and answers with what it found."""

from __future__ import annotations

import signal
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path

from materialize.child import WORKER_SIGNALS, die_with
from materialize.dataset import Dataset
from materialize.verify.rows import load_expected
from materialize.verify.shard import Checked, Level, check_shard
from tol_db.db.engine import Database
from tol_db.errors import TolDbError


@dataclass(frozen=True, slots=True)
class Unreadable:
    """The storage failed while a shard was read: nothing is known of it."""

    why: str


@dataclass(frozen=True, slots=True)
class CannotCheck:
    """The check itself failed: the database, memory, a fault of ours."""

    message: str
    hint: str | None
    exit_code: int


@dataclass(frozen=True, slots=True)
class Ready:
    """The process has begun: what it dies of from here on may have to do with a shard."""


Answer = Checked | Unreadable | CannotCheck


def main(pipe: Connection, database: Path, dataset: Dataset, level: Level, parent: int) -> None:
    """Take ids of shards from the pipe until it is closed."""
    # signals reach the whole group: the parent decides, and kills; there is nothing here to be dropped
    for number in WORKER_SIGNALS:
        signal.signal(number, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, WORKER_SIGNALS)
    die_with(parent)
    try:
        pipe.send(Ready())
        while True:
            shard: int = pipe.recv()
            pipe.send(_check(shard, database, dataset, level))
    except (EOFError, BrokenPipeError, ConnectionResetError):
        return  # the parent is gone or wants no more


def _check(shard: int, database: Path, dataset: Dataset, level: Level) -> Answer:
    try:
        with Database(database, readonly=True).read() as conn:
            expected = load_expected(conn, dataset, shard, level)
    except TolDbError as err:
        return CannotCheck(str(err), err.hint, err.exit_code)
    try:
        return check_shard(expected, level)
    except OSError as err:
        return Unreadable(err.strerror or str(err))
    except MemoryError:
        return CannotCheck("the machine is out of memory", "use fewer --workers, or ask for more memory", 1)
    except Exception as err:  # noqa: BLE001  a fault of ours is told with its name, and judges no shard
        return CannotCheck(f"internal error: {type(err).__name__}: {err}", None, 1)
