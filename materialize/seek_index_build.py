"""Makes the seek index of a .tar.gz (:mod:`materialize.seek_index`) with the library indexed_gzip.

zlib tells the library where deflate blocks begin, which no module of Python's does. It holds an index in memory
whole, with all windows; so it is led in stretches, each begun with the last two points of the one before,
and what is known of a stretch is written down.
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import importlib
import io
import os
import tempfile
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from materialize.archive import Unchanged, open_container, storage_error
from materialize.seek_index import DIGEST, HEADER, MAGIC, POINT, TAIL, VERSION, WINDOW, SeekIndex, index_name
from tol_db.errors import CannotWrite, ContainerError, LeaseHeld, TolDbError, UsageError

SPACING = 4 << 20
"""Bytes of data between two points. A member of 300 KB then costs 8 ms on the average, of which 7 are for
what lies before it, and the index 8 MB for each GB; half of it costs half the time and twice the room."""
STRETCH = 64 << 20
"""Bytes of data that the library is led over at a time."""
READ = 1 << 20
AHEAD = 256 << 20
"""Bytes that a scan may be ahead of the index: so one of the two reads from the disk, and the other from memory."""


def require_library() -> None:
    """Raises: UsageError, where indexed_gzip is not installed."""
    try:
        _library()
    except ImportError as err:
        raise UsageError(
            f"seek indexes are made by the library indexed_gzip, which is not installed ({err})",
            hint="pip install 'tol-db[index]'; without it `gunzip` the archives, or `tol-db fetch eol --as-tar`",
        ) from None


def _library() -> Any:
    return importlib.import_module("indexed_gzip")


@dataclass(frozen=True, slots=True)
class Built:
    """An index that was made.

    Attributes:
        index: it.
        bytes: its size.
        archive_bytes, archive_mtime_ns: of the archive that was read for it.
    """

    index: SeekIndex
    bytes: int
    archive_bytes: int
    archive_mtime_ns: int


class Building:
    """Makes the index of an archive in a thread; use it in a ``with`` statement, which ends the thread.

    Args:
        path: the archive.
        folder: where the index is to lie, beside the archive by default.
        spacing: bytes of data between two points.
        on_bytes: called with each number of bytes of the archive that the index has come further.

    Raises (at once):
        CannotWrite: the folder cannot be written to.
        LeaseHeld: another process makes this index.
        ContainerChanged, ContainerError: the archive is not there or cannot be read.
    """

    def __init__(
        self,
        path: Path,
        folder: Path | None = None,
        *,
        spacing: int = SPACING,
        on_bytes: Callable[[int], None] | None = None,
    ) -> None:
        self._moved = threading.Condition()
        self._read = self._scanned = 0
        self._is_stopped = False
        self._on_bytes = on_bytes
        self._path, self._spacing = path, spacing
        self._target = (folder or path.parent).absolute() / index_name(path)
        self._partial = _Partial(self._target)
        try:
            self._file = open_container(path)
        except BaseException:
            self._partial.close()
            raise
        self._thread = ThreadPoolExecutor(1, "seek-index")
        self._work: Future[Built] = self._thread.submit(self._made)

    def __enter__(self) -> Building:
        return self

    def __exit__(self, *_exc: object) -> None:
        with self._moved:
            self._is_stopped = True
        self._thread.shutdown()
        self._partial.close()
        self._file.close()

    def scanned(self, number: int) -> None:
        """A scan of the same archive has read so many more bytes; waits where it is too far ahead."""
        self._scanned += number
        if self._scanned - self._read > AHEAD:
            with self._moved:
                while self._scanned - self._read > AHEAD and not self._work.done():
                    self._moved.wait(1.0)

    def result(self) -> Built:
        """The index under its final name.

        Raises:
            ContainerError: the archive is damaged, or its storage.
            ContainerChanged: it was written to meanwhile.
            CannotWrite
        """
        while not self._work.done():  # in steps, so that a signal is taken notice of
            with self._moved:
                self._moved.wait(0.2)
        return self._work.result()

    def _made(self) -> Built:
        try:
            unchanged = Unchanged(self._file, self._path)
            status = os.fstat(self._file.fileno())
            with _Spool(self._target.parent) as spool:
                self._lead(_Source(self._file.fileno(), status.st_size, self._on_read), spool, status.st_size)
                unchanged.require("")
                seal, size = self._partial.publish(spool, status.st_size, self._spacing)
        except _Stopped:
            raise ContainerError(self._path, None, "its seek index was not finished") from None
        except OSError as err:
            raise storage_error(self._path, None, err) from err
        finally:
            with self._moved:
                self._moved.notify_all()
        return Built(SeekIndex(self._target, seal), size, status.st_size, status.st_mtime_ns)

    def _on_read(self, end: int) -> None:
        """The library has read up to a byte, not always further than before."""
        if self._is_stopped:
            raise _Stopped
        further = end - self._read
        if further > 0:
            with self._moved:
                self._read = end
                self._moved.notify_all()
            if self._on_bytes is not None:
                self._on_bytes(further)

    def _lead(self, source: _Source, spool: _Spool, size: int) -> None:
        """Lead the library over the archive, stretch by stretch."""
        library = _library()
        while not spool.is_whole:
            # a buffer of the least size: the library's is of four spacings, and nothing is read here
            with library.IndexedGzipFile(
                fileobj=source, spacing=self._spacing, readbuf_size=READ, buffer_size=1, skip_crc_check=True
            ) as file:
                try:
                    if spool.number:
                        file.import_index(fileobj=io.BytesIO(spool.last_points(size, self._spacing)))
                    file.seek(spool.reached + STRETCH)
                except (library.ZranError, OSError) as err:
                    raise _cause(err, self._path) from err
                out = io.BytesIO()
                file.export_index(fileobj=out)
            spool.take(out.getvalue())


class _Stopped(Exception):
    """Whoever wanted the index does not wait for it any more."""


def _cause(err: BaseException, path: Path) -> BaseException:
    """What a fault of the library is: often the one that it met when it read."""
    cause = err.__cause__ or err.__context__
    if isinstance(cause, (_Stopped, OSError)):
        return cause
    if isinstance(err, OSError) and err.errno:
        return err
    return ContainerError(
        path, None, f"no seek index can be made of it: {err}", hint="`gunzip` it to a .tar, and scan that"
    )


class _Source(io.RawIOBase):
    """The archive for the library; without a descriptor, of which it would open a stream and never close it."""

    def __init__(self, fd: int, size: int, on_read: Callable[[int], None]) -> None:
        self._fd, self._size, self._on_read = fd, size, on_read
        self._at = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def readinto(self, buffer: Any, /) -> int:
        number = os.preadv(self._fd, [buffer], self._at)
        self._at += number
        self._on_read(self._at)
        return number

    def seek(self, offset: int, whence: int = os.SEEK_SET, /) -> int:
        base = {os.SEEK_SET: 0, os.SEEK_CUR: self._at, os.SEEK_END: self._size}[whence]
        self._at = base + offset
        return self._at

    def tell(self) -> int:
        return self._at


class _Spool:
    """The points so far, and their windows on disk."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.number = self.inflated = 0
        self.is_whole = False
        self.table, self.digests = bytearray(), bytearray()
        self._last: list[tuple[bytes, bytes]] = []

    def __enter__(self) -> _Spool:
        try:
            self._windows = tempfile.TemporaryFile(dir=self._folder)
        except OSError as err:
            raise _cannot_write(self._folder, err) from err
        return self

    def __exit__(self, *_exc: object) -> None:
        self._windows.close()

    @property
    def reached(self) -> int:
        """Offset in the data of the last point."""
        return int(POINT.unpack(self.table[-POINT.size :])[1]) if self.number else 0

    def take(self, exported: bytes) -> None:
        """Add the points of an exported index that are new."""
        header = HEADER.unpack_from(exported)
        self.inflated, number = header[4], header[7]
        self.is_whole = self.inflated > 0
        window_at = HEADER.size + POINT.size * number
        reached, before = self.reached, self.number
        for at in range(HEADER.size, window_at, POINT.size):
            point = exported[at : at + POINT.size]
            _stored, inflated, _bits, has_window = POINT.unpack(point)
            window = exported[window_at : window_at + WINDOW * has_window]
            window_at += len(window)
            is_new = inflated > reached or not self.number
            if is_new and not (self.is_whole and inflated >= self.inflated):  # the last point is the end itself
                self._add(point, window)
        if not self.is_whole and self.number == before:
            raise ContainerError(self._folder, None, "the library indexed_gzip does not come further")

    def _add(self, point: bytes, window: bytes) -> None:
        self.table += point
        self.number += 1
        if window:
            self.digests += hashlib.sha256(window).digest()[:DIGEST]
            try:
                self._windows.write(window)
            except OSError as err:
                raise _cannot_write(self._folder, err) from err
        self._last = [*self._last[-1:], (point, window)]

    def last_points(self, size: int, spacing: int) -> bytes:
        """The last two points as an index of their own: two, because the library reckons with their ratio."""
        header = HEADER.pack(MAGIC, VERSION, 0, size, 0, spacing, WINDOW, len(self._last))
        return b"".join([header, *(point for point, _ in self._last), *(window for _, window in self._last)])

    def windows(self) -> IO[bytes]:
        self._windows.seek(0)
        return self._windows


class _Partial:
    """``.NAME.partial``: locked, so that no two processes write it; what a dead one left is overwritten."""

    def __init__(self, target: Path) -> None:
        self._target = target
        self._path = target.with_name(f".{target.name}.partial")
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            self._fd = self._locked()
        except OSError as err:
            raise _cannot_write(target.parent, err) from err

    def _locked(self) -> int:
        while True:
            fd = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
            try:
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as err:
                if err.errno in (errno.EWOULDBLOCK, errno.EACCES):
                    os.close(fd)
                    raise LeaseHeld(
                        f"{self._target}: another process makes this index", hint="let it end"
                    ) from None
                return fd  # a file system without locks: who starts two has to see to it
            with suppress(FileNotFoundError):
                if os.path.samestat(self._path.stat(), os.fstat(fd)):
                    return fd
            os.close(fd)  # the other one was done between the two calls: what is open has its final name now

    def publish(self, spool: _Spool, size: int, spacing: int) -> tuple[bytes, int]:
        """Write the whole index, sync it, give it its name; returns its seal and its size."""
        head = HEADER.pack(MAGIC, VERSION, 0, size, spool.inflated, spacing, WINDOW, spool.number)
        tail = TAIL + bytes(spool.digests)
        try:
            os.ftruncate(self._fd, 0)
            with os.fdopen(os.dup(self._fd), "wb") as file:
                file.write(head + spool.table)
                windows = spool.windows()
                while block := windows.read(READ):
                    file.write(block)
                file.write(tail)
                file.flush()
                os.fsync(file.fileno())
                length = file.tell()
            self._path.replace(self._target)
            _sync_folder(self._target.parent)
        except OSError as err:
            raise _cannot_write(self._target, err) from err
        return hashlib.sha256(head + spool.table + tail).digest(), length

    def close(self) -> None:
        """Remove it, unless it has its final name."""
        with suppress(OSError):
            if os.path.samestat(self._path.stat(), os.fstat(self._fd)):
                self._path.unlink()
        os.close(self._fd)


def _sync_folder(folder: Path) -> None:
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def _cannot_write(path: Path, err: OSError) -> TolDbError:
    return CannotWrite(
        f"{path}: {err.strerror or err}", hint="make room, or name another folder: --seek-index-dir FOLDER"
    )
