"""Scan some of the containers of a tree and leave a scan file of each: no database is opened, none is needed.

Any number of such processes may work at once, each at its share: tasks of an array. One `ingest containers --scans`
then enters what they left.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path

from materialize.seek_index_build import Building, require_library
from tol_db import progress
from tol_db.errors import ContainerChanged, ContainerError, InputError, printed
from tol_db.ingest.layout import Found, Roots, chosen_of, discover
from tol_db.ingest.scan import Stat, digest_of, scanned
from tol_db.ingest.scan_files import ScanFiles, remove_orphans, write_scan
from tol_db.ingest.scan_report import Note, listed
from tol_db.ingest.seek_indexes import SeekWish


@dataclass(frozen=True, slots=True)
class Share:
    """Which part of the containers: every ``of``-th of all sources' in natural order, from the ``number``-th on."""

    number: int
    of: int


@dataclass(slots=True)
class ScansLeft:
    """What a process left.

    Attributes:
        folder: where the scan files lie.
        scanned: containers that were read; members: what lies in them.
        kept: containers that had a scan file which tells of them as they are.
        unused: containers that were read although they had one, and why.
        damaged: archives whose bytes are at fault; their scan files tell of what lies before the fault.
        unreadable: containers that the file system could not read; nothing was left of them.
    """

    folder: Path
    scanned: int = 0
    members: int = 0
    kept: int = 0
    unused: list[Note] = field(default_factory=list)
    damaged: list[Note] = field(default_factory=list)
    unreadable: list[Note] = field(default_factory=list)

    def describe(self) -> list[str]:
        """Lines to print."""
        lines = [
            f"{self.scanned:,} containers scanned into {self.folder}, {self.members:,} files; "
            f"{self.kept:,} had been scanned before"
        ]
        for title, notes in (
            ("scan file not used", self.unused),
            ("damaged", self.damaged),
            ("unreadable", self.unreadable),
        ):
            lines += listed(title, [f"{note.path}: {note.why}" for note in notes])
        return lines

    def require_sound(self) -> None:
        """Raises: InputError, where an archive is damaged or a container cannot be read."""
        if self.damaged or self.unreadable:
            first = (self.damaged or self.unreadable)[0]
            raise InputError(
                f"containers damaged: {len(self.damaged):,}, unreadable: {len(self.unreadable):,}; "
                f"first {printed(first.path)}: {first.why}",
                hint="the others were scanned; fetch these again, then run the same command",
            )


def leave_scans(
    roots: Roots,
    folder: Path,
    *,
    only: range | None = None,
    share: Share | None = None,
    rehash: bool = False,
    seek: SeekWish | None = None,
) -> ScansLeft:
    """Scan containers and leave a file of each; those that have one which tells of them as they are, are not read.

    Args:
        roots: the folders of the sources.
        folder: where the scan files go; made if it is not there.
        only: as :func:`tol_db.ingest.containers.ingest_containers`.
        share: of these only so many.
        rehash: compare digests also where size and time are unchanged.
        seek: whether each ``.tar.gz`` is to have a seek index.

    Raises:
        UsageError: the range names none of the containers; the library for seek indexes is not installed.
        InputMissing, InputError: a root is not there or is no folder.
        CannotWrite: a scan file or a seek index cannot be written.
    """
    if seek is not None:
        require_library()
    left = ScansLeft(folder)
    chosen = [
        (key, root, found)
        for key, root in roots.items()
        for found in chosen_of(root, discover(key, root).containers, only)
    ]
    if share is not None:
        chosen = chosen[share.number :: share.of]
    if folder.is_dir():
        remove_orphans(folder)
    total = sum(_size_of(root / found.path) for _, root, found in chosen)
    with progress.track("scanning", total=total, unit="bytes") as tracker:
        for key, root, found in chosen:
            try:
                _leave(left, key, root, found, rehash, seek, tracker.advance)
            except ContainerError as err:
                left.unreadable.append(Note(found.path, err.why))
    return left


def _size_of(path: Path) -> int:
    try:
        return Stat.of(path).size
    except ContainerError:
        return 0


def _leave(
    left: ScansLeft,
    key: str,
    root: Path,
    found: Found,
    rehash: bool,
    seek: SeekWish | None,
    on_bytes: Callable[[int], None],
) -> None:
    path = root / found.path
    files = ScanFiles(left.folder, key, root)
    with files.scan_of(
        found, rehash=rehash, is_indexed=seek is not None, digest_of=lambda: digest_of(path, found.kind)
    ) as there:
        if there is not None:
            left.kept += 1
            on_bytes(there[0].stat.size)
            _tell_damage(left, found, there[0].fault)
            return
    left.unused += [Note(*note) for note in files.unused]
    with _building(path, found, seek) as building:

        def told(number: int) -> None:
            on_bytes(number)
            if building is not None:
                building.scanned(number)

        with scanned(path, found.kind, told) as scan:
            built = building.result() if building is not None and scan.fault is None else None
            if built is not None and (built.archive_bytes, built.archive_mtime_ns) != (
                scan.stat.size,
                scan.stat.mtime_ns,
            ):
                raise ContainerChanged(found.path, None, "it is not the archive that was scanned (any more)")
            write_scan(left.folder, key, found, scan, built)
            left.members += sum(1 for _ in scan.entries.lines())
            left.scanned += 1
            _tell_damage(left, found, scan.fault)


def _building(path: Path, found: Found, seek: SeekWish | None) -> AbstractContextManager[Building | None]:
    if seek is None or found.kind != "tar_gz":
        return nullcontext()
    folder = seek.folder.resolve() if seek.folder is not None else None
    return Building(path.resolve(), folder, spacing=seek.spacing)


def _tell_damage(left: ScansLeft, found: Found, fault: str | None) -> None:
    if fault is not None:
        left.damaged.append(Note(found.path, fault))
