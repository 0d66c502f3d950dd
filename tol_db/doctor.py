"""Examines a database: the file, its schema, and every invariant. Nothing is changed."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from functools import partial
from pathlib import Path

import sqlalchemy as sa

from materialize.lease import STALE_SECONDS
from tol_db import progress
from tol_db.audit.runner import Audit, find, load, run
from tol_db.db.base import REVISIONS, Outcome
from tol_db.db.bulk import query, scalar
from tol_db.db.engine import MIN_SQLITE, Database, revision_of, schema_error
from tol_db.db.filesystem import filesystem_of
from tol_db.errors import NotADatabase

FIRST_ROWS = 5
"""Rows of a fault that are shown."""
REPAIR = "restore the last `tol-db backup`"
REPORT = "`tol-db report audit {}` lists the rows"


class Verdict(StrEnum):
    OK = "ok"
    INFO = "info"
    WARNING = "warning"
    BROKEN = "broken"


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that was looked at.

    Attributes:
        name: of the check; of an invariant, that of its audit.
        verdict: only ``broken`` is a fault.
        detail: what was found.
        hint: what to do, or None.
        rows: the first few rows of a fault, as text.
    """

    name: str
    verdict: Verdict
    detail: str
    hint: str | None = None
    rows: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """All checks of a database, in the order in which they were made."""

    path: str
    checks: tuple[Check, ...]

    @property
    def broken(self) -> tuple[Check, ...]:
        return tuple(check for check in self.checks if check.verdict is Verdict.BROKEN)


Step = Callable[[sa.Connection], Check]


def examine(path: Path, *, mountinfo: Path = Path("/proc/self/mountinfo")) -> Diagnosis:
    """Look at everything that can be told from the database alone.

    Nothing is changed; what a crash left half done SQLite itself undoes when it opens the file. An older
    schema is reported, and what needs the newest is left out.

    Args:
        path: the database.
        mountinfo: the mount table (proc(5)).

    Raises:
        InputMissing: there is no such file.
        NotADatabase: it is not SQLite, not ours, or too damaged to tell.
        SchemaError: its schema is newer or unknown.
    """
    found = revision_of(path)
    if found not in REVISIONS:
        raise schema_error(path, found)
    steps: list[tuple[str, Step]] = [
        ("sqlite", _sqlite),
        ("schema", partial(_schema, path, found)),
        ("journal", partial(_journal, path, mountinfo)),
        ("integrity_check", _integrity),
        ("foreign_key_check", _foreign_keys),
    ]
    if found == REVISIONS[-1]:
        steps.append(("outcomes", _outcomes))
        steps += [(audit.name, partial(_invariant, audit)) for audit in load() if audit.invariant]
        steps.append(("leases", _leases))
        steps += [(name, partial(_tally, name)) for name in _TALLIES]
    database = Database(path, readonly=True)
    checks: list[Check] = []
    with progress.track("examining", len(steps), "checks") as tracker:
        for name, step in steps:
            checks.append(_made(database, name, step))
            tracker.advance()
    return Diagnosis(str(path), tuple(checks))


def _made(database: Database, name: str, step: Step) -> Check:
    """A check in a transaction of its own, so that none is held for minutes; damage ends only that check."""
    try:
        with database.read() as conn:
            return step(conn)
    except (NotADatabase, sqlite3.DatabaseError, sa.exc.DatabaseError) as err:
        return Check(name, Verdict.BROKEN, f"could not be made: {err}", REPAIR)


# ------------------------------------------------------------------ the file


def _sqlite(_conn: sa.Connection) -> Check:
    needed = ".".join(map(str, MIN_SQLITE[:2]))
    return Check("sqlite", Verdict.OK, f"SQLite {sqlite3.sqlite_version} ({needed} or newer is needed)")


def _schema(path: Path, found: str, _conn: sa.Connection) -> Check:
    if found == REVISIONS[-1]:
        return Check("schema", Verdict.OK, f"revision {found}")
    error = schema_error(path, found)
    return Check(
        "schema",
        Verdict.BROKEN,
        f"revision {found} is older than {REVISIONS[-1]}; no invariant was looked at",
        error.hint,
    )


def _journal(path: Path, mountinfo: Path, conn: sa.Connection) -> Check:
    mode = str(conn.exec_driver_sql("PRAGMA journal_mode").scalar()).lower()
    system = filesystem_of(path, mountinfo)
    detail = f"journal mode {mode} on {system.type} ({system.mount_point})"
    if system.is_network and mode == "wal":
        hint = (
            "a write-ahead log is not safe on a network file system: move the database to a local disk, or, "
            f"while nothing uses it, `sqlite3 {path} 'PRAGMA journal_mode = DELETE'`"
        )
        return Check("journal", Verdict.BROKEN, detail, hint)
    if system.is_network:
        hint = "only one machine may write at a time; a local disk is safer and faster"
        return Check("journal", Verdict.WARNING, detail, hint)
    if mode != "wal":
        hint = f"`sqlite3 {path} 'PRAGMA journal_mode = WAL'` lets reports read while a run writes"
        return Check("journal", Verdict.INFO, detail, hint)
    return Check("journal", Verdict.OK, detail)


def _integrity(conn: sa.Connection) -> Check:
    faults = [str(row[0]) for row in query(conn, f"PRAGMA integrity_check({FIRST_ROWS})")]
    if faults == ["ok"]:
        return Check("integrity_check", Verdict.OK, "every page and index is sound")
    return Check("integrity_check", Verdict.BROKEN, "the file is damaged", REPAIR, tuple(faults[:FIRST_ROWS]))


def _foreign_keys(conn: sa.Connection) -> Check:
    rows: list[str] = []
    total = 0
    for table, key, parent, _number in query(conn, "PRAGMA foreign_key_check"):
        total += 1
        if total <= FIRST_ROWS:
            rows.append(f"{table} {key if key is not None else ''} → {parent}".replace("  ", " "))
    if not total:
        return Check("foreign_key_check", Verdict.OK, "every reference has its row")
    return Check("foreign_key_check", Verdict.BROKEN, f"{total:,} references lead nowhere", REPAIR, tuple(rows))


# ------------------------------------------------------------------ what it says


def _outcomes(conn: sa.Connection) -> Check:
    stored = set(query(conn, "SELECT id, name FROM outcome"))
    known = {(int(outcome), outcome.label) for outcome in Outcome}
    wrong = sorted(stored ^ known)
    if not wrong:
        return Check("outcomes", Verdict.OK, f"{len(known)}, as this version knows them")
    rows = tuple(f"{id} {name}" for id, name in wrong)
    return Check("outcomes", Verdict.BROKEN, "the table outcome was changed by hand", REPAIR, rows[:FIRST_ROWS])


_HINTS = {
    "blacklisted_image_written": "`tol-db plan --dataset NAME --refresh`, then `tol-db materialize`",
    "blacklisted_taxon_written": "`tol-db plan --dataset NAME --refresh`, then `tol-db materialize`",
    "refused_licence_written": "`tol-db plan --dataset NAME --refresh`, then `tol-db materialize`",
    "container_members": "`tol-db ingest containers DIR` reads them again",
}


def _invariant(audit: Audit, conn: sa.Connection) -> Check:
    result = run(conn, audit, limit=FIRST_ROWS)
    if not result.total:
        return Check(audit.name, Verdict.OK, audit.title)
    rows = tuple(
        ", ".join(
            f"{column} {value}" for column, value in zip(result.columns, row, strict=True) if value is not None
        )
        for row in result.rows
    )
    hint = _HINTS.get(audit.name, REPORT.format(audit.name))
    return Check(audit.name, Verdict.BROKEN, f"{result.total:,} times: {audit.row}", hint, rows)


def _leases(conn: sa.Connection) -> Check:
    sql = """SELECT d.name, l.host, l.pid, l.slurm_job_id, l.acquired_at, l.heartbeat_at
             FROM lease l JOIN dataset d ON d.id = l.dataset_id ORDER BY d.name"""
    told = []
    for name, host, pid, job, since, heartbeat in query(conn, sql):
        silent = _age(heartbeat)
        dead = (
            f", silent for {progress.duration(silent)}: the next run takes over" if silent > STALE_SECONDS else ""
        )
        told.append(f"{name}: process {pid} on {host}{f', SLURM job {job}' if job else ''} since {since}{dead}")
    if not told:
        return Check("leases", Verdict.OK, "nobody works on a dataset")
    return Check("leases", Verdict.INFO, "; ".join(told))


def _age(timestamp: str) -> float:
    return (datetime.now(UTC) - datetime.fromisoformat(timestamp.replace("Z", "+00:00"))).total_seconds()


_TALLIES = {
    "unplanned_images": (Verdict.INFO, "`tol-db plan --dataset NAME --extend` adds shards for them"),
    "stale_shards": (Verdict.INFO, "`tol-db plan --dataset NAME --refresh` plans them anew"),
    "bad_shards": (Verdict.INFO, "`tol-db materialize --dataset NAME` writes them again"),
    "train_val_same_content": (Verdict.WARNING, REPORT.format("train_val_same_content")),
}
"""Informative audit → what it amounts to when it finds rows, and what to do then."""


def _tally(name: str, conn: sa.Connection) -> Check:
    audit = find(name)
    verdict, hint = _TALLIES[name]
    if not scalar(conn, "SELECT EXISTS (SELECT 1 FROM dataset)"):
        return Check(name, Verdict.OK, "no dataset is planned")
    total = run(conn, audit, limit=0).total
    if not total:
        return Check(name, Verdict.OK, f"{audit.title}: none")
    return Check(name, verdict, f"{audit.title}: {total:,}", hint)
