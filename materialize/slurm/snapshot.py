"""The snapshot that array tasks read instead of the database: the rows of the units that were submitted.

It lies under ``<root>/_snapshots/`` and is named by its sha256. SQLite over NFS or Lustre is not safe for many
readers beside a writer, and a copied file of a database in write-ahead mode lacks what is in its log: so the rows
are read in one transaction, and ``VACUUM INTO`` makes a file of them that is never written again.
"""

from __future__ import annotations

import os
import re
import secrets
import sqlite3
from collections.abc import Callable, Collection, Iterable, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path

from materialize.dataset import Dataset
from materialize.ledger import UNFINISHED
from materialize.shard import cannot_write, sha256_of, sync_folder
from tol_db.db.base import APPLICATION_ID
from tol_db.db.engine import Database, file_uri, reading_uri, translate
from tol_db.errors import CannotWrite, InputError, InputMissing, TolDbError
from tol_db.progress import track

FOLDER = "_snapshots"
_NAME = re.compile(r"([0-9a-f]{64})\.sqlite")

_INSTRUCTIONS = 100_000
"""Steps of SQLite's machine after which it asks whether to go on: some milliseconds."""
_UNFINISHED = ", ".join(f"'{state}'" for state in UNFINISHED)

# in this order: each takes what those before it name
_ROWS = (
    ("alembic_version", ""),
    ("outcome", ""),
    ("source", ""),
    ("split", ""),
    ("dataset", "WHERE id = ?1"),
    ("recipe", "WHERE id IN (SELECT recipe_id FROM main.dataset)"),
    ("work_unit", "WHERE dataset_id = ?1 AND number IN (SELECT unit FROM main.slurm_task)"),
    (
        "shard",
        f"WHERE work_unit_id IN (SELECT id FROM main.work_unit) AND state IN ({_UNFINISHED}) ORDER BY id",  # noqa: S608
    ),
    ("shard_image", "WHERE shard_id IN (SELECT id FROM main.shard) ORDER BY shard_id, position"),
    ("image", "WHERE id IN (SELECT image_id FROM main.shard_image) ORDER BY id"),
    ("container", "WHERE id IN (SELECT container_id FROM main.image) ORDER BY id"),
    ("label", "WHERE id IN (SELECT label_id FROM main.shard_image) ORDER BY id"),
)


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A snapshot under an output root.

    Attributes:
        sha256: hex; its name.
        size: bytes.
        is_new: False where one of the same content was there.
    """

    path: Path
    sha256: str
    size: int
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
    check: Callable[[], None] = lambda: None,
) -> Snapshot:
    """Write what tasks need: the pending shards of their units, and who takes which unit.

    Args:
        db: the database; it is only read.
        tasks: of each task, the numbers of its work units.
        check: called now and then; what it raises ends the work.

    Raises:
        CannotWrite: the root takes no more. NotADatabase: the database is damaged.
    """
    folder = dataset.output_root / FOLDER
    token = secrets.token_hex(6)
    scratch, partial = folder / f".{token}.rows.partial", folder / f".{token}.partial"
    try:
        folder.mkdir(exist_ok=True)
        _sweep(folder)
        _copy_rows(db.path, dataset.id, tasks, scratch, partial, check)
        return _take_name(folder, partial)
    except sqlite3.Error as err:
        check()  # it may have ended the statement
        told = translate(err, db.path) if "disk is full" not in str(err) else None
        raise told or CannotWrite(f"{folder}: {err}", hint="make room, then run again") from err
    except OSError as err:
        raise cannot_write(Path(err.filename or folder), err) from err
    finally:
        scratch.unlink(missing_ok=True)
        partial.unlink(missing_ok=True)


def _copy_rows(
    source: Path,
    dataset: int,
    tasks: Sequence[Sequence[int]],
    scratch: Path,
    target: Path,
    check: Callable[[], None],
) -> None:
    with (
        closing(sqlite3.connect(file_uri(scratch), uri=True, isolation_level=None)) as connection,
        track("writing the snapshot", len(_ROWS) + 1, "steps") as tracker,
    ):
        run = connection.execute
        connection.set_progress_handler(lambda: _raises(check), _INSTRUCTIONS)
        run("PRAGMA journal_mode = OFF")
        run("PRAGMA synchronous = OFF")
        run(f"PRAGMA application_id = {APPLICATION_ID}")
        run("ATTACH ? AS origin", (reading_uri(source),))
        run("BEGIN")
        names = [name for name, _ in _ROWS]
        marks = ", ".join("?" * len(names))
        # the index by unit is the one that loading a unit needs; the others would only make the copies larger
        for (made,) in run(
            f"""SELECT sql FROM origin.sqlite_schema WHERE sql IS NOT NULL AND (type = 'table' AND name IN ({marks})
                OR name = 'ix_shard_work_unit_id') ORDER BY type DESC""",  # noqa: S608
            names,
        ).fetchall():
            run(made)
        run("CREATE TABLE slurm_task (task INTEGER NOT NULL, unit INTEGER NOT NULL, PRIMARY KEY (task, unit))")
        rows = ((number, unit) for number, units in enumerate(tasks) for unit in units)
        connection.executemany("INSERT INTO slurm_task VALUES (?, ?)", rows)
        for name, which in _ROWS:
            sql = f'INSERT INTO main."{name}" SELECT * FROM origin."{name}" {which}'  # noqa: S608
            run(sql, (dataset,) if "?1" in which else ())
            tracker.advance()
        run("COMMIT")
        run("DETACH origin")
        run("VACUUM main INTO ?", (str(target),))
        tracker.advance()


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
    return Snapshot(final, sha256, size, is_new)


def _sweep(folder: Path) -> None:
    """Remove what a submit that was killed has left; the caller holds the lease, so nobody else writes here."""
    for path in folder.glob(".*.partial*"):
        path.unlink(missing_ok=True)


def remove_old(root: Path, needed: Collection[str]) -> int:
    """Remove snapshots but those with these sha256; how many went. Files with other names are left alone.

    What cannot be removed now, the next submission removes.
    """
    gone = 0
    folder = root / FOLDER
    for path in sorted(folder.iterdir()) if folder.is_dir() else ():
        sha256 = expected_sha256(path)
        if sha256 is not None and sha256 not in needed:
            with suppress(OSError):
                path.unlink()
                gone += 1
    return gone


def read_tasks(path: Path) -> dict[int, tuple[int, ...]] | None:
    """Task → its work units, as a snapshot tells; None for a copy of a database that knows no tasks.

    Raises:
        InputMissing: it is not there. InputError: it is damaged.
    """
    if not path.is_file():
        raise InputMissing(f"{path}: no such snapshot", hint="run `tol-db slurm submit` again")
    try:
        with closing(sqlite3.connect(file_uri(path, mode="ro", immutable=1), uri=True)) as connection:
            if not connection.execute("SELECT 1 FROM sqlite_schema WHERE name = 'slurm_task'").fetchone():
                return None
            return _grouped(connection.execute("SELECT task, unit FROM slurm_task ORDER BY task, unit"))
    except sqlite3.Error as err:
        raise InputError(f"{path}: {err}", hint="run `tol-db slurm submit` again") from err


def _grouped(rows: Iterable[tuple[int, int]]) -> dict[int, tuple[int, ...]]:
    found: dict[int, list[int]] = {}
    for task, unit in rows:
        found.setdefault(task, []).append(unit)
    return {task: tuple(units) for task, units in found.items()}
