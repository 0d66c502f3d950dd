"""Scan the archives and folders of the sources: which member is which image, and where it lies.

Each container is read first and then recorded in one transaction: an interrupted scan goes on where it was,
and the database is locked for moments only. A container whose size and time are those of the last scan is not
read again; where only the time differs its digest decides (of an archive: the sha256 of its bytes, of a
folder: that of its names and sizes).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from materialize.seek_index_build import Built
from tol_db import progress
from tol_db.db.bulk import changes
from tol_db.db.engine import Database
from tol_db.errors import ContainerError, InputError, InputMissing, UsageError
from tol_db.ingest.claims import Claimer, folder_in_id, mapped_eol, mapped_folder, raw_eol, raw_folder
from tol_db.ingest.files import escaped, is_stored, source_id
from tol_db.ingest.known_containers import (
    Known,
    count_strays,
    has_images,
    identify,
    load_known,
    mark_missing,
    missing_paths,
    place,
    rows_without_file,
)
from tol_db.ingest.layout import Discovery, Found, Roots, chosen_of, discover
from tol_db.ingest.matching import Matched, Target, claimed_strays, record
from tol_db.ingest.scan import Scan, Stat, digest_of, scanned
from tol_db.ingest.scan_files import ScanFiles
from tol_db.ingest.scan_report import ContainersResult, Note, SourceScan
from tol_db.ingest.seek_indexes import SeekIndexes, SeekWish, no_indexes

CLAIMED = "an image without a file claims a stray of it"


def ingest_containers(
    db: Database,
    roots: Roots,
    *,
    only: range | None = None,
    rehash: bool = False,
    seek: SeekWish | None = None,
    scans: Path | None = None,
) -> ContainersResult:
    """Scan what is new or changed under the roots and match it to the image rows of a mapping.

    Args:
        db: with the image rows.
        roots: the folders of the sources; a source without image rows is passed over.
        only: containers to look at, by the number in their names (``image_set_07.tar.gz``: 7, ``part12``: 12,
            ``00371_Animalia_…``: 371); where not every name of the source has one of its own, by their place
            in natural order of path, from 1. Nothing is taken for missing then.
        rehash: compare digests also where size and time are unchanged.
        seek: whether each ``.tar.gz`` is to have a seek index, also those that were scanned before.
        scans: a folder of scan files (:mod:`tol_db.ingest.scan_shares`), which are used where they tell of the
            container as it is; others are read.

    Raises:
        UsageError: no source has image rows, or the range names none of the containers; the library for seek
            indexes is not installed.
        CannotWrite: a seek index cannot be written.
        InputMissing, InputError: a root is not there, is no folder, or is empty though it was scanned before.
    """
    result = scan_all(db, roots, only=only, rehash=rehash, seek=seek, scans=scans)
    if not any(scan.has_rows for scan in result.sources):
        keys = ", ".join(scan.key for scan in result.sources)
        raise UsageError(
            f"{db.path}: no image rows of {keys}, so no file could be matched",
            hint="first `tol-db ingest tol10m DIR` for a mapping.sqlite, "
            "or `tol-db ingest eol|inat21|bioscan DIR` where there is none",
        )
    return result


def scan_all(
    db: Database,
    roots: Roots,
    *,
    only: range | None = None,
    rehash: bool = False,
    seek: SeekWish | None = None,
    scans: Path | None = None,
) -> ContainersResult:
    """As :func:`ingest_containers`, but it is no error where no source has image rows."""
    return counted(db, [_scan_mapped(db, key, root, only, rehash, seek, scans) for key, root in roots.items()])


def counted(db: Database, scans: Sequence[SourceScan]) -> ContainersResult:
    """The scans with the rows that have no file."""
    with db.read() as conn:
        rows = rows_without_file(conn)
    return ContainersResult(
        tuple(dataclasses.replace(scan, rows_without_file=rows.get(scan.key, 0)) for scan in scans)
    )


def _scan_mapped(
    db: Database,
    key: str,
    root: Path,
    only: range | None,
    rehash: bool,
    seek: SeekWish | None,
    scans: Path | None,
) -> SourceScan:
    with db.read() as conn:
        if not has_images(conn, key):
            return SourceScan(key, root, has_rows=False)
    return scan_source(db, key, root, raw=False, only=only, rehash=rehash, seek=seek, scans=scans)


def scan_source(
    db: Database,
    key: str,
    root: Path,
    *,
    raw: bool,
    only: range | None = None,
    rehash: bool = False,
    seek: SeekWish | None = None,
    scans: Path | None = None,
) -> SourceScan:
    """Scan one source; ``raw``: make an image row of each picture found.

    Raises:
        UsageError, InputMissing, InputError, CannotWrite: as :func:`ingest_containers`.
    """
    if not is_stored(str(root.resolve())):
        raise InputError(f"{escaped(str(root))}: its name is not UTF-8", hint="rename the folder")
    discovery = discover(key, root)
    chosen = chosen_of(root, discovery.containers, only)
    with db.write() as conn:
        source = source_id(conn, key)
        known = load_known(conn, source)
        _require_mounted(root, discovery, known)
        source_id(conn, key, root)
        rows = identify(discovery.containers, known)
        gone = mark_missing(conn, key, known, rows) if only is None else 0
    run = _Run(db, key, root, source, raw, SeekIndexes(db, source, root, seek), ScanFiles(scans, key, root), rehash)
    run.work(run.jobs(chosen, rows, rehash))
    if run.tally.scanned or gone:
        run.work(run.claimed_again(chosen))
    run.indexes.complete(key, chosen)
    return run.result(discovery, gone)


@dataclass(frozen=True, slots=True)
class _Job:
    """A container to look into.

    Attributes:
        row: as the database knows it, or None.
        why: why it has to be read, "" where it is new, None where its digest decides.
        size: bytes of an archive.
    """

    found: Found
    row: Known | None
    why: str | None
    size: int


@dataclass(slots=True)
class _Tally:
    """What has been done so far."""

    scanned: int = 0
    unchanged: int = 0
    members: int = 0
    matched: int = 0
    strays: int = 0
    new: int = 0
    changed: list[Note] = field(default_factory=list)
    remarks: list[Note] = field(default_factory=list)
    damaged: list[Note] = field(default_factory=list)
    unreadable: list[Note] = field(default_factory=list)

    def add(self, matched: Matched) -> None:
        self.scanned += 1
        self.members += matched.members
        self.matched += matched.matched
        self.strays += matched.strays
        self.new += matched.new

    def keep(self, row: Known) -> None:
        self.unchanged += 1
        if row.state == "damaged":
            self.damaged.append(Note(row.path, row.detail or "damaged"))


class _Run:
    """The work on one source, container by container."""

    def __init__(
        self,
        db: Database,
        key: str,
        root: Path,
        source: int,
        raw: bool,
        indexes: SeekIndexes,
        files: ScanFiles,
        rehash: bool,
    ) -> None:
        self.db, self.key, self.root, self.source, self.raw = db, key, root, source, raw
        self.indexes, self.files, self.rehash = indexes, files, rehash
        self.tally = _Tally()

    def jobs(self, chosen: Sequence[Found], rows: dict[str, Known], rehash: bool) -> list[_Job]:
        """What has to be read or hashed; the rest is counted as unchanged."""
        jobs = []
        for found in chosen:
            row = rows.get(found.path)
            try:
                stat = Stat.of(self.root / found.path)
            except ContainerError as err:
                self.tally.unreadable.append(Note(found.path, err.why))
                continue
            look = rehash or row is None or row.mtime_ns != stat.mtime_ns
            why = _why_read(row, found, stat, look)
            if row is not None and why is None and not look:
                self.tally.keep(row)
            else:
                jobs.append(_Job(found, row, why, stat.size))
        return jobs

    def work(self, jobs: Sequence[_Job]) -> None:
        """Read and record; a container that the file system cannot read does not stop the others."""
        if not jobs:
            return
        folders = all(job.found.kind == "directory" for job in jobs)
        total, unit = (len(jobs), "folders") if folders else (sum(job.size for job in jobs), "bytes")
        with progress.track(f"scanning {self.key}", total=total, unit=unit) as tracker:
            for job in jobs:
                try:
                    self._do(job, None if folders else tracker.advance)
                except ContainerError as err:
                    self.tally.unreadable.append(Note(job.found.path, err.why))
                if folders:
                    tracker.advance()

    def claimed_again(self, chosen: Sequence[Found]) -> list[_Job]:
        """Jobs for containers with strays that images without a file claim by now."""
        with self.db.write() as conn:  # temporary tables count as writing
            ids = claimed_strays(conn, self.key, self.source)
            rows = {row.path: row for row in load_known(conn, self.source) if row.id in ids}
        return [
            _Job(
                found,
                rows[found.path],
                CLAIMED,
                0 if found.kind == "directory" else rows[found.path].size or 0,
            )
            for found in chosen
            if found.path in rows
        ]

    def result(self, discovery: Discovery, gone: int) -> SourceScan:
        with self.db.read() as conn:
            missing, strays = missing_paths(conn, self.source), count_strays(conn, self.source)
        done = self.tally
        return SourceScan(
            key=self.key,
            root=self.root,
            scanned=done.scanned,
            unchanged=done.unchanged,
            changed=tuple(done.changed),
            remarks=tuple(done.remarks),
            damaged=tuple(done.damaged),
            unreadable=tuple(done.unreadable),
            missing=missing,
            newly_missing=gone,
            ignored=no_indexes(discovery.ignored),
            members=done.members,
            matched=done.matched,
            strays=done.strays,
            new=done.new,
            files_without_row=strays,
            indexed=self.indexes.made,
            not_indexed=tuple(self.indexes.failed),
            loaded=self.files.loaded,
            unused_files=tuple(Note(path, why) for path, why in self.files.unused),
        )

    def _do(self, job: _Job, on_bytes: Callable[[int], None] | None) -> None:
        if job.why is None and job.row is not None:
            if self._is_as_recorded(job.found, job.row, on_bytes):
                self.tally.keep(job.row)
            else:
                what = "its files" if job.found.kind == "directory" else "its bytes, but not its size,"
                self._read(job, f"{what} changed", on_bytes)
        else:
            self._read(job, job.why or "", on_bytes)

    def _is_as_recorded(self, found: Found, row: Known, on_bytes: Callable[[int], None] | None) -> bool:
        path = self.root / found.path
        stat = Stat.of(path)
        if digest_of(path, found.kind, on_bytes) != row.digest:
            return False
        if row.mtime_ns != stat.mtime_ns:
            with self.db.write() as conn:
                changes(conn, "UPDATE container SET mtime_ns = ? WHERE id = ?", (stat.mtime_ns, row.id))
        return True

    def _read(self, job: _Job, why: str, on_bytes: Callable[[int], None] | None) -> None:
        found = job.found
        with self._scanned(found, on_bytes) as (scan, built), self.db.write() as conn:
            container = place(conn, self.source, found, job.row)
            target = Target(self.source, self.key, container, found, self._claimer(found), self.raw)
            matched = record(conn, target, scan)
            self.indexes.store(conn, container, built)
        self.tally.add(matched)
        if why:
            self.tally.changed.append(Note(found.path, why))
        if scan.remark:
            self.tally.remarks.append(Note(found.path, scan.remark))
        if scan.fault is not None:
            self.tally.damaged.append(Note(found.path, scan.fault))

    @contextmanager
    def _scanned(self, found: Found, on_bytes: Callable[[int], None] | None) -> Iterator[tuple[Scan, Built | None]]:
        """What lies in a container: from its scan file, else it is read."""
        path = self.root / found.path
        with self.files.scan_of(
            found,
            rehash=self.rehash,
            is_indexed=self.indexes.wish is not None,
            digest_of=lambda: digest_of(path, found.kind),
        ) as left:
            if left is not None:
                if on_bytes is not None:
                    on_bytes(left[0].stat.size)
                yield left
                return
        with self.indexes.begun(found) as building:
            told = _both(on_bytes, building.scanned) if building is not None else on_bytes
            with scanned(path, found.kind, told) as scan:
                yield scan, self.indexes.finished(found, building, scan)

    def _claimer(self, found: Found) -> Claimer:
        if self.key == "eol":
            return raw_eol if self.raw else mapped_eol
        if not self.raw:
            return mapped_folder
        return raw_folder(self.key, folder_in_id(self.key, found.path, found.number))


def _both(one: Callable[[int], None] | None, other: Callable[[int], None]) -> Callable[[int], None]:
    def told(number: int) -> None:
        if one is not None:
            one(number)
        other(number)

    return told


def _why_read(row: Known | None, found: Found, stat: Stat, look: bool) -> str | None:
    """Why a container has to be read: "" where it is new, None where its digest, or its time, decides."""
    if row is None or not row.was_scanned:
        return ""
    if row.path != found.path:
        return f"it was {row.path} before"
    if row.state == "missing":
        return "it was missing"
    if row.state == "expected":
        return CLAIMED
    if found.kind != "directory" and row.size != stat.size:
        return f"its size changed from {row.size:,} to {stat.size:,} bytes"
    if row.digest is None and look:
        return "it was damaged"
    return None


def _require_mounted(root: Path, discovery: Discovery, known: Sequence[Known]) -> None:
    """An empty mount point must not be taken for the loss of everything that was scanned."""
    before = sum(row.state in ("scanned", "damaged") for row in known)
    if before and not discovery.containers:
        raise InputMissing(
            f"{root}: no container at all, but {before} were scanned before",
            hint="is the disk mounted? is this the right folder?",
        )
