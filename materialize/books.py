"""Where a pool writes down what was tried and what is done: in the database, or in notes beside the receipts."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from pathlib import Path
from typing import Protocol, TypeVar

from materialize import ledger, notes
from materialize.dataset import Dataset
from materialize.lease import HEARTBEAT_SECONDS, Keeper
from materialize.ledger import Entry
from materialize.notes import Note
from materialize.receipt import Receipt, read_receipt
from materialize.shard import cannot_write
from tol_db.db.engine import Database
from tol_db.errors import Interrupted

log = logging.getLogger(__name__)

T = TypeVar("T")

LOCK_TRIES = 30
"""How often the parent asks for the write lock, a minute each, before it gives up; workers go on meanwhile."""


class Books(Protocol):
    """What a pool needs of whoever keeps its books."""

    def begin(self, unit: int, token: str, pid: int) -> None:
        """Process ``pid`` is about to try a work unit."""

    def enter(self, path: Path) -> tuple[Receipt, Entry]:
        """A shard has its final name, and a receipt at ``path``."""

    def end(self, token: str, ending: str, message: str | None) -> None:
        """A try ended: ``done``, ``failed`` or ``interrupted``."""

    def beat(self) -> None:
        """Called about once a second.

        Raises:
            LeaseHeld: another run took the dataset over.
        """


class LedgerBooks:
    """The database, whose only writer is this process.

    Raises (all methods):
        CannotWrite: the database takes no more.
        Interrupted: the write lock was not to be had for half an hour.
    """

    def __init__(self, db: Database, dataset: Dataset, keeper: Keeper, hurried: Callable[[], bool]) -> None:
        self.db, self.dataset, self.keeper, self.hurried = db, dataset, keeper, hurried

    def begin(self, unit: int, token: str, pid: int) -> None:
        holder = self.keeper.holder
        self._patiently(
            lambda: ledger.begin_attempt(self.db, self.dataset, unit, token, holder.host, pid, holder.slurm_job_id)
        )

    def enter(self, path: Path) -> tuple[Receipt, Entry]:
        receipt = _read(path)
        return receipt, self._patiently(lambda: ledger.commit(self.db, self.dataset, receipt, self.keeper.guard))

    def end(self, token: str, ending: str, message: str | None) -> None:
        self._patiently(lambda: ledger.end_attempt(self.db, token, ending, message))

    def beat(self) -> None:
        self._patiently(self.keeper.beat)

    def _patiently(self, write: Callable[[], T]) -> T:
        """Write although another command holds the lock for minutes."""
        for tries in range(LOCK_TRIES):
            try:
                return write()
            except Interrupted as err:
                if type(err) is not Interrupted or tries + 1 == LOCK_TRIES or self.hurried():
                    raise
                log.warning("%s; trying again", err)
        raise AssertionError("unreachable")


class NoteBooks:
    """Notes under the output root; nothing is written to a database.

    Raises (``begin`` and ``end``):
        CannotWrite
    """

    def __init__(self, dataset: Dataset) -> None:
        self.dataset = dataset
        self._open: dict[str, Note] = {}
        self._last = time.monotonic()

    def begin(self, unit: int, token: str, pid: int) -> None:
        note = notes.new_note(self.dataset.uuid, unit, token, pid)
        notes.write_note(self.dataset.output_root, note)
        self._open[token] = note

    def enter(self, path: Path) -> tuple[Receipt, Entry]:
        return _read(path), Entry.COMMITTED

    def end(self, token: str, ending: str, message: str | None) -> None:
        note = self._open.pop(token, None)
        if note is not None:
            notes.write_note(self.dataset.output_root, note.ended(ending, message))

    def beat(self) -> None:
        if time.monotonic() - self._last >= HEARTBEAT_SECONDS:
            self._last = time.monotonic()
            for token in self._open:
                notes.touch(self.dataset.output_root, token)


def _read(path: Path) -> Receipt:
    try:
        return read_receipt(path)
    except OSError as err:
        raise cannot_write(path, err) from err
