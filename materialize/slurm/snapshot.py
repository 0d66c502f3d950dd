"""The snapshot that array tasks read instead of the database: the rows of what was submitted.

It lies under ``<root>/_snapshots/`` and is named by its sha256. SQLite over NFS or Lustre is not safe for many
readers beside a writer, and a copied file of a database in write-ahead mode lacks what is in its log: so the rows
are read in one transaction, and ``VACUUM INTO`` makes a file of them that is never written again.

Each task copies what it reads to its node. So that this is no more than it needs, the rows of a large submission
are cut into parts, files like any other snapshot with the rows of some tasks; the snapshot itself is then an index
of some kilobytes that says in which part a task finds its rows.
"""

from __future__ import annotations

import os
import re
import secrets
import sqlite3
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from materialize.dataset import Dataset
from materialize.shard import cannot_write, sha256_of, sync_folder
from materialize.slurm.arrays import parts_of
from materialize.slurm.snapshot_rows import Purpose, copy_rows
from tol_db.db.base import APPLICATION_ID
from tol_db.db.engine import Database, file_uri, translate
from tol_db.errors import CannotWrite, InputError, InputMissing, TolDbError
from tol_db.progress import track

FOLDER = "_snapshots"
PART_IMAGES = 1_000_000
"""Images whose rows lie in one part: some 100 MB, which a node copies in a second."""
_NAME = re.compile(r"([0-9a-f]{64})\.sqlite")

Tasks = Mapping[int, Sequence[int]]
"""Number of a task → its work units, or its shards."""


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A snapshot under an output root.

    Attributes:
        sha256: hex; its name.
        size: bytes, those of its parts among them.
        parts: how many files hold the rows.
        is_new: False where one of the same content was there.
    """

    path: Path
    sha256: str
    size: int
    parts: int
    is_new: bool


def snapshot_path(root: Path, sha256: str) -> Path:
    return root / FOLDER / f"{sha256}.sqlite"


def expected_sha256(path: Path) -> str | None:
    """The sha256 that a snapshot's name promises; None for a file that was named by somebody else."""
    match = _NAME.fullmatch(path.name)
    return match[1] if match else None


def write_snapshot(
    db: Database,
    dataset: Dataset,
    tasks: Sequence[Sequence[int]],
    sizes: Mapping[int, int] | None = None,
    *,
    purpose: Purpose = Purpose.WRITE,
    part_images: int = PART_IMAGES,
    check: Callable[[], None] = lambda: None,
    between_parts: Callable[[], None] = lambda: None,
) -> Snapshot:
    """Write what tasks need: the rows of their units or shards, and who takes which.

    Args:
        db: the database; it is only read.
        tasks: of each task, the numbers of its work units, or to be checked: of its shards.
        sizes: images of each of these, by which the rows are cut into parts; None: one file.
        part_images: of a part, at most, unless one task has more.
        check: called now and then, while the database is read; what it raises ends the work.
        between_parts: called where nothing is being read: it may write to the database.

    Raises:
        CannotWrite: the root takes no more. NotADatabase: the database is damaged.
    """
    folder = dataset.output_root / FOLDER
    numbered = dict(enumerate(tasks))
    cuts = parts_of(tasks, sizes or {}, part_images) or [range(0)]
    writer = _Writer(db, dataset, folder, purpose, check)
    try:
        folder.mkdir(exist_ok=True)
        _sweep(folder)
        with track("writing the snapshot", len(cuts), "parts") as tracker:
            parts = []
            for cut in cuts:
                between_parts()
                parts.append(writer.part({number: numbered[number] for number in cut}))
                tracker.advance()
        if len(parts) == 1:
            return parts[0]
        return writer.index(numbered, dict(zip(cuts, parts, strict=True)))
    except sqlite3.Error as err:
        check()  # it may have ended the statement
        told = translate(err, db.path) if "disk is full" not in str(err) else None
        raise told or CannotWrite(f"{folder}: {err}", hint="make room, then run again") from err
    except OSError as err:
        raise cannot_write(Path(err.filename or folder), err) from err


class _Writer:
    """Writes the files of a snapshot, one after the other."""

    def __init__(
        self, db: Database, dataset: Dataset, folder: Path, purpose: Purpose, check: Callable[[], None]
    ) -> None:
        self.db, self.dataset, self.folder, self.purpose, self.check = db, dataset, folder, purpose, check

    def part(self, tasks: Tasks) -> Snapshot:
        """A file with the rows of these tasks."""

        def fill(connection: sqlite3.Connection) -> None:
            _write_tasks(connection, tasks)
            copy_rows(connection, self.db.path, self.dataset.id, self.purpose)

        return self._written(fill)

    def index(self, tasks: Tasks, parts: Mapping[range, Snapshot]) -> Snapshot:
        """A file that only says which part has the rows of a task."""

        def fill(connection: sqlite3.Connection) -> None:
            _write_tasks(connection, tasks)
            connection.execute("CREATE TABLE slurm_part (task INTEGER PRIMARY KEY, sha256 TEXT NOT NULL)")
            rows = ((task, part.sha256) for cut, part in parts.items() for task in cut)
            connection.executemany("INSERT INTO slurm_part VALUES (?, ?)", rows)

        made = self._written(fill)
        size = made.size + sum(part.size for part in parts.values())
        return Snapshot(made.path, made.sha256, size, len(parts), made.is_new)

    def _written(self, fill: Callable[[sqlite3.Connection], None]) -> Snapshot:
        token = secrets.token_hex(6)
        scratch, partial = self.folder / f".{token}.rows.partial", self.folder / f".{token}.partial"
        try:
            with closing(sqlite3.connect(file_uri(scratch), uri=True, isolation_level=None)) as connection:
                connection.set_progress_handler(lambda: _raises(self.check), _INSTRUCTIONS)
                connection.execute("PRAGMA journal_mode = OFF")
                connection.execute("PRAGMA synchronous = OFF")
                connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
                fill(connection)
                connection.execute("VACUUM main INTO ?", (str(partial),))
            return _take_name(self.folder, partial)
        finally:
            scratch.unlink(missing_ok=True)
            partial.unlink(missing_ok=True)


_INSTRUCTIONS = 100_000
"""Steps of SQLite's machine after which it asks whether to go on: some milliseconds."""


def _write_tasks(connection: sqlite3.Connection, tasks: Tasks) -> None:
    connection.execute(
        "CREATE TABLE slurm_task (task INTEGER NOT NULL, unit INTEGER NOT NULL, PRIMARY KEY (task, unit))"
    )
    rows = ((number, unit) for number, units in tasks.items() for unit in units)
    connection.executemany("INSERT INTO slurm_task VALUES (?, ?)", rows)


def _raises(check: Callable[[], None]) -> bool:
    """Whether a statement is to end: SQLite lets no exception through."""
    try:
        check()
    except TolDbError:
        return True
    return False


def _take_name(folder: Path, partial: Path) -> Snapshot:
    with partial.open("rb") as file:
        os.fsync(file.fileno())
        size = os.fstat(file.fileno()).st_size
    sha256 = sha256_of(partial)
    final = folder / f"{sha256}.sqlite"
    is_new = not (final.is_file() and sha256_of(final) == sha256)  # what was damaged since is replaced
    if is_new:
        partial.chmod(0o444)
        partial.rename(final)
        sync_folder(folder)
    return Snapshot(final, sha256, size, 1, is_new)


def _sweep(folder: Path) -> None:
    """Remove what a submit that was killed has left; the caller holds the lease, so nobody else writes here."""
    for path in folder.glob(".*.partial*"):
        path.unlink(missing_ok=True)


def remove_old(root: Path, needed: Collection[str]) -> int:
    """Remove snapshots but those with these sha256 and their parts; how many files went.

    Files with other names are left alone. What cannot be removed now, the next submission removes.
    """
    gone = 0
    folder = root / FOLDER
    kept = set(needed)
    for sha256 in needed:
        with suppress(InputMissing, InputError):
            kept |= set(read_parts(snapshot_path(root, sha256)).values())
    for path in sorted(folder.iterdir()) if folder.is_dir() else ():
        name = expected_sha256(path)
        if name is not None and name not in kept:
            with suppress(OSError):
                path.unlink()
                gone += 1
    return gone


def read_tasks(path: Path) -> dict[int, tuple[int, ...]] | None:
    """Task → its work units (or shards), as a snapshot tells; None for a copy of a database that knows no tasks.

    Raises:
        InputMissing: it is not there. InputError: it is damaged.
    """
    rows = _rows(path, "slurm_task", "SELECT task, unit FROM slurm_task ORDER BY task, unit")
    return None if rows is None else _grouped(rows)


def read_parts(path: Path) -> dict[int, str]:
    """Task → sha256 of the part with its rows; empty where they are in the snapshot itself.

    Raises:
        InputMissing, InputError: as :func:`read_tasks`.
    """
    return dict(_rows(path, "slurm_part", "SELECT task, sha256 FROM slurm_part") or ())


def _rows(path: Path, table: str, sql: str) -> list[Any] | None:
    """The rows of a table of a snapshot; None where it has no such table."""
    if not path.is_file():
        raise InputMissing(f"{path}: no such snapshot", hint="run `tol-db slurm submit` again")
    try:
        with closing(sqlite3.connect(file_uri(path, mode="ro", immutable=1), uri=True)) as connection:
            if not connection.execute("SELECT 1 FROM sqlite_schema WHERE name = ?", (table,)).fetchone():
                return None
            return connection.execute(sql).fetchall()
    except sqlite3.Error as err:
        raise InputError(f"{path}: {err}", hint="run `tol-db slurm submit` again") from err


def _grouped(rows: Iterable[tuple[int, ...]]) -> dict[int, tuple[int, ...]]:
    found: dict[int, list[int]] = {}
    for task, unit in rows:
        found.setdefault(task, []).append(unit)
    return {task: tuple(units) for task, units in found.items()}
