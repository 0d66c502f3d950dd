"""Who works on a dataset: one run at a time; the lease of a run that died can be taken over."""

from __future__ import annotations

import os
import secrets
import socket
from dataclasses import dataclass
from datetime import UTC, datetime

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


def acquire(db: Database, dataset: Dataset, holder: Holder) -> None:
    """Take the lease.

    Raises:
        LeaseHeld: a live run has it.
    """
    with db.write() as conn:
        row = next(
            query(
                conn,
                "SELECT token, host, pid, slurm_job_id, heartbeat_at FROM lease WHERE dataset_id = ?",
                (dataset.id,),
            ),
            None,
        )
        if row is not None and _is_alive(Holder(*row[:4]), row[4]):
            job = f", SLURM job {row[3]}" if row[3] else ""
            raise LeaseHeld(
                f"dataset {dataset.name!r} is being worked on by process {row[2]} on {row[1]}{job} "
                f"(last sign of life {row[4]})",
                hint="wait for it; a run that died is taken over "
                f"{'at once' if row[1] == socket.gethostname() else f'after {STALE_SECONDS:.0f} s'}",
            )
        now = utc_now()
        changes(
            conn,
            """INSERT INTO lease (dataset_id, token, host, pid, slurm_job_id, acquired_at, heartbeat_at)
               VALUES (?, ?, ?, ?, ?, ?, ?)
               ON CONFLICT (dataset_id) DO UPDATE SET token = excluded.token, host = excluded.host,
                   pid = excluded.pid, slurm_job_id = excluded.slurm_job_id,
                   acquired_at = excluded.acquired_at, heartbeat_at = excluded.heartbeat_at""",
            (dataset.id, holder.token, holder.host, holder.pid, holder.slurm_job_id, now, now),
        )


def beat(db: Database, dataset: Dataset, holder: Holder) -> None:
    """Show a sign of life.

    Raises:
        LeaseHeld: another run took the lease over.
    """
    with db.write() as conn:
        if not changes(
            conn,
            "UPDATE lease SET heartbeat_at = ? WHERE dataset_id = ? AND token = ?",
            (utc_now(), dataset.id, holder.token),
        ):
            raise LeaseHeld(
                f"another run has taken over dataset {dataset.name!r}: this one was silent for too long",
                hint="wait for it, then run again",
            )


def release(db: Database, dataset: Dataset, holder: Holder) -> None:
    """Give the lease back; harmless when another run has it."""
    with db.write() as conn:
        changes(conn, "DELETE FROM lease WHERE dataset_id = ? AND token = ?", (dataset.id, holder.token))


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
