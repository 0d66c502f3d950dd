"""Read a TreeOfLife-10M mapping.sqlite: the images with their ids, the containers they lie in, the splits.

The mapping is attached and read by statements, ten million rows at a time; what is new is inserted, keys that
changed are updated, and rows that have gone from it stay and are counted. It is never written to.
"""

from __future__ import annotations

import hashlib
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import sqlalchemy as sa

from tol_db import progress
from tol_db.db.bulk import query, scalar
from tol_db.db.engine import Database
from tol_db.errors import InputError
from tol_db.ingest.attached import Foreign, attached, enlarge, shrink, unreadable
from tol_db.ingest.files import InputFile, look, record, require_file, sha256_of, source_id
from tol_db.ingest.layout import Roots
from tol_db.ingest.mapping_first import insert_images, is_first
from tol_db.ingest.mapping_images import (
    SourceRows,
    drop_keys_of_others,
    images_in_mapping,
    require_mapped,
    take_images,
)
from tol_db.ingest.mapping_splits import SplitRows, match_split_rows, take_splits
from tol_db.ingest.mapping_tables import SOURCES, SPLIT, require_distinct, require_ids, require_sound
from tol_db.label import apply_labels
from tol_db.split import Extended, extend_policies

KIND = "mapping"


@dataclass(frozen=True, slots=True)
class MappingResult:
    """What a mapping brought.

    Attributes:
        unchanged: this very file was read before; nothing was done.
        path: what was read.
        rows: images in it.
        sources: per source.
        splits: the published splits, or None where unchanged.
        vanished: images of these sources that are not in the mapping; they are kept.
        labelled: images whose label changed.
        extended: stored splits that took in new images.
    """

    unchanged: bool
    path: Path
    rows: int
    sources: tuple[SourceRows, ...] = ()
    splits: SplitRows | None = None
    vanished: int = 0
    labelled: int = 0
    extended: tuple[Extended, ...] = ()

    def describe(self) -> list[str]:
        """Lines to print."""
        if self.unchanged:
            return [f"{self.path.name}: unchanged, {self.rows:,} images"]
        lines = [f"{self.path.name}: {self.rows:,} images, {self.labelled:,} labelled"]
        lines += [
            f"  {rows.key:8} {rows.read:,} read, {rows.new:,} new, {rows.changed:,} changed, "
            f"{rows.read - rows.new - rows.changed:,} unchanged"
            for rows in self.sources
        ]
        if self.splits is not None:
            lines += self.splits.describe()
        if self.vanished:
            lines.append(f"  {self.vanished:,} images are not in the mapping any more; they are kept")
        lines += [f"  split {grown.split}: {grown.added:,} new images" for grown in self.extended]
        return lines


def ingest_mapping(db: Database, path: Path, roots: Roots | None = None) -> MappingResult:
    """Read a mapping, in one transaction; it is left as it is, and nothing appears beside it.

    Args:
        db: where to.
        path: ``mapping.sqlite``, in any journal mode.
        roots: where the sources lie; class and part folders get the paths that they have there, else those of
            the published layout.

    Raises:
        InputMissing, InputError: not there, no SQLite file, or written to while it was read.
        InputError: a table or column is missing, a value is of another kind, an id is none or stands twice.
        UsageError: the images of a source were made from raw folders.
        NameTaken: there is a split of another kind named ``val``, ``train`` or ``train_small``.
        CannotWrite: no room.
    """
    require_file(path)
    foreign = Foreign.at(path)
    with db.read() as conn:
        file = look(conn, KIND, path)
        before = _recorded(conn, file)
    if before is not None and file.known and not before.with_log and not foreign.logs:
        return _unchanged(db, roots, path, before)
    sha256 = _digest(foreign)
    if before is not None and before.sha256 == sha256:
        if not file.known:
            with db.write() as conn:
                record(conn, file, sha256=sha256, rows=before.rows, detail=_detail(foreign))
        return _unchanged(db, roots, path, before)
    with (
        attached(db, foreign) as both,
        both.write() as conn,
        progress.track(f"reading {path.name}", unit="rows") as tracker,
    ):
        result = _take(conn, path, roots or Roots(), tracker)
        record(conn, file, sha256=sha256, rows=result.rows, detail=_detail(foreign))
        foreign.require_untouched()
    return result


def _take(conn: sa.Connection, path: Path, roots: Roots, tracker: progress.Tracker) -> MappingResult:
    counts = require_sound(conn, path)
    rows = sum(counts[table.name] for table in SOURCES)
    if not rows:
        raise InputError(f"{path}: it names no image at all", hint="is it the right file?")
    tracker.expect(rows + counts[SPLIT.name])
    folders = dict(roots.items())
    ids = {table.name: source_id(conn, table.name, folders.get(table.name)) for table in SOURCES}
    taken = []
    with _faults(conn, path):
        for table in SOURCES:
            require_mapped(conn, table.name)
        if is_first(conn):
            taken = insert_images(conn, ids, folders, counts, tracker.advance)
        else:
            enlarge(conn)  # ids come in any order
            for table in SOURCES:
                root, read = folders.get(table.name), counts[table.name]
                taken.append(take_images(conn, table, ids[table.name], root, read))
                tracker.advance(read)
        named = _require_distinct_rows(conn, path, taken, rows)
        if any(source.changed for source in taken):
            drop_keys_of_others(conn, ids["eol"])
        shrink(conn)
        matched = match_split_rows(conn)
    splits = take_splits(conn)
    tracker.advance(counts[SPLIT.name])
    images = _images_of(conn, tuple(ids.values()))
    labelled = sum(
        apply_labels(conn, ids[source.key]) if source.labelled is None else source.labelled for source in taken
    )
    return MappingResult(
        unchanged=False,
        path=path,
        rows=rows,
        sources=tuple(taken),
        splits=SplitRows(matched, counts[SPLIT.name] - matched, images - matched, splits),
        vanished=images - named,
        labelled=labelled,
        extended=tuple(extend_policies(conn)),
    )


def _require_distinct_rows(conn: sa.Connection, path: Path, taken: Sequence[SourceRows], rows: int) -> int:
    """Raises: InputError, where an id stands twice. Returns how many images the mapping names: its rows."""
    if sum(source.new for source in taken) < rows and images_in_mapping(conn) < rows:
        require_distinct(conn, path, SOURCES)
    return rows


@contextmanager
def _faults(conn: sa.Connection, path: Path) -> Iterator[None]:
    """What a statement that stumbled over the mapping's rows means; the rows are looked for only then."""
    try:
        yield
    except (sqlite3.IntegrityError, sqlite3.OperationalError) as err:
        interrupted = "user-defined function" in str(err)
        if not interrupted and not isinstance(err, sqlite3.IntegrityError):
            raise
        try:
            for table in (*SOURCES, SPLIT):
                require_ids(conn, path, table)
            require_distinct(conn, path, (SPLIT,))
            require_distinct(conn, path, SOURCES)
        except sqlite3.OperationalError as fault:
            raise unreadable(path, fault) from fault
        if interrupted:  # Ctrl-C within id_blob; SQLite swallows the exception
            raise KeyboardInterrupt from err
        raise


@dataclass(frozen=True, slots=True)
class _Recorded:
    """The record of a file that was read: rows, sha256, and whether a log was read with it."""

    rows: int
    sha256: bytes
    with_log: bool


def _recorded(conn: sa.Connection, file: InputFile) -> _Recorded | None:
    rows = query(
        conn,
        """SELECT rows_read, sha256, detail IS NOT NULL FROM source_file
           WHERE kind = ? AND root = ? AND path = ?""",
        (file.kind, str(file.path.parent), file.path.name),
    )
    return next((_Recorded(*row) for row in rows), None)


def _unchanged(db: Database, roots: Roots | None, path: Path, before: _Recorded) -> MappingResult:
    with db.write() as conn:
        for key, folder in roots.items() if roots is not None else ():
            source_id(conn, key, folder)
    return MappingResult(True, path, before.rows)


def _digest(foreign: Foreign) -> bytes:
    """The sha256 of the file, or of it and the logs that are read with it."""
    if not foreign.logs:
        return sha256_of(foreign.path)
    return hashlib.sha256(b"".join(map(sha256_of, (foreign.path, *foreign.logs)))).digest()


def _detail(foreign: Foreign) -> str | None:
    return f"read with {', '.join(log.name for log in foreign.logs)}" if foreign.logs else None


def _images_of(conn: sa.Connection, sources: Sequence[int]) -> int:
    marks = ", ".join("?" * len(sources))
    found: int = scalar(conn, f"SELECT count(*) FROM image WHERE source_id IN ({marks})", sources)  # noqa: S608
    return found
