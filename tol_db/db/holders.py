"""Who holds a lease, and whether the process that said so is still alive.

The rule: a process of this host has to exist and must not have been started after the last sign of life (its
number would then be another one's by now); and the last sign of life is younger than ``STALE_SECONDS``,
wherever the process is. It uses only what the table ``lease`` has held since the first schema.
"""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import sqlalchemy as sa

from tol_db.db.bulk import query, scalar
from tol_db.errors import LeaseHeld

STALE_SECONDS = 300.0
"""A heartbeat older than this is that of a dead run, also where its process cannot be seen."""
START_MARGIN = 5.0
"""Seconds by which the start of a process and a time in the database may be off: ticks, rounding, small steps
of the clock."""

_HELD = """
SELECT d.name, l.token, l.host, l.pid, l.slurm_job_id, l.heartbeat_at
FROM lease l JOIN dataset d ON d.id = l.dataset_id"""


@dataclass(frozen=True, slots=True)
class Holder:
    """A process that holds a lease."""

    token: str
    host: str
    pid: int
    slurm_job_id: str | None


@dataclass(frozen=True, slots=True)
class Held:
    """A lease.

    Attributes:
        dataset: name of the dataset.
        holder: who has it.
        heartbeat_at: the last sign of life, as the database writes times.
    """

    dataset: str
    holder: Holder
    heartbeat_at: str

    def is_alive(self) -> bool:
        """Whether the holder may still be at work. This process itself is not: it would not ask."""
        heartbeat = _seconds(self.heartbeat_at)
        if self.holder.host == socket.gethostname():
            pid = self.holder.pid
            if pid == os.getpid() or not process_exists(pid):
                return False
            started = _started(pid)
            if started is not None and started > heartbeat + START_MARGIN:
                return False
        return time.time() - heartbeat < STALE_SECONDS

    def error(self) -> LeaseHeld:
        """What whoever must not work beside the holder is told."""
        holder = self.holder
        job = f", SLURM job {holder.slurm_job_id}" if holder.slurm_job_id else ""
        when = "at once" if holder.host == socket.gethostname() else f"after {STALE_SECONDS:.0f} s"
        return LeaseHeld(
            f"dataset {self.dataset!r} is being worked on by process {holder.pid} on {holder.host}{job} "
            f"(last sign of life {self.heartbeat_at})",
            hint=f"wait for it; a run that died is taken over {when}",
        )


def held(conn: sa.Connection, dataset: int) -> Held | None:
    """The lease of a dataset, of a living process or a dead one."""
    return next(_leases(conn, _HELD + " WHERE l.dataset_id = ?", (dataset,)), None)


def require_nobody(conn: sa.Connection) -> None:
    """Check that nobody works on any dataset, inside the transaction that is about to change the schema.

    Works at every schema revision, also on a database that has no table yet.

    Raises:
        LeaseHeld: a live run has a lease.
    """
    if not scalar(conn, "SELECT 1 FROM sqlite_schema WHERE type = 'table' AND name = 'lease'"):
        return
    for lease in _leases(conn, _HELD + " ORDER BY d.id"):
        if lease.is_alive():
            raise lease.error()


def process_exists(pid: int) -> bool:
    """Whether a process of this number runs on this host. A dead one that nobody has reaped yet does not."""
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:
        pass  # it is there, and another user's
    return _stat_fields(pid)[:1] not in ([b"Z"], [b"X"])


def _leases(conn: sa.Connection, sql: str, parameters: tuple[int, ...] = ()) -> Iterator[Held]:
    for name, token, host, pid, job, heartbeat_at in query(conn, sql, parameters):
        yield Held(name, Holder(token, host, pid, job), heartbeat_at)


def _seconds(timestamp: str) -> float:
    return datetime.fromisoformat(timestamp.replace("Z", "+00:00")).astimezone(UTC).timestamp()


def _started(pid: int) -> float | None:
    """When a process of this host was started, seconds since 1970; None where the kernel does not say (proc(5))."""
    try:
        ticks = int(_stat_fields(pid)[19])
        age = time.clock_gettime(time.CLOCK_BOOTTIME) - ticks / os.sysconf("SC_CLK_TCK")
    except (OSError, ValueError, IndexError, AttributeError):
        return None
    return time.time() - age if age >= 0 else None


def _stat_fields(pid: int) -> list[bytes]:
    """Fields of ``/proc/PID/stat`` behind the name in brackets, the state first; empty where it is not told."""
    try:
        return Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()
    except OSError:
        return []
