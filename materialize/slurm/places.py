"""Whether the database and the output root lie where the jobs of a cluster can use them."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

from tol_db.db.engine import reading_uri, require_sqlite
from tol_db.db.filesystem import FileSystem, filesystem_of
from tol_db.errors import InputError

_SUSPICIOUS = ("/tmp", "/var/tmp", "/dev/shm", "/run")
_IN_MEMORY = ("tmpfs", "ramfs", "devtmpfs")


def require_safe(database: Path, mountinfo: Path = Path("/proc/self/mountinfo")) -> None:
    """Refuse a database whose write-ahead log lies on a network file system.

    The log needs memory that all users of the database share, and hosts share none: a collect job on another node
    would damage it (sqlite.org/wal.html, "Overview").

    Raises:
        InputError: it does. TolDbError: SQLite is too old.
    """
    require_sqlite()
    system = filesystem_of(database, mountinfo)
    if not system.is_network:
        return
    with closing(sqlite3.connect(reading_uri(database), uri=True)) as connection:
        mode = str(connection.execute("PRAGMA journal_mode").fetchone()[0]).lower()
    if mode == "wal":
        raise InputError(
            f"{database}: in write-ahead mode on {system.type} ({system.mount_point}), where jobs on other nodes "
            "would damage it",
            hint=f"while nothing uses it: `sqlite3 {database} 'PRAGMA journal_mode = DELETE'`",
        )


def warnings(database: Path, output_root: Path, mountinfo: Path = Path("/proc/self/mountinfo")) -> list[str]:
    """What a user should know of the places, as far as it can be told from here."""
    told = []
    for what, path, consequence in (
        ("the output root", output_root, "array tasks cannot write there"),
        (
            "the database",
            database,
            "collect, verify and report jobs do not find it: use --no-collect, and `tol-db collect` here",
        ),
    ):
        why = _local(path, filesystem_of(path, mountinfo))
        if why:
            told.append(f"{what} {path} {why}: if the nodes do not see it, {consequence}")
    return told


def _local(path: Path, system: FileSystem) -> str | None:
    """Why a path may be one that only this host sees, or None."""
    resolved = path.absolute()
    for folder in _SUSPICIOUS:
        if resolved.is_relative_to(folder):
            return f"lies under {folder}"
    if system.type in _IN_MEMORY:
        return f"lies in the memory of this host ({system.type})"
    if not system.is_network and system.type != "unknown":
        return f"lies on a local file system ({system.type})"
    return None
