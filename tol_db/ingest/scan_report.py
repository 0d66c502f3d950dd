"""What a scan of containers found, as values and as lines to print."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tol_db.errors import InputError, printed
from tol_db.ingest.layout import Ignored

SHOWN = 5
"""How many names a line of a report lists; the rest is counted."""


@dataclass(frozen=True, slots=True)
class Note:
    """A container and what is to be said of it."""

    path: str
    why: str


@dataclass(frozen=True, slots=True)
class SourceScan:
    """The scan of one source.

    Attributes:
        key: of the source.
        root: its folder.
        scanned: containers read in this run, damaged ones among them.
        unchanged: containers that are as the last scan left them.
        changed: containers read again, and why.
        remarks: what follows the end of an archive.
        damaged: archives whose bytes are at fault, in this run or before; what lies before the fault is kept.
        unreadable: containers that the file system could not read; nothing was recorded of them.
        missing: containers that the mapping names or an earlier scan has seen, and that are not on disk.
        newly_missing: how many of these were not missing before.
        ignored: what lies under the root and is no container.
        members, matched, strays, new: sums over the containers read in this run.
        files_without_row: strays of all containers.
        rows_without_file: image rows of the source that no scan has found a file for.
        indexed: archives that were given a seek index in this run.
        not_indexed: archives that should have one, and of which none could be made.
        loaded: how many of the scanned were not read but had a scan file.
        unused_files: containers that were read although they had one, and why.
        has_rows: False where the source has no image row at all: nothing was scanned then.
    """

    key: str
    root: Path
    scanned: int = 0
    unchanged: int = 0
    changed: tuple[Note, ...] = ()
    remarks: tuple[Note, ...] = ()
    damaged: tuple[Note, ...] = ()
    unreadable: tuple[Note, ...] = ()
    missing: tuple[str, ...] = ()
    newly_missing: int = 0
    ignored: tuple[Ignored, ...] = ()
    members: int = 0
    matched: int = 0
    strays: int = 0
    new: int = 0
    files_without_row: int = 0
    rows_without_file: int = 0
    indexed: int = 0
    not_indexed: tuple[Note, ...] = ()
    loaded: int = 0
    unused_files: tuple[Note, ...] = ()
    has_rows: bool = True

    def describe(self) -> list[str]:
        """Lines to print."""
        if not self.has_rows:
            return [f"{self.key:8} no image row; its containers were not scanned"]
        lines = [
            f"{self.key:8} {self.scanned:,} containers scanned, {self.unchanged:,} unchanged, "
            f"{len(self.missing):,} missing"
        ]
        if self.scanned:
            lines.append(f"{'':8} {self.members:,} files: {self.matched:,} matched, {self.strays:,} strays")
        if self.loaded:
            lines.append(f"{'':8} {self.loaded:,} of them from scan files")
        if self.indexed:
            lines.append(f"{'':8} {self.indexed:,} seek indexes made")
        for title, notes in (
            ("scan file not used", self.unused_files),
            ("read again", self.changed),
            ("remark", self.remarks),
            ("damaged", self.damaged),
            ("unreadable", self.unreadable),
            ("no seek index", self.not_indexed),
        ):
            lines += listed(title, [f"{note.path}: {note.why}" for note in notes])
        lines += listed("missing", self.missing)
        lines += listed("ignored", [f"{other.path} ({other.why})" for other in self.ignored])
        if self.rows_without_file:
            lines.append(
                f"{'':8} {self.rows_without_file:,} rows without a file: `tol-db report audit images_without_file`"
            )
        if self.files_without_row:
            lines.append(
                f"{'':8} {self.files_without_row:,} files without a row: `tol-db report audit files_without_image`"
            )
        return lines


@dataclass(frozen=True, slots=True)
class ContainersResult:
    """The scans of the sources, in the order eol, inat21, bioscan."""

    sources: tuple[SourceScan, ...]

    @property
    def unchanged(self) -> bool:
        """Whether nothing was read and nothing has gone since the last scan."""
        return not any(scan.scanned or scan.newly_missing or scan.indexed for scan in self.sources)

    def describe(self) -> list[str]:
        """Lines to print."""
        lines = [line for scan in self.sources for line in scan.describe()]
        return [*lines, "nothing changed"] if self.unchanged else lines

    def require_sound(self) -> None:
        """Raises: InputError, where an archive is damaged, a container cannot be read, or an index not be made."""
        damaged = [note for scan in self.sources for note in scan.damaged]
        unreadable = [note for scan in self.sources for note in scan.unreadable]
        if damaged or unreadable:
            first = (damaged or unreadable)[0]
            raise InputError(
                f"containers damaged: {len(damaged):,}, unreadable: {len(unreadable):,}; "
                f"first {printed(first.path)}: {first.why}",
                hint="everything else was ingested; fetch these again, then run `tol-db ingest containers DIR`",
            )
        not_indexed = [note for scan in self.sources for note in scan.not_indexed]
        if not_indexed:
            raise InputError(
                f"no seek index of {len(not_indexed):,} archives; first {printed(not_indexed[0].path)}: "
                f"{not_indexed[0].why}",
                hint="everything was ingested; `gunzip` these to .tar and scan again, or plan in --order source",
            )


def listed(title: str, items: Sequence[str]) -> list[str]:
    """``title: item``, one line each, the first few of them."""
    lines = [f"{'':8} {title}: {printed(item)}" for item in items[:SHOWN]]
    return lines if len(items) <= SHOWN else [*lines, f"{'':8} … and {len(items) - SHOWN:,} more {title}"]
