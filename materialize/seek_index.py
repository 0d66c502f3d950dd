"""Random access to a .tar.gz by a file of seek points. Pure reading: no database.

Such a file is an index of indexed_gzip (its ``zran.h``: "zran_export_index", GZIDX version 1), which that library
reads as well: a table of points at which inflating can begin, and the 32 KB of data before each, its window.
A tail of ours follows, with a digest of each window. The *seal*, the sha256 of table and tail, stands in the
database; so opening costs a few hundred KB, not the whole file, and still no byte of it is trusted unseen.
:mod:`materialize.seek_index_build` writes it. Nothing here needs the library.
"""

from __future__ import annotations

import hashlib
import json
import os
import struct
import threading
from array import array
from bisect import bisect_right
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from materialize.archive import Unchanged, open_container, open_file, storage_error
from materialize.streams import GzipFrom, ZlibError
from tol_db.errors import ContainerChanged, ContainerError

SUFFIX = ".gzidx"
HEADER = struct.Struct("<5sBBQQIII")
"""Magic, version, flags, bytes of the archive, bytes inflated, spacing, bytes of a window, number of points."""
POINT = struct.Struct("<QQBB")
"""Offset in the archive, offset inflated, bits of the byte before that belong to the point, whether it has a window
(RFC 1951: a block may begin within a byte and refer to the 32 KB before it; the first of a stream does not)."""
MAGIC, VERSION = b"GZIDX", 1
WINDOW = 32 * 1024
TAIL = b"tol-db windows 1"
DIGEST = 16
"""Bytes of a window's sha256 that are kept."""

KEPT_OPEN = 64
"""Archives whose tables a process keeps: those of TreeOfLife-10M, of which each image of a shard may ask for
another one."""
KEPT_BYTES = 32 << 20
"""Bytes of their tables at most, as long as there are several; one of 30 GB takes 0.4 MB."""

REMEDY = "run `tol-db ingest containers --seek-index` on its folder"


@dataclass(frozen=True, slots=True)
class SeekIndex:
    """Where the index of an archive lies, and what it has to be.

    Attributes:
        path: absolute.
        seal: sha256 of its table and tail.
    """

    path: Path
    seal: bytes

    def record(self, root: Path) -> bytes:
        """As it stands in ``container.seek_index``: JSON; the path relative to the root if it lies below it."""
        path = self.path.relative_to(root) if self.path.is_relative_to(root) else self.path
        return json.dumps({"path": str(path), "seal": self.seal.hex()}).encode()

    @classmethod
    def of(cls, record: bytes | None, root: Path) -> SeekIndex | None:
        """What :meth:`record` wrote; None where there is none or it is no such record."""
        try:
            fields = json.loads(record or b"")
            return cls(root / fields["path"], bytes.fromhex(fields["seal"]))
        except (ValueError, TypeError, KeyError):
            return None


def index_name(archive: Path) -> str:
    return archive.name + SUFFIX


class Points:
    """The table of an index.

    Attributes:
        stored, inflated: offsets of the points in the archive and in its data, ascending.
        bits: of the byte before, one number a point.
        windows: number of windows before each point, and at last of all.
        digests: of the windows, one after the other.
        archive_bytes, inflated_bytes: of the whole.
    """

    def __init__(self, header: tuple[int, ...], table: bytes, digests: bytes) -> None:
        self.archive_bytes, self.inflated_bytes = header[3], header[4]
        self.stored, self.inflated, self.windows = array("Q"), array("Q"), array("L", [0])
        bits = bytearray()
        for stored, inflated, bit, has_window in POINT.iter_unpack(table):
            self.stored.append(stored)
            self.inflated.append(inflated)
            self.windows.append(self.windows[-1] + has_window)
            bits.append(bit)
        self.bits, self.digests = bytes(bits), digests
        self.bytes = 33 * len(bits) + len(digests)
        self.first_window = HEADER.size + len(table)

    def __len__(self) -> int:
        return len(self.stored)


def load_points(file: BinaryIO, archive: Path, index: SeekIndex) -> Points:
    """Read the table and tail of an index.

    Raises:
        ContainerError: it is cut off or broken, or another one than the database knows.
        OSError: it cannot be read.
    """
    fd = file.fileno()
    head = _pread(fd, HEADER.size, 0)
    header = HEADER.unpack(head) if len(head) == HEADER.size else (b"",) * 8
    fits = header[:2] == (MAGIC, VERSION) and header[6] == WINDOW
    if not fits or HEADER.size + POINT.size * header[7] > os.fstat(fd).st_size:
        raise _unfit(archive, index.path, "is none, or is cut off")
    table = _pread(fd, POINT.size * header[7], HEADER.size)
    number = table[POINT.size - 1 :: POINT.size].count(1)
    tail = _pread(fd, len(TAIL) + DIGEST * number, HEADER.size + len(table) + WINDOW * number)
    if hashlib.sha256(head + table + tail).digest() != index.seal:
        raise _unfit(archive, index.path, "is damaged, or not the one that was made when the archive was indexed")
    return Points(header, table, tail[len(TAIL) :])


class IndexedArchive:
    """An archive and its index, both open.

    Raises:
        ContainerChanged: one of them is not there (any more).
        ContainerError: one of them cannot be read, or the index is not that of the archive.
    """

    def __init__(self, path: Path, index: SeekIndex) -> None:
        self.path, self.index = path, index
        self.users = 0
        with ExitStack() as opened:
            self._archive = opened.enter_context(open_container(path))
            self.unchanged = Unchanged(self._archive, path)
            self._index = opened.enter_context(self._opened())
            try:
                self.points = load_points(self._index, path, index)
                size = os.fstat(self._archive.fileno()).st_size
            except OSError as err:
                raise storage_error(index.path, None, err) from err
            if self.points.archive_bytes != size:
                raise _unfit(path, index.path, f"is that of an archive of {self.points.archive_bytes:,} bytes")
            self._files = opened.pop_all()

    def _opened(self) -> BinaryIO:
        try:
            return open_file(self.index.path)
        except FileNotFoundError:
            raise ContainerChanged(
                self.path, None, f"its seek index {self.index.path} is not there (any more)", hint=REMEDY
            ) from None
        except OSError as err:
            raise storage_error(self.index.path, None, err) from err

    def close(self) -> None:
        self._files.close()

    def lies_there(self) -> bool:
        """Whether both files are still those of their names. Raises: OSError."""
        pairs = ((self.path, self._archive), (self.index.path, self._index))
        return all(os.path.samestat(path.stat(), os.fstat(file.fileno())) for path, file in pairs)

    def from_point(self, offset: int) -> tuple[GzipFrom, int]:
        """The inflated bytes from the last point at or before an offset on, and where that point is.

        Raises:
            ContainerError: the point's window is not the one that was written.
            OSError: the archive or the index cannot be read.
        """
        points = self.points
        number = bisect_right(points.inflated, offset) - 1
        if number < 0:
            raise _unfit(self.path, self.index.path, "has no point at the beginning")
        stored, bits, before = points.stored[number], points.bits[number], points.windows[number]
        window = b""
        if points.windows[number + 1] > before:
            window = _pread(self._index.fileno(), WINDOW, points.first_window + WINDOW * before)
            if hashlib.sha256(window).digest()[:DIGEST] != points.digests[DIGEST * before :][:DIGEST]:
                raise _unfit(self.path, self.index.path, f"is damaged at point {number:,}")
        raw = _StoredFrom(self._archive.fileno(), stored - (bits > 0))
        return GzipFrom(raw, window, bits), points.inflated[number]


class IndexedReader:
    """The data of an indexed archive, as a file of which pieces are read.

    Raises (in ``read``):
        ContainerError: what lies there cannot be inflated, or the index is damaged.
        OSError
    """

    def __init__(self, archive: IndexedArchive) -> None:
        self._archive = archive
        self._source: GzipFrom | None = None
        self._at = 0

    def seek(self, offset: int, /) -> int:
        self._source, self._at = None, offset
        return offset

    def read(self, size: int, /) -> bytes:
        try:
            if self._source is None:
                self._source, start = self._archive.from_point(self._at)
                self._source.skip(self._at - start)
            return self._source.read(size)
        except (EOFError, ZlibError):
            raise ContainerError(
                self._archive.path,
                None,
                f"what lies at byte {self._at:,} of its data cannot be inflated by its seek index "
                f"{self._archive.index.path}",
                hint="run `tol-db ingest containers --rehash --seek-index` on its folder: "
                "it tells which of the two is damaged",
            ) from None


class _StoredFrom:
    """The bytes of a file from an offset on; several may read from one descriptor."""

    def __init__(self, fd: int, offset: int) -> None:
        self._fd, self._offset = fd, offset

    def read(self, size: int, /) -> bytes:
        data = _pread(self._fd, size, self._offset)
        self._offset += len(data)
        return data

    def skip(self, size: int, /) -> int:
        self._offset += size
        return size


def _pread(fd: int, size: int, offset: int) -> bytes:
    data = os.pread(fd, size, offset)
    while len(data) < size and (more := os.pread(fd, size - len(data), offset + len(data))):
        data += more
    return data


class _KeptOpen:
    """The archives that were read last, so that a shard that goes back and forth opens each once."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._kept: OrderedDict[tuple[Path, SeekIndex], IndexedArchive] = OrderedDict()

    def take(self, path: Path, index: SeekIndex) -> IndexedArchive:
        with self._lock:
            archive = self._kept.get((path, index))
            if archive is not None and not archive.users and _was_changed(archive):
                self._kept.pop((path, index)).close()
                archive = None
            if archive is None:
                archive = self._kept[path, index] = IndexedArchive(path, index)
            self._kept.move_to_end((path, index))
            archive.users += 1
            self._let_go()
            return archive

    def give_back(self, archive: IndexedArchive, *, is_sound: bool) -> None:
        with self._lock:
            archive.users -= 1
            key = (archive.path, archive.index)
            if not is_sound and not archive.users and self._kept.get(key) is archive:
                self._kept.pop(key).close()

    def _let_go(self) -> None:
        for key, archive in list(self._kept.items()):
            held = sum(kept.points.bytes for kept in self._kept.values())
            if len(self._kept) <= KEPT_OPEN and (held <= KEPT_BYTES or len(self._kept) == 1):
                return
            if not archive.users:
                self._kept.pop(key).close()


def _was_changed(archive: IndexedArchive) -> bool:
    """Whether other files lie there now, or the open ones were written to."""
    try:
        archive.unchanged.require("")
        return not archive.lies_there()
    except (OSError, ContainerError):
        return True


_kept_open = _KeptOpen()


@contextmanager
def indexed(path: Path, index: SeekIndex) -> Iterator[IndexedArchive]:
    """An archive by its index; it stays open for the next time, with some others.

    Raises:
        ContainerChanged, ContainerError: as :class:`IndexedArchive`.
    """
    archive = _kept_open.take(path, index)
    is_sound = False
    try:
        yield archive
        is_sound = True
    except GeneratorExit:
        is_sound = True
        raise
    finally:
        _kept_open.give_back(archive, is_sound=is_sound)


def require_index(path: Path, index: SeekIndex) -> None:
    """Raises: ContainerChanged, ContainerError, unless an index is there, whole in its table, and the archive's."""
    IndexedArchive(path, index).close()


def _unfit(archive: Path, index: Path, what: str) -> ContainerError:
    return ContainerError(archive, None, f"its seek index {index} {what}", hint=REMEDY)
