"""Read another SQLite database inside our transaction, and leave no trace on it.

``immutable=1`` makes SQLite take no lock and open no log beside the file (sqlite.org/c3ref/open.html), so a
mapping on a read-only or network disk stays as it was. It also makes SQLite blind to a write-ahead log or hot
journal; where one lies beside the file, a copy of both is read instead.
"""

from __future__ import annotations

import shutil
import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import sqlalchemy as sa

from tol_db.db.bulk import uuid_blob, uuid_text
from tol_db.db.engine import CACHE_KIB, Database, file_uri, raw
from tol_db.errors import CannotWrite, InputError, InputMissing, NotADatabase, printed
from tol_db.ingest.files import escaped, is_stored

LOAD_CACHE_KIB = 400 * 1024
"""Room for the unique index of ten million ids (300 MB) while rows come in any order of id."""

_LOGS = ("-wal", "-journal")


@dataclass(frozen=True, slots=True)
class Foreign:
    """An SQLite file that is not ours.

    Attributes:
        path: absolute.
        logs: the write-ahead log or journal beside it, if they hold anything.
        before: size and time of all of these when they were first looked at.
    """

    path: Path
    logs: tuple[Path, ...]
    before: tuple[tuple[int, int], ...]

    @classmethod
    def at(cls, path: Path) -> Foreign:
        """Raises: InputError, where it is no SQLite file; InputMissing, where it cannot be read."""
        path = path.resolve()
        if not is_stored(str(path)):
            raise InputError(f"{escaped(str(path))}: its name is not UTF-8", hint="rename it")
        try:
            with path.open("rb") as file:
                header = file.read(16)
        except OSError as err:
            raise InputMissing(f"{path}: {err.strerror}", hint="check its permissions") from err
        if header != b"SQLite format 3\0":
            what = "not an SQLite file" if header else "an empty file"
            raise InputError(f"{path}: {what}", hint="fetch it again")
        logs = tuple(log for log in (Path(f"{path}{end}") for end in _LOGS) if _stat(log)[0])
        return cls(path, logs, tuple(map(_stat, (path, *logs))))

    def require_untouched(self) -> None:
        """Raises: InputError, where somebody wrote to it while it was read."""
        if tuple(map(_stat, (self.path, *self.logs))) != self.before:
            raise InputError(
                f"{self.path}: it was written to while it was read; nothing was ingested",
                hint="let its writer end, then run again",
            )


class WithForeign(Database):
    """Our database, each of whose connections has the other one attached as ``mapping``.

    The SQL functions ``id_blob(text)`` and ``id_text(text)`` are there too: an id as 16 bytes
    (:func:`tol_db.db.bulk.uuid_blob`), and in its canonical spelling; NULL for what is no id.
    """

    def __init__(self, db: Database, uri: str, path: Path) -> None:
        super().__init__(db.path)
        self._uri, self._foreign = uri, path

    def _connect(self) -> sqlite3.Connection:
        connection = super()._connect()
        connection.create_function("id_blob", 1, uuid_blob, deterministic=True)
        connection.create_function("id_text", 1, _id_text, deterministic=True)
        connection.execute("PRAGMA trusted_schema = OFF")  # of the other one: it may call no function of ours
        try:
            connection.execute("ATTACH DATABASE ? AS mapping", (self._uri,))
        except (sqlite3.Error, UnicodeDecodeError) as err:
            connection.close()
            raise unreadable(self._foreign, err) from err
        return connection

    @contextmanager
    def translated(self) -> Iterator[None]:
        """As for our database alone, but damage is looked for in the other one first: it is a stranger's."""
        try:
            with super().translated():
                yield
        except NotADatabase as err:
            fault = _damage(self._uri)
            if fault is None:
                raise
            raise unreadable(self._foreign, fault) from err


def _damage(uri: str) -> Exception | None:
    """What SQLite finds wrong with a database, or None."""
    connection = sqlite3.connect(uri, uri=True)
    try:
        verdict = connection.execute("PRAGMA quick_check(1)").fetchone()[0]
    except (sqlite3.Error, UnicodeDecodeError) as err:
        return err
    finally:
        connection.close()
    return None if verdict == "ok" else sqlite3.DatabaseError(verdict)


@contextmanager
def attached(db: Database, foreign: Foreign) -> Iterator[WithForeign]:
    """Our database with the other one attached, in place or as a temporary copy beside ours.

    Raises:
        CannotWrite: no room for the copy.
        InputError: it cannot be attached, or was written to meanwhile.
    """
    if not foreign.logs:
        yield WithForeign(db, file_uri(foreign.path, mode="ro", immutable=1), foreign.path)
        return
    folder = db.path.absolute().parent
    try:
        room = tempfile.TemporaryDirectory(dir=folder, prefix=f".{db.path.name}.mapping-")
    except OSError as err:
        raise CannotWrite(f"{folder}: {err.strerror}", hint="check its permissions") from err
    with room as name:
        copy = Path(name) / "mapping.sqlite"
        try:
            shutil.copyfile(foreign.path, copy)
            for log in foreign.logs:
                shutil.copyfile(log, f"{copy}{log.name.removeprefix(foreign.path.name)}")
        except OSError as err:
            raise CannotWrite(
                f"{folder}: no copy of {foreign.path}: {err.strerror}",
                hint="its log has to be read with it, which takes a copy; make room beside the database",
            ) from err
        foreign.require_untouched()
        yield WithForeign(db, file_uri(copy, mode="rw"), foreign.path)


def enlarge(conn: sa.Connection) -> None:
    """Give a connection the room that a bulk load needs."""
    raw(conn).execute(f"PRAGMA cache_size = -{LOAD_CACHE_KIB}")


def shrink(conn: sa.Connection) -> None:
    """Take it back, before something else needs the memory."""
    raw(conn).execute(f"PRAGMA cache_size = -{CACHE_KIB}")
    raw(conn).execute("PRAGMA shrink_memory")


def unreadable(path: Path, err: Exception) -> InputError:
    """What an error of SQLite about the other database means."""
    if "user-defined function" in str(err):
        why = "a text in it is not UTF-8"
    elif isinstance(err, UnicodeDecodeError):  # of the message itself, which quotes the schema
        why = "cannot be read: malformed schema"
    else:
        why = f"cannot be read: {printed(str(err))}"
    return InputError(f"{path}: {why}", hint="fetch it again; nothing was ingested")


def _id_text(text: object) -> str | None:
    blob = uuid_blob(text)
    return None if blob is None else uuid_text(blob)


def _stat(path: Path) -> tuple[int, int]:
    try:
        status = path.stat()
    except OSError:
        return (0, 0)
    return (status.st_size, status.st_mtime_ns)
