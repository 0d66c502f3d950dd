"""How the database is opened, and how a transaction on it begins.

Every write begins with ``BEGIN IMMEDIATE``: two writers queue instead of meeting halfway. Commits are
synchronous=FULL: what a command reported as done is on the disk. On a local disk the journal is a
write-ahead log, so that reports read while a run writes; on a network file system it is a rollback
journal, because the log's shared memory does not reach across hosts (sqlite.org/wal.html, "Overview").
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy import event
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.pool import ConnectionPoolEntry, NullPool

from tol_db.db.base import APPLICATION_ID, REVISIONS
from tol_db.db.uri import file_uri as file_uri
from tol_db.db.uri import log_beside
from tol_db.db.uri import reading_uri as reading_uri
from tol_db.errors import CannotWrite, InputMissing, Interrupted, NotADatabase, SchemaError, TolDbError

MIN_SQLITE = (3, 34, 0)
BUSY_SECONDS = 60
CACHE_KIB = 64 * 1024


class Database:
    """A tol-db database. Connections are made for each transaction and closed after it.

    Make one with :func:`open_database`, which refuses files that it should not touch.
    """

    def __init__(self, path: Path, *, readonly: bool = False) -> None:
        self.path = path
        self.readonly = readonly
        self.engine = sa.create_engine("sqlite+pysqlite://", creator=self._connect, poolclass=NullPool)
        event.listen(self.engine, "connect", _configure)
        event.listen(self.engine, "begin", _begin)

    def _connect(self) -> sqlite3.Connection:
        uri = reading_uri(self.path) if self.readonly else file_uri(self.path, mode="rw")
        # isolation_level None: the driver begins nothing by itself, _begin does
        connection = sqlite3.connect(
            uri, uri=True, isolation_level=None, timeout=BUSY_SECONDS, check_same_thread=False
        )
        if self.readonly:
            connection.execute("PRAGMA query_only = ON")
        return connection

    @contextmanager
    def read(self) -> Iterator[sa.Connection]:
        """One consistent view; nothing is changed."""
        with self.translated(), self.engine.connect() as conn, conn.begin():
            yield conn

    @contextmanager
    def write(self) -> Iterator[sa.Connection]:
        """One transaction that holds the write lock from its start; any exception rolls it back.

        Raises:
            CannotWrite: full disk, read-only file.
            Interrupted: another writer kept the lock for a minute.
        """
        with self.translated(), self.engine.connect() as plain:
            conn = plain.execution_options(tol_db_immediate=True)
            with conn.begin():
                yield conn

    @contextmanager
    def staging(self) -> Iterator[sa.Connection]:
        """A connection for two transactions: one that fills temporary tables, then :func:`entering` what they hold.

        No lock is held while a file is read. Foreign keys are not enforced on it: SQLite would look for the
        children of each row of a tree by itself. Whoever enters rows has to see that they are right.

        Raises:
            CannotWrite, Interrupted: as :meth:`write`.
        """
        with self.translated(), self.engine.connect() as conn:
            yield conn.execution_options(tol_db_unchecked=True)

    @contextmanager
    def translated(self) -> Iterator[None]:
        """What SQLite complains of within becomes an error of ours, where it is one that a user can act upon."""
        try:
            yield
        except sa.exc.DBAPIError as err:
            translated = translate(err.orig if err.orig is not None else err, self.path)
            if translated is None:
                raise
            raise translated from err
        except (sqlite3.DatabaseError, UnicodeDecodeError) as err:
            # of the driver itself, where a statement went past SQLAlchemy
            translated = translate(err, self.path)
            if translated is None:
                raise
            raise translated from err


def translate(err: BaseException, path: Path) -> TolDbError | None:
    """What an error of SQLite means to a user, or None where it is a fault of ours."""
    # the driver stumbles over its own message where a damaged schema makes part of it
    words = "malformed schema" if isinstance(err, UnicodeDecodeError) else str(err)
    if "database is locked" in words or "database table is locked" in words:
        return Interrupted(
            f"{path}: another process has held the write lock for {BUSY_SECONDS} s",
            hint="wait for it to end and run again; `tol-db doctor` shows who holds a lease",
        )
    if "disk is full" in words or "max_page_count" in words:
        return CannotWrite(
            f"{path}: the disk is full; nothing of this step was kept", hint="make room and run again"
        )
    if "readonly database" in words or "unable to open database" in words:
        return CannotWrite(f"{path}: {words}", hint="check the permissions of the file and of its folder")
    if "disk I/O error" in words:
        return CannotWrite(
            f"{path}: {words}",
            hint="check the disk or mount (is it full? is there a quota or a limit on files?), then run again",
        )
    if "malformed" in words or "not a database" in words:
        return NotADatabase(f"{path}: {words}", hint="restore the last `tol-db backup`")
    return None


def _configure(connection: DBAPIConnection, _record: ConnectionPoolEntry) -> None:
    cursor = connection.cursor()
    cursor.execute("PRAGMA foreign_keys = ON")
    cursor.execute("PRAGMA synchronous = FULL")
    cursor.execute(f"PRAGMA cache_size = -{CACHE_KIB}")
    cursor.close()


@contextmanager
def entering(conn: sa.Connection) -> Iterator[None]:
    """One transaction on a connection of :meth:`Database.staging` that holds the write lock from its start."""
    conn.execution_options(tol_db_immediate=True)
    with conn.begin():
        yield


def _begin(conn: sa.Connection) -> None:
    if conn.get_execution_options().get("tol_db_unchecked", False):  # it can only be said between transactions
        conn.exec_driver_sql("PRAGMA foreign_keys = OFF")
    immediate = conn.get_execution_options().get("tol_db_immediate", False)
    conn.exec_driver_sql("BEGIN IMMEDIATE" if immediate else "BEGIN")


def raw(conn: sa.Connection) -> sqlite3.Connection:
    """The driver's connection beneath, inside the same transaction: for bulk work and user functions."""
    driver: Any = conn.connection.driver_connection
    assert isinstance(driver, sqlite3.Connection)
    return driver


def open_database(path: Path, *, readonly: bool = False) -> Database:
    """Open an existing database at the current schema.

    The file is looked at before SQLite touches it.

    Raises:
        InputMissing: there is no such file.
        NotADatabase: it is not SQLite, or not a tol-db database.
        SchemaError: its schema is older, newer or unknown.
        CannotWrite: it is to be written and cannot.
    """
    found = revision_of(path)
    if found != REVISIONS[-1]:
        raise schema_error(path, found)
    if not readonly:
        require_writable(path)
    return Database(path, readonly=readonly)


def schema_error(path: Path, found: str) -> SchemaError:
    if found in REVISIONS:
        return SchemaError(
            f"{path}: schema {found} is older than this tol-db's {REVISIONS[-1]}",
            hint=f"run `tol-db --db {path} upgrade` (first `tol-db --db {path} backup FILE`)",
        )
    return SchemaError(
        f"{path}: schema {found!r} is newer than this tol-db's {REVISIONS[-1]}, or unknown to it",
        hint="use the tol-db version that wrote it; nothing was changed",
    )


def revision_of(path: Path) -> str:
    """The schema revision of a database, whatever it is.

    Raises:
        InputMissing, NotADatabase: as :func:`open_database`.
    """
    require_sqlite()
    require_ours(path)
    try:
        # a log may be what a crash left: then it has to be put right first; without one nothing is made beside
        # a database that may be refused
        uri = reading_uri(path) if log_beside(path) else file_uri(path, mode="ro", immutable=1)
        connection = sqlite3.connect(uri, uri=True, timeout=BUSY_SECONDS)
        try:
            row = connection.execute("SELECT version_num FROM alembic_version").fetchone()
        finally:
            connection.close()
    except (sqlite3.Error, UnicodeDecodeError) as err:
        told = translate(err, path)
        raise told or NotADatabase(f"{path}: {err}", hint="restore the last `tol-db backup`") from err
    if row is None:
        raise NotADatabase(f"{path}: it has no schema revision", hint="restore the last `tol-db backup`")
    return str(row[0])


def require_ours(path: Path) -> None:
    """Refuse what is not a tol-db database, from its first 100 bytes (sqlite.org/fileformat.html §1.3)."""
    if path.is_dir():
        raise NotADatabase(f"{path} is a folder, not a database", hint="name the file: --db FOLDER/tol.sqlite")
    try:
        with path.open("rb") as file:
            header = file.read(100)
    except FileNotFoundError:
        raise InputMissing(
            f"{path}: no such database",
            hint=f"make one with `tol-db --db {path} init`, or name another with --db",
        ) from None
    except OSError as err:
        raise InputMissing(f"{path}: {err.strerror}", hint="check its permissions") from err
    if not header.startswith(b"SQLite format 3\0"):
        what = "an empty file" if not header else "not an SQLite file"
        raise NotADatabase(f"{path}: {what}", hint="name a tol-db database with --db")
    if int.from_bytes(header[68:72], "big") != APPLICATION_ID:
        raise NotADatabase(f"{path}: an SQLite file, but not a tol-db database", hint="name another with --db")


def require_writable(path: Path) -> None:
    for what in (path, path.absolute().parent):  # the journal is written beside the file
        if not os.access(what, os.W_OK):
            raise CannotWrite(f"{what}: no permission to write", hint="check its permissions, or copy it")


def require_sqlite() -> None:
    if sqlite3.sqlite_version_info < MIN_SQLITE:
        raise TolDbError(
            f"SQLite {sqlite3.sqlite_version} is too old: {'.'.join(map(str, MIN_SQLITE))} is needed",
            hint="use a newer Python, or `conda install sqlite`",
        )
