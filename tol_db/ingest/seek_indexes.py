"""Makes the seek indexes of the ``.tar.gz`` of a source, beside the scan or afterwards, and records them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path

import sqlalchemy as sa

from materialize.seek_index import SUFFIX, SeekIndex, require_index
from materialize.seek_index_build import SPACING, Building, Built, require_library
from tol_db import progress
from tol_db.db.bulk import changes
from tol_db.db.engine import Database
from tol_db.errors import ContainerChanged, ContainerError
from tol_db.ingest.known_containers import Known, load_known
from tol_db.ingest.layout import Found, Ignored
from tol_db.ingest.scan import Scan, Stat
from tol_db.ingest.scan_report import Note


@dataclass(frozen=True, slots=True)
class SeekWish:
    """That archives are to have a seek index.

    Attributes:
        folder: where the indexes are to lie; None: each beside its archive.
        spacing: bytes of data between two points.
    """

    folder: Path | None = None
    spacing: int = SPACING


class SeekIndexes:
    """The indexes of one source.

    Args:
        db, source, root: the source; its folder.
        wish: None where no index is wanted.

    Attributes:
        made: how many were made.
        failed: archives of which none could be made, and why.

    Raises:
        UsageError: the library is not installed.
    """

    def __init__(self, db: Database, source: int, root: Path, wish: SeekWish | None) -> None:
        if wish is not None:
            require_library()
        self.db, self.source, self.root, self.wish = db, source, root, wish
        self.made = 0
        self.failed: list[Note] = []

    def begun(self, found: Found) -> AbstractContextManager[Building | None]:
        """The making of an index while the archive is scanned; None where none is wanted.

        Raises:
            CannotWrite, LeaseHeld, ContainerChanged, ContainerError: as :class:`Building`.
        """
        if self.wish is None or found.kind != "tar_gz":
            return nullcontext()
        return self._building(found, None)

    def finished(self, found: Found, building: Building | None, scan: Scan) -> Built | None:
        """The index of an archive that was scanned meanwhile; of a damaged one there is none."""
        if building is None or scan.fault is not None:
            return None
        return self._result(found, building, scan.stat)

    def store(self, conn: sa.Connection, container: int, built: Built | None) -> None:
        """Record an index, for as long as the archive is the one that it was made of."""
        if built is None:
            return
        self.made += changes(
            conn,
            "UPDATE container SET seek_index = ? WHERE id = ? AND bytes = ? AND mtime_ns = ?",
            (built.index.record(self.root.resolve()), container, built.archive_bytes, built.archive_mtime_ns),
        )

    def complete(self, key: str, chosen: Sequence[Found]) -> None:
        """Make the indexes that archives lack which were scanned before, or whose index is not whole.

        Raises:
            CannotWrite, LeaseHeld: as :class:`Building`.
        """
        if self.wish is None:
            return
        with self.db.read() as conn:
            known = {row.path: row for row in load_known(conn, self.source)}
        jobs = [(found, row) for found in chosen if (row := known.get(found.path)) and self._is_wanting(found, row)]
        if not jobs:
            return
        total = sum(row.size or 0 for _, row in jobs)
        with progress.track(f"indexing {key}", total=total, unit="bytes") as tracker:
            for found, row in jobs:
                self._complete(found, row, tracker.advance)

    def _complete(self, found: Found, row: Known, on_bytes: Callable[[int], None]) -> None:
        try:
            with self._building(found, on_bytes) as building:
                built = self._result(found, building, Stat(row.size or 0, row.mtime_ns or 0))
        except ContainerError as err:
            self.failed.append(Note(found.path, err.why))
            return
        with self.db.write() as conn:
            self.store(conn, row.id, built)

    def _is_wanting(self, found: Found, row: Known) -> bool:
        if found.kind != "tar_gz" or row.state != "scanned" or found.path in {note.path for note in self.failed}:
            return False
        index = SeekIndex.of(row.seek_index, self.root.resolve())
        if index is None:
            return True
        try:
            require_index(self.root / found.path, index)
        except ContainerError:
            return True
        return False

    def _building(self, found: Found, on_bytes: Callable[[int], None] | None) -> Building:
        wish = self.wish or SeekWish()
        return Building(
            self.root.resolve() / found.path,
            wish.folder.resolve() if wish.folder is not None else None,
            spacing=wish.spacing,
            on_bytes=on_bytes,
        )

    def _result(self, found: Found, building: Building, stat: Stat) -> Built | None:
        try:
            built = building.result()
            if (built.archive_bytes, built.archive_mtime_ns) != (stat.size, stat.mtime_ns):
                raise ContainerChanged(found.path, None, "it is not the archive that was scanned (any more)")
        except ContainerError as err:
            self.failed.append(Note(found.path, err.why))
            return None
        return built


def no_indexes(ignored: Sequence[Ignored]) -> tuple[Ignored, ...]:
    """Without the indexes, which belong beside their archives."""
    return tuple(other for other in ignored if not other.path.endswith(SUFFIX))
