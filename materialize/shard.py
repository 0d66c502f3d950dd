"""The shard file protocol: partial → synced → receipt → final name. Pure files: no database.

A shard has its final name only when it is whole and on the disk:

1. samples go through a hashing writer into ``.<name>.<token>.partial`` beside the target;
2. any exception unlinks the partial, which is never closed into a valid tar;
3. flush, fsync;
4. the receipt is written (partial, fsync, rename);
5. the final name is taken without overwriting (link(2), or renameat2 with RENAME_NOREPLACE); the partial is
   unlinked and the folder synced.

Headers are what :class:`webdataset.TarWriter` writes with mtime 0 (ustar; mode 0444, owner ``bigdata``),
built by hand because a header by :mod:`tarfile` costs ten times as much, and what samples of one label have in
common only once; a test holds the bytes equal. Same
samples in the same order: same bytes, on any machine.
"""

from __future__ import annotations

import ctypes
import errno
import functools
import hashlib
import io
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from operator import attrgetter
from pathlib import Path
from typing import Any

from materialize.steps import SmallFile, Step, reached
from tol_db.errors import CannotWrite, ShardConflict

BLOCK = 512
RECORD = 20 * BLOCK  # tarfile.RECORDSIZE: an archive is padded to a multiple of it
LARGEST_MEMBER = 8**11 - 1  # eleven octal digits
NAME = 100
"""Bytes of the name field of a header."""
PACE = 32 << 20
"""Bytes after which the disk is told to begin writing, so that little is left for the fsync at the end."""

_BEFORE_SIZE = b"0000444\0" + b"0000000\0" * 2
_AFTER_SIZE = b"00000000000\0"
_AFTER_CHECKSUM = b"0" + bytes(100) + b"ustar\x0000" + b"bigdata".ljust(32, b"\0") * 2 + bytes(16 + 155 + 12)
_NAME_AND_BEFORE_SIZE = bytes(NAME) + _BEFORE_SIZE
_PADDINGS = tuple(bytes(length) for length in range(BLOCK))
_EXTENSION = attrgetter("extension")
_CONSTANT_SUM = sum(_BEFORE_SIZE) + sum(_AFTER_SIZE) + 8 * ord(" ") + sum(_AFTER_CHECKSUM)


def member_header(name: str, size: int) -> bytes:
    """The 512-byte ustar header of a member (POSIX.1-2017, pax, "ustar Interchange Format").

    Raises:
        ValueError: a name of more than 100 bytes or outside ASCII, a size of 8 GiB or more.
    """
    encoded = name.encode("ascii")
    if len(encoded) > NAME or not 0 <= size <= LARGEST_MEMBER:
        raise ValueError(f"does not fit a ustar header: {name!r}, {size} bytes")
    digits = b"%011o\0" % size
    checksum = _CONSTANT_SUM + sum(encoded) + sum(digits)
    return b"".join(
        (
            encoded.ljust(NAME, b"\0"),
            _BEFORE_SIZE,
            digits,
            _AFTER_SIZE,
            b"%06o\0 " % checksum,
            _AFTER_CHECKSUM,
        )
    )


@dataclass(frozen=True, slots=True)
class Part:
    """A member of a sample without the sample's key; one text serves all samples that have it.

    Attributes:
        extension: its name is the key, a dot and this.
        suffix: the extension as it stands in a name.
        digits: the size field.
        total: the sum of the header's bytes but for the key's, with the checksum as blanks.
        data: the bytes.
        padding: zeros up to the end of the block.
    """

    extension: str
    suffix: bytes
    digits: bytes
    total: int
    data: bytes
    padding: bytes


def part(extension: str, data: bytes) -> Part:
    """All of a member that can be said before its sample's key is known.

    Raises:
        ValueError: an extension outside ASCII, or 8 GiB of data or more.
    """
    if len(data) > LARGEST_MEMBER:
        raise ValueError(f"does not fit a ustar header: {extension!r}, {len(data)} bytes")
    suffix, digits = b"." + extension.encode("ascii"), b"%011o\0" % len(data)
    total = _CONSTANT_SUM + sum(suffix) + sum(digits)
    return Part(extension, suffix, digits, total, data, _PADDINGS[-len(data) % BLOCK])


def sample_bytes(key: str, parts: Iterable[Part]) -> bytes:
    """A sample as it stands in a shard: its parts in ASCII order of extension, each header, data, padding.

    Raises:
        ValueError: a key outside ASCII, or a name of more than 100 bytes.
    """
    encoded = key.encode("ascii")
    key_sum, length = sum(encoded), len(encoded)
    blocks: list[bytes] = []
    for each in sorted(parts, key=_EXTENSION):
        named = length + len(each.suffix)
        if named > NAME:
            raise ValueError(f"does not fit a ustar header: {key}.{each.extension}")
        blocks += (encoded, each.suffix, _NAME_AND_BEFORE_SIZE[named:], each.digits, _AFTER_SIZE)
        blocks += (b"%06o\0 " % (each.total + key_sum), _AFTER_CHECKSUM, each.data, each.padding)
    return b"".join(blocks)


@dataclass(frozen=True, slots=True)
class ShardFile:
    """A shard that is whole.

    Attributes:
        size: bytes.
        sha256: hex, over all of it.
        samples: how many it holds.
        inode, mtime_ns: of the file; its final name is a link to the same one.
    """

    size: int
    sha256: str
    samples: int
    inode: int
    mtime_ns: int


class ShardWriter:
    """Writes one shard under its partial name.

    Args:
        final: the name it will have.
        token: of the attempt; makes the partial's name unique.

    Raises:
        CannotWrite: from any method, with the partial unlinked.
    """

    def __init__(self, final: Path, token: str) -> None:
        self.final = final
        self.partial = partial_name(final, token)
        self.samples = 0
        self._bytes = 0
        self._sha256 = hashlib.sha256()
        self._paced = 0
        self._file: io.FileIO | None = None
        with self._failing_cleanly():
            reached(Step.SHARD_OPEN)
            final.parent.mkdir(parents=True, exist_ok=True)
            self._file = io.FileIO(self.partial, "x")  # unbuffered: a sample is a large piece already

    def add(self, key: str, parts: Iterable[Part]) -> None:
        """Append a sample."""
        with self._failing_cleanly():
            reached(Step.SHARD_WRITE)
            self._write(sample_bytes(key, parts))
        self.samples += 1

    def finish(self) -> ShardFile:
        """Write the end of the archive and bring all of it to the disk; it still has its partial name."""
        with self._failing_cleanly():
            reached(Step.SHARD_END)
            end = 2 * BLOCK
            self._write(bytes(end + -(self._bytes + end) % RECORD))
            file = self._open_file()
            reached(Step.SHARD_FLUSH)
            file.flush()  # nothing is buffered here; the step stays, as faults are tried at each
            reached(Step.SHARD_FSYNC)
            os.fsync(file.fileno())
            status = os.fstat(file.fileno())
            file.close()
        return ShardFile(self._bytes, self._sha256.hexdigest(), self.samples, status.st_ino, status.st_mtime_ns)

    def publish(self) -> None:
        """Give the finished shard its final name.

        If the name is taken by equal bytes, that is fine: the same unit was run twice.

        Raises:
            ShardConflict: it is taken by other bytes; the partial is gone, the file in the way untouched.
        """
        with self._failing_cleanly():
            reached(Step.SHARD_LINK)
            try:
                link_exclusively(self.partial, self.final)
            except FileExistsError:
                if sha256_of(self.final) != self._sha256.hexdigest():
                    raise ShardConflict(
                        self.final,
                        hint="`tol-db materialize` sets it aside on its next start and writes it anew",
                    ) from None
            reached(Step.SHARD_UNLINK)
            self.partial.unlink(missing_ok=True)
            reached(Step.SHARD_FSYNC_FOLDER)
            sync_folder(self.final.parent)

    def abort(self) -> None:
        """Drop the partial; harmless when it is gone already."""
        if self._file is not None:
            with suppress(OSError):
                self._file.close()
        with suppress(OSError):  # on a failing disk it may stay: the next start sweeps it
            self.partial.unlink(missing_ok=True)

    def _open_file(self) -> io.FileIO:
        if self._file is None:
            raise ValueError(f"{self.partial}: no file is open")
        return self._file

    def _write(self, data: bytes) -> None:
        file = self._open_file()
        written = file.write(data)
        while written < len(data):  # a disk that is getting full takes a part, and refuses the rest
            written += file.write(memoryview(data)[written:])
        self._sha256.update(data)
        self._bytes += len(data)
        if self._bytes - self._paced >= PACE:
            begin_writing(file.fileno(), self._paced, self._bytes - self._paced)
            self._paced = self._bytes

    @contextmanager
    def _failing_cleanly(self) -> Iterator[None]:
        try:
            yield
        except OSError as err:
            self.abort()
            raise cannot_write(self.final, err) from err
        except BaseException:
            self.abort()
            raise


def begin_writing(descriptor: int, offset: int, length: int) -> None:
    """Have the system begin to write bytes of a file to the disk, without waiting (Linux; elsewhere nothing).

    It promises nothing and hides nothing: a fault is told by the fsync that follows.
    """
    call = _sync_file_range()
    if call is not None:
        call(descriptor, offset, length, 2)  # SYNC_FILE_RANGE_WRITE


@functools.cache
def _sync_file_range() -> Any:
    try:
        call = ctypes.CDLL(None).sync_file_range
    except (OSError, AttributeError, TypeError):
        return None
    call.argtypes = (ctypes.c_int, ctypes.c_int64, ctypes.c_int64, ctypes.c_uint)
    return call


def partial_name(final: Path, token: str) -> Path:
    return final.with_name(f".{final.name}.{token}.partial")


def cannot_write(path: Path, err: OSError) -> CannotWrite:
    if err.errno in (errno.ENOSPC, errno.EDQUOT):
        hint = "make room (or ask for quota) and run again: what is complete is kept"
    else:
        hint = "check the folder's permissions and the disk, then run again"
    return CannotWrite(f"{path}: {err.strerror or err}", hint=hint)


def write_synced(path: Path, data: bytes, token: str, kind: SmallFile) -> None:
    """Write a small file so that it is there whole, or not at all, also after a power cut.

    Raises:
        CannotWrite
    """
    partial = partial_name(path, token)
    try:
        reached(f"{kind}.open")
        path.parent.mkdir(parents=True, exist_ok=True)
        with partial.open("wb") as file:
            reached(f"{kind}.write")
            file.write(data)
            file.flush()
            reached(f"{kind}.fsync")
            os.fsync(file.fileno())
        reached(f"{kind}.rename")
        partial.replace(path)
        reached(f"{kind}.fsync_folder")
        sync_folder(path.parent)
    except OSError as err:
        with suppress(OSError):
            partial.unlink(missing_ok=True)
        raise cannot_write(path, err) from err


def sync_folder(folder: Path) -> None:
    """Make the names in a folder durable: POSIX promises it of no rename or link before this."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    except OSError as err:
        # some network file systems cannot sync a folder; they sync names by themselves
        if err.errno not in (errno.EINVAL, errno.ENOTSUP, errno.EBADF):
            raise
    finally:
        os.close(descriptor)


def link_exclusively(partial: Path, final: Path) -> None:
    """Take a name without ever overwriting what has it.

    Raises:
        FileExistsError: it is taken.
        OSError: neither link(2) nor renameat2(2) works on this file system.
    """
    try:
        os.link(partial, final)
    except OSError as err:
        if err.errno not in (errno.EPERM, errno.ENOTSUP, errno.ENOSYS, errno.EMLINK):
            raise
        _rename_exclusively(partial, final)


def _rename_exclusively(partial: Path, final: Path) -> None:
    at_fdcwd, rename_noreplace = -100, 1
    libc = ctypes.CDLL(None, use_errno=True)
    if not hasattr(libc, "renameat2"):
        raise OSError(errno.ENOTSUP, "the file system has no hard links, and the C library no renameat2")
    if libc.renameat2(at_fdcwd, os.fsencode(partial), at_fdcwd, os.fsencode(final), rename_noreplace):
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), str(final))


def sha256_of(path: Path) -> str:
    """Hex sha256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
