"""Who works on a dataset: one run at a time; the lease of a run that died can be taken over."""

from __future__ import annotations

import os
import secrets
import socket
import time
from dataclasses import dataclass
from datetime import UTC, datetime

import sqlalchemy as sa

from materialize.dataset import Dataset
from tol_db.db.bulk import changes, query, utc_now
from tol_db.db.engine import Database
from tol_db.errors import LeaseHeld

STALE_SECONDS = 300.0
"""A heartbeat older than this is that of a dead run, also where its process cannot be seen."""
HEARTBEAT_SECONDS = 30.0


@dataclass(frozen=True, slots=True)
class Holder:
    """A process that holds a lease."""

    token: str
    host: str
    pid: int
    slurm_job_id: str | None


def here() -> Holder:
    """This process, with a token of its own."""
    return Holder(secrets.token_hex(6), socket.gethostname(), os.getpid(), os.environ.get("SLURM_JOB_ID"))


def require_idle(conn: sa.Connection, dataset: Dataset) -> None:
    """Check that nobody works on a dataset, inside the transaction that is about to change it.

    The lease of a run that died is removed.

    Raises:
        LeaseHeld: a live run has it.
    """
    held = _held(conn, dataset)
    if held is not None:
        if _is_alive(*held):
            raise _is_held(dataset, *held)
        changes(conn, "DELETE FROM lease WHERE dataset_id = ?", (dataset.id,))


def _held(conn: sa.Connection, dataset: Dataset) -> tuple[Holder, str] | None:
    """Who has the lease, and the last sign of life."""
    sql = "SELECT token, host, pid, slurm_job_id, heartbeat_at FROM lease WHERE dataset_id = ?"
    row = next(query(conn, sql, (dataset.id,)), None)
    return (Holder(*row[:4]), row[4]) if row else None


def _is_held(dataset: Dataset, holder: Holder, heartbeat_at: str) -> LeaseHeld:
    job = f", SLURM job {holder.slurm_job_id}" if holder.slurm_job_id else ""
    when = "at once" if holder.host == socket.gethostname() else f"after {STALE_SECONDS:.0f} s"
    return LeaseHeld(
        f"dataset {dataset.name!r} is being worked on by process {holder.pid} on {holder.host}{job} "
        f"(last sign of life {heartbeat_at})",
        hint=f"wait for it; a run that died is taken over {when}",
    )


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
            held = _held(conn, self.dataset)
            if held is not None and _is_alive(*held):
                raise _is_held(self.dataset, *held)
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
                raise LeaseHeld(
                    f"another run has taken over dataset {self.dataset.name!r}: this one was silent for too long",
                    hint="wait for it, then run again",
                )
        self._last = time.monotonic()

    def release(self) -> None:
        """Give the lease back; harmless when another run has it."""
        with self.db.write() as conn:
            changes(
                conn,
                "DELETE FROM lease WHERE dataset_id = ? AND token = ?",
                (self.dataset.id, self.holder.token),
            )


def _is_alive(holder: Holder, heartbeat_at: str) -> bool:
    if holder.host == socket.gethostname() and (holder.pid == os.getpid() or not _process_exists(holder.pid)):
        return False
    # of this host too: the number of a dead process may be another one's by now
    then = datetime.fromisoformat(heartbeat_at.replace("Z", "+00:00"))
    return (datetime.now(UTC) - then).total_seconds() < STALE_SECONDS


def _process_exists(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
