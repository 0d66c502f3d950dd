"""Read what lies in one container, without the database: an archive can take minutes, a lock must not."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from materialize.archive import Archive, open_file
from materialize.containers import listing, storage_error
from materialize.streams import READ, HashingReader
from tol_db.errors import CannotWrite, ContainerChanged, ContainerError

NOT_PLAIN = "not a plain file: a link, a device or a sparse file"
SUBFOLDER = "a subfolder; what lies in it is not looked at"


@dataclass(frozen=True, slots=True)
class Entry:
    """Something in a container.

    Attributes:
        index: as in :class:`materialize.containers.Member`; subfolders of a folder follow its files.
        name: as the container spells it; bytes that are not UTF-8 are surrogates.
        offset: of its data in the uncompressed archive; None in a folder.
        size: bytes; None where it is no file.
        stray: why it can be no image, whatever its name, or None.
    """

    index: int
    name: str
    offset: int | None
    size: int | None
    stray: str | None


@dataclass(frozen=True, slots=True)
class Stat:
    """What tells quickly that nothing changed: bytes (0 for a folder) and time of last modification."""

    size: int
    mtime_ns: int

    @classmethod
    def of(cls, path: Path) -> Stat:
        """Raises: ContainerChanged, ContainerError, as :func:`materialize.containers.storage_error`."""
        try:
            status = path.stat()
        except OSError as err:
            raise storage_error(path, None, err) from err
        return cls(0 if path.is_dir() else status.st_size, status.st_mtime_ns)


@dataclass(frozen=True, slots=True)
class Scan:
    """What was read of a container.

    Attributes:
        entries: all of them, or those before the fault; iterate as often as needed.
        stat: as it was before the first byte was read.
        digest: sha256 of the archive, or of the folder's listing; None where there is a fault.
        fault: what is wrong with an archive's bytes, or None.
        remark: on what follows the end of an archive, or "".
    """

    entries: Spool
    stat: Stat
    digest: bytes | None
    fault: str | None = None
    remark: str = ""


class Spool:
    """Entries on disk, so that an archive of millions of members takes no more memory than one of ten."""

    def __init__(self, file: IO[str]) -> None:
        self._file = file

    def append(self, entry: Entry) -> None:
        fields = (entry.index, entry.name, entry.offset, entry.size, entry.stray)
        self._file.write(json.dumps(fields) + "\n")  # ASCII; surrogates survive as escapes

    def append_line(self, line: str) -> None:
        """An entry as :meth:`lines` gave it."""
        self._file.write(line)

    def __iter__(self) -> Iterator[Entry]:
        for line in self.lines():
            yield Entry(*json.loads(line))

    def lines(self) -> Iterator[str]:
        """The entries as they are written down, each a line of JSON in ASCII."""
        self._file.seek(0)
        yield from self._file


@contextmanager
def scanned(path: Path, kind: str, on_bytes: Callable[[int], None] | None = None) -> Iterator[Scan]:
    """Read a container from its start to its end.

    Args:
        path: the container.
        kind: ``tar_gz``, ``tar`` or ``directory``.
        on_bytes: called with each number of bytes read of an archive.

    Raises:
        ContainerChanged: it is not there (any more), or was written to meanwhile.
        ContainerError: the file system cannot read it. A damaged archive is no error but a ``fault``.
        CannotWrite: there is no room for temporary files.
    """
    before = Stat.of(path)
    with tempfile.TemporaryFile("w+", encoding="ascii") as file:
        spool = Spool(file)
        try:
            if kind == "directory":
                scan = Scan(spool, before, _read_folder(path, spool))
            else:
                scan = _read_archive(path, kind, before, spool, on_bytes)
            file.flush()
        except OSError as err:  # of the spool: those of the container are ContainerErrors by now
            raise CannotWrite(
                f"{tempfile.gettempdir()}: {err.strerror}", hint="make room there, or set TMPDIR"
            ) from err
        if Stat.of(path) != before:
            raise ContainerChanged(
                path, None, "it was written to while it was read", hint="let the download end, then run again"
            )
        yield scan


def digest_of(path: Path, kind: str, on_bytes: Callable[[int], None] | None = None) -> bytes:
    """The sha256 of an archive, or of a folder's listing (names and sizes, not contents).

    Raises:
        ContainerChanged, ContainerError: as :func:`scanned`.
    """
    if kind == "directory":
        return bytes.fromhex(listing(path)[2])
    try:
        reader = HashingReader(open_file(path), on_bytes, hashed=True)
        try:
            while reader.read(READ):
                pass
            return reader.digest()
        finally:
            reader.close()
    except OSError as err:
        raise storage_error(path, None, err) from err


def _read_folder(path: Path, spool: Spool) -> bytes:
    members, others, digest = listing(path)
    for member in members:
        spool.append(Entry(member.index, member.name, None, member.size, None))
    for index, name in enumerate(others, len(members)):
        is_folder = os.path.isdir(path / name)  # noqa: PTH112  of a surrogate name too, without an error
        spool.append(Entry(index, name, None, None, SUBFOLDER if is_folder else NOT_PLAIN))
    return bytes.fromhex(digest)


def _read_archive(path: Path, kind: str, stat: Stat, spool: Spool, on_bytes: Callable[[int], None] | None) -> Scan:
    with Archive(path, kind, on_bytes, hashed=True) as archive:
        try:
            for entry in _whole_entries(archive):
                spool.append(entry)
            remark = archive.drain()
        except ContainerError as err:
            if not archive.is_damaged:
                raise
            return Scan(spool, stat, None, err.why)
        return Scan(spool, stat, archive.digest(), None, remark)


def _whole_entries(archive: Archive) -> Iterator[Entry]:
    """The entries that lie in the archive in full: each follows when the next one has been reached.

    An entry for a folder says nothing that the names of its files do not say, and is passed over.
    """
    last: Entry | None = None
    for member in archive:
        if last is not None:
            yield last
        stray = None if member.is_file else NOT_PLAIN
        last = None if member.is_folder else Entry(member.index, member.name, member.offset, member.size, stray)
    if last is not None:
        yield last
