"""Who works on a dataset: one run at a time; the lease of a run that died can be taken over."""

from __future__ import annotations

import os
import secrets
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

import sqlalchemy as sa

from materialize import notes
from materialize.dataset import Dataset
from tol_db.db.bulk import changes, scalar, utc_now
from tol_db.db.engine import Database
from tol_db.db.holders import STALE_SECONDS, Holder, held
from tol_db.errors import LeaseHeld, TolDbError

__all__ = ["HEARTBEAT_SECONDS", "STALE_SECONDS", "Guard", "Holder", "Keeper", "here", "require_idle", "unguarded"]

HEARTBEAT_SECONDS = 30.0


Guard = Callable[[sa.Connection], None]
"""Called inside a write transaction; raises :class:`LeaseHeld` where the writer's lease is another's by now."""


def unguarded(_conn: sa.Connection) -> None:
    """For writers that hold no lease."""


def here() -> Holder:
    """This process, with a token of its own."""
    return Holder(secrets.token_hex(6), socket.gethostname(), os.getpid(), os.environ.get("SLURM_JOB_ID"))


def require_idle(conn: sa.Connection, dataset: Dataset) -> None:
    """Check that nobody works on a dataset, inside the transaction that is about to change it.

    The lease of a run that died is removed.

    Raises:
        LeaseHeld: a live run has it, or one that only leaves receipts is at work.
        OSError: the notes of such runs cannot be read.
    """
    notes.require_over(dataset.output_root, dataset.uuid, dataset.name)
    lease = held(conn, dataset.id)
    if lease is not None:
        if lease.is_alive():
            raise lease.error()
        changes(conn, "DELETE FROM lease WHERE dataset_id = ?", (dataset.id,))


class Keeper:
    """Takes a lease, shows signs of life now and then, gives it back."""

    def __init__(self, db: Database, dataset: Dataset, holder: Holder) -> None:
        self.db, self.dataset, self.holder = db, dataset, holder
        self._last = time.monotonic()

    def acquire(self) -> None:
        """Take the lease.

        Raises:
            LeaseHeld: a live run has it.
        """
        with self.db.write() as conn:
            lease = held(conn, self.dataset.id)
            if lease is not None and lease.is_alive():
                raise lease.error()
            now = utc_now()
            changes(
                conn,
                """INSERT INTO lease (dataset_id, token, host, pid, slurm_job_id, acquired_at, heartbeat_at)
                   VALUES (?, ?, ?, ?, ?, ?, ?)
                   ON CONFLICT (dataset_id) DO UPDATE SET token = excluded.token, host = excluded.host,
                       pid = excluded.pid, slurm_job_id = excluded.slurm_job_id,
                       acquired_at = excluded.acquired_at, heartbeat_at = excluded.heartbeat_at""",
                (
                    *(self.dataset.id, self.holder.token, self.holder.host, self.holder.pid),
                    *(self.holder.slurm_job_id, now, now),
                ),
            )

    def beat(self, *, now: bool = False) -> None:
        """Show a sign of life, where the last one is old enough or ``now`` is asked for.

        Raises:
            LeaseHeld: another run took the lease over.
        """
        if not now and time.monotonic() - self._last < HEARTBEAT_SECONDS:
            return
        with self.db.write() as conn:
            if not changes(
                conn,
                "UPDATE lease SET heartbeat_at = ? WHERE dataset_id = ? AND token = ?",
                (utc_now(), self.dataset.id, self.holder.token),
            ):
                raise self._taken_over()
        self._last = time.monotonic()

    def guard(self, conn: sa.Connection) -> None:
        """A :data:`Guard`: a run that was suspended for minutes must not write over the one that took over."""
        token = scalar(conn, "SELECT token FROM lease WHERE dataset_id = ?", (self.dataset.id,))
        if token != self.holder.token:
            raise self._taken_over()

    @contextmanager
    def released_at_the_end(self) -> Iterator[None]:
        """Give the lease back however the block ends; one that cannot be is taken over: this process is gone."""
        try:
            yield
        finally:
            with suppress(TolDbError):
                self.release()

    def _taken_over(self) -> LeaseHeld:
        return LeaseHeld(
            f"another run has taken over dataset {self.dataset.name!r}: this one was silent for too long",
            hint="wait for it, then run again",
        )

    def release(self) -> None:
        """Give the lease back; harmless when another run has it."""
        with self.db.write() as conn:
            changes(
                conn,
                "DELETE FROM lease WHERE dataset_id = ? AND token = ?",
                (self.dataset.id, self.holder.token),
            )
