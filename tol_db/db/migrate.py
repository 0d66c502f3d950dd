"""The schema's moves: a new database, an upgrade, a downgrade, a backup."""

from __future__ import annotations

import errno
import os
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from tol_db.db.base import APPLICATION_ID, REVISIONS
from tol_db.db.engine import (
    Database,
    reading_uri,
    require_ours,
    require_sqlite,
    require_writable,
    revision_of,
    schema_error,
    translate,
)
from tol_db.db.filesystem import filesystem_of
from tol_db.db.holders import require_nobody
from tol_db.db.scripts import scripts_folder
from tol_db.errors import CannotWrite, NameTaken, NotADatabase, UsageError

if TYPE_CHECKING:
    from alembic.config import Config


def _config(connection: object) -> Config:
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(scripts_folder()).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    config.attributes["connection"] = connection
    return config


def init(path: Path) -> None:
    """Make a new, empty database at the current schema.

    It is built under another name and renamed when whole, so that a crash leaves no half schema.

    Raises:
        NameTaken: there is a file already (it is left alone).
        CannotWrite: the folder is not there or cannot be written.
    """
    require_sqlite()
    if path.exists():
        raise NameTaken(f"{path} is there already", hint="use it as it is, or name another file with --db")
    folder = path.absolute().parent
    if not folder.is_dir():
        raise CannotWrite(f"{folder}: no such folder", hint=f"mkdir -p {folder}")
    partial = folder / f".{path.name}.{os.getpid()}.partial"
    try:
        connection = sqlite3.connect(partial)
        connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        connection.close()
        move(partial, REVISIONS[-1])
        if not filesystem_of(path).is_network:
            connection = sqlite3.connect(partial)
            connection.execute("PRAGMA journal_mode = WAL")
            connection.close()  # the last connection folds the log back into the file
        _take_name(partial, path)
    except FileExistsError:
        raise NameTaken(f"{path} is there already", hint="another process has just made it") from None
    except (OSError, sqlite3.OperationalError) as err:
        raise CannotWrite(f"{folder}: {err}", hint="check permissions and free space") from err
    finally:
        for leftover in (partial, Path(f"{partial}-wal"), Path(f"{partial}-shm"), Path(f"{partial}-journal")):
            leftover.unlink(missing_ok=True)


def upgrade(path: Path, to: str | None = None) -> tuple[str, str]:
    """Move a database to the current schema, or to the named revision, newer or older.

    One transaction with foreign keys off, which ends with a check of all foreign keys.

    Returns:
        The revisions before and after.

    Raises:
        SchemaError: its schema is newer than or unknown to this version.
        UsageError: no such revision.
        CannotWrite: the file or its folder cannot be written, or the move would break foreign keys.
        LeaseHeld: a live run works on a dataset of it; nothing was changed.
        Interrupted: another process kept the write lock for a minute.
    """
    before = revision_of(path)
    target = to or REVISIONS[-1]
    if before not in REVISIONS:
        raise schema_error(path, before)
    if target not in REVISIONS:
        raise UsageError(f"no such schema revision: {target}", hint=f"known: {', '.join(REVISIONS)}")
    if before != target:
        require_writable(path)
        move(path, target)
    return before, target


def move(path: Path, target: str) -> None:
    """Run the migrations between the revision of a database and another one; all of it or nothing."""
    from alembic import command

    database = Database(path)
    with database.translated(), database.engine.connect() as conn:
        # a PRAGMA foreign_keys inside a transaction does nothing, so it is set before one begins
        driver = conn.connection.driver_connection
        assert driver is not None
        driver.execute("PRAGMA foreign_keys = OFF")
        with conn.execution_options(tol_db_immediate=True).begin():
            require_nobody(conn)  # here, under the write lock: whoever comes later finds the new schema
            current = conn.exec_driver_sql(
                "SELECT count(*) FROM sqlite_schema WHERE name = 'alembic_version'"
            ).scalar_one()
            before = conn.exec_driver_sql("SELECT version_num FROM alembic_version").scalar() if current else None
            forward = before is None or REVISIONS.index(before) < REVISIONS.index(target)
            (command.upgrade if forward else command.downgrade)(_config(conn), target)
            broken = conn.exec_driver_sql("PRAGMA foreign_key_check").fetchall()
            if broken:
                raise CannotWrite(
                    f"{path}: the move to {target} would break {len(broken)} foreign keys, first {broken[0]}",
                    hint="nothing was changed; please report this",
                )


def backup(path: Path, target: Path, progress: Callable[[int, int], None] | None = None) -> None:
    """Copy a database as it is now, also while it is in use, with SQLite's online backup; the copy is checked.

    Args:
        path: the database, at whatever schema.
        target: a file that is not there yet.
        progress: called with (pages done, pages in all).

    Raises:
        InputMissing, NotADatabase: there is no database to copy, or it is damaged.
        NameTaken: the target is there already.
        CannotWrite: it cannot be written.
    """
    require_ours(path)
    if target.exists():
        raise NameTaken(f"{target} is there already", hint="name another file")
    partial = target.with_name(f".{target.name}.{os.getpid()}.partial")
    try:
        _copy(path, partial, progress)
        with partial.open("rb") as file:
            os.fsync(file.fileno())
        _take_name(partial, target)
    except FileExistsError:
        raise NameTaken(f"{target} is there already", hint="name another file") from None
    except OSError as err:
        raise CannotWrite(f"{target}: {err}", hint="check the folder's permissions and free space") from err
    finally:
        for leftover in (partial, Path(f"{partial}-journal"), Path(f"{partial}-wal"), Path(f"{partial}-shm")):
            leftover.unlink(missing_ok=True)


def _copy(path: Path, partial: Path, progress: Callable[[int, int], None] | None) -> None:
    try:
        copy = sqlite3.connect(partial)
    except sqlite3.Error as err:
        raise CannotWrite(
            f"{partial.parent}: {err}", hint="check that the folder is there and its permissions"
        ) from err
    source = sqlite3.connect(reading_uri(path), uri=True, isolation_level=None)
    try:
        source.execute("PRAGMA query_only = ON")
        # one snapshot for all steps: without it the copy starts over whenever somebody commits
        source.execute("BEGIN")
        source.execute("SELECT count(*) FROM sqlite_schema").fetchone()
        source.backup(
            copy,
            pages=4096,
            progress=(lambda _status, left, total: progress(total - left, total)) if progress else None,
        )
        copy.execute("PRAGMA journal_mode = DELETE")  # one file that can be copied about
        verdict = copy.execute("PRAGMA integrity_check(1)").fetchone()[0]
    except sqlite3.Error as err:
        told = translate(err, path)
        if told is None or isinstance(told, CannotWrite):  # the source is only read
            told = CannotWrite(f"{partial.parent}: {err}", hint="check permissions and free space")
        raise told from err
    finally:
        copy.close()
        source.close()
    if verdict != "ok":
        raise NotADatabase(f"{path}: damaged: {verdict}", hint="run `tol-db doctor`; nothing was copied")


def _take_name(partial: Path, target: Path) -> None:
    """Give a file its final name unless that is taken.

    Raises:
        FileExistsError: it is.
    """
    try:
        os.link(partial, target)
    except OSError as err:
        # exFAT and some network file systems have no hard links; the look before the rename leaves a short gap
        if err.errno not in (errno.EPERM, errno.ENOTSUP, errno.ENOSYS):
            raise
        if target.exists():
            raise FileExistsError(errno.EEXIST, "is there already", str(target)) from None
        partial.rename(target)
