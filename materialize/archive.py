"""Read a tar or tar.gz from its start to its end. Pure reading: no database.

A plain header parser over an inflater (ustar, GNU long names, pax; POSIX.1-2017 pax, "ustar Interchange
Format", and the GNU tar manual, "Basic Tar Format"). It says where each member's data begins, checks every
checksum, which :mod:`tarfile`'s stream mode does not, and skips what nobody reads without copying it. Nothing
is ever extracted: a member's name is only compared, so an absolute or ``..`` name cannot leave any folder.
"""

from __future__ import annotations

import errno
import os
import re
import stat
import tarfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from materialize.streams import READ, GzipReader, HashingReader, Readable, ZlibError
from tol_db.errors import ContainerChanged, ContainerError

BLOCK = 512
LARGEST_EXTENSION = 1 << 20
"""Bytes of a pax header or a long name; a path has 4,096 at most."""
LARGEST_SIZE = 1 << 60
"""Bytes of a member; beyond it the header is broken, and the offset would not fit SQLite's integers."""
MAX_MEMBER = 128 << 20
"""Bytes of one member that are held in memory at most, so that a worker keeps within 400 MB. A plan leaves larger
ones out as ``too_large``."""

FETCH_AGAIN = "fetch it again, then run `tol-db ingest containers` on its folder"

_PAX = (tarfile.XHDTYPE, tarfile.SOLARIS_XHDTYPE, tarfile.XGLTYPE)
EXTENSIONS = (*_PAX, tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK)


@dataclass(frozen=True, slots=True)
class Member:
    """A member of a container.

    Attributes:
        index: place among all entries of the archive, or in the byte-wise sorted listing of a folder.
        name: as the archive spells it, or the file name in a folder; bytes that are not UTF-8 are surrogates.
        offset: of its data in the uncompressed archive; None in a folder.
        size: bytes of its data.
        is_file: False for folders, links, devices and sparse files, which have no plain data.
        is_folder: an archive's entry for a folder.
    """

    index: int
    name: str
    offset: int | None
    size: int
    is_file: bool
    is_folder: bool = False


class Archive:
    """Members of a tar or tar.gz in the order in which they lie there; use it in a ``with`` statement.

    Iterate over it; the data of the member just yielded is had with :meth:`data`, unread data is skipped. A
    member is known to be whole when the next one has been yielded, or the iteration has ended.

    Args:
        path: the archive.
        kind: ``tar`` or ``tar_gz``.
        on_bytes: called with each number of stored (compressed) bytes as they are read.
        hashed: whether :meth:`digest` is wanted.

    Attributes:
        is_damaged: its bytes are at fault; False where an error came from the file system.

    Raises (while iterating and in :meth:`data`):
        ContainerError: cut off, a wrong checksum, not an archive at all; names the last member.
        ContainerChanged: the file is not there (any more).
    """

    def __init__(
        self, path: Path, kind: str, on_bytes: Callable[[int], None] | None = None, *, hashed: bool = False
    ) -> None:
        self.path = path
        self.is_damaged = False
        file = open_container(path)
        self._unchanged = Unchanged(file, path)
        self._stored = HashingReader(file, on_bytes, hashed=hashed)
        self._inflater = GzipReader(self._stored) if kind == "tar_gz" else None
        self._source: Readable = self._inflater or self._stored
        self._offset = 0
        self._unread = 0
        self._index = 0
        self._current: Member | None = None

    def __enter__(self) -> Archive:
        return self

    def __exit__(self, *_exc: object) -> None:
        self._stored.close()

    def __iter__(self) -> Iterator[Member]:
        for_one: dict[str, str] = {}
        for_all: dict[str, str] = {}
        while (header := self._next_header()) is not None:
            info = self._parse(header)
            if info.type in EXTENSIONS:
                self._extension(info, for_one, for_all)
            else:
                yield self._member(info, header, for_all | for_one)
                for_one = {}

    def data(self, member: Member) -> bytes:
        """The bytes of the member just yielded; to be asked for once."""
        if member is not self._current or self._unread < member.size:
            raise ValueError(f"{member.name!r} is not the member that was just yielded, or was read already")
        require_readable(self.path, member.name, member.size)
        self._unread -= member.size
        try:
            data = self._read(member.size)
        finally:  # broken bytes of a file that is being written to are no damage
            with self._told():
                self._unchanged.require(member.name)
        return data

    def drain(self) -> str:
        """Read what follows the last member, so that all checksums are checked and the digest is whole.

        Returns:
            A remark on what follows the archive, or "".
        """
        self._skip_unread()
        follows = False
        while block := self._read_some(READ):
            follows = follows or block.count(0) != len(block)
        with self._told():
            while self._stored.read(READ):  # what lies behind the last gzip stream is part of the digest
                pass
        if self._inflater is not None and self._inflater.trailing:
            return "bytes follow the gzip stream; they are ignored"
        return "bytes follow the end mark of the archive; they are ignored" if follows else ""

    def digest(self) -> bytes:
        """The sha256 of the stored bytes read so far; of the file, after :meth:`drain`."""
        return self._stored.digest()

    def _next_header(self) -> bytes | None:
        self._skip_unread()
        block = self._read_some(BLOCK)
        if not block:
            if self._offset == 0:
                raise self._damaged("empty, not an archive")
            raise self._damaged("the archive is cut off: its end mark is missing")
        if len(block) < BLOCK:
            raise self._damaged("the archive is cut off within a header")
        return block if block.count(0) < BLOCK else None

    def _parse(self, header: bytes) -> tarfile.TarInfo:
        info = plain_file(header)
        if info is not None:
            return info
        try:
            info = tarfile.TarInfo.frombuf(header, "utf-8", "surrogateescape")
        except tarfile.HeaderError as err:
            raise self._damaged(f"not a tar header at byte {self._offset - BLOCK}: {err}") from None
        if not 0 <= info.size < LARGEST_SIZE:
            raise self._damaged(f"a size of {info.size} bytes")
        return info

    def _member(self, info: tarfile.TarInfo, header: bytes, fields: dict[str, str]) -> Member:
        sparse = info.type == tarfile.GNUTYPE_SPARSE
        if sparse:
            self._skip_sparse_map(header)
        # links, devices and folders have no data, whatever size they claim; unknown types have, as in tarfile
        has_data = info.isreg() or info.type not in tarfile.SUPPORTED_TYPES
        size = self._size(fields.get("size"), info.size) if has_data else 0
        plain = info.isreg() and not sparse and not any(name.startswith("GNU.sparse") for name in fields)
        name = fields.get("path", info.name)
        self._current = Member(self._index, name, self._offset, size, plain, info.isdir())
        self._unread = size + -size % BLOCK
        self._index += 1
        return self._current

    def _skip_sparse_map(self, header: bytes) -> None:
        """An old GNU sparse file may have further blocks of its map before its data, outside its size."""
        more = header[482]
        while more:
            more = self._read(BLOCK)[504]

    def _extension(self, info: tarfile.TarInfo, for_one: dict[str, str], for_all: dict[str, str]) -> None:
        if info.size > LARGEST_EXTENSION:
            raise self._damaged(f"an extended header of {info.size} bytes")
        body = self._read(info.size)
        self._read(-info.size % BLOCK)
        if info.type == tarfile.GNUTYPE_LONGNAME:
            for_one["path"] = body.split(b"\0", 1)[0].decode("utf-8", "surrogateescape")
        elif info.type == tarfile.XGLTYPE:
            for_all.update(self._pax(body))
        elif info.type in _PAX:
            for_one.update(self._pax(body))

    def _pax(self, body: bytes) -> dict[str, str]:
        """The records ``<length> <keyword>=<value>\\n`` of a pax header."""
        fields: dict[str, str] = {}
        at = 0
        while at < len(body) and body[at]:
            length, blank, _ = body[at : at + 20].partition(b" ")
            end = at + int(length) if blank and length.isdigit() else 0
            name, equals, value = body[at + len(length) + 1 : end - 1].partition(b"=")
            if not at < end <= len(body) or body[end - 1] != 0x0A or not equals:
                raise self._damaged("a broken pax header")
            fields[name.decode("utf-8", "replace")] = value.decode("utf-8", "surrogateescape")
            at = end
        return fields

    def _size(self, override: str | None, size: int) -> int:
        if override is None:
            return size
        if not (override.isascii() and override.isdigit() and len(override) < 20):
            raise self._damaged(f"a size of {override!r}")
        if int(override) >= LARGEST_SIZE:
            raise self._damaged(f"a size of {override} bytes")
        return int(override)

    def _skip_unread(self) -> None:
        unread, self._unread = self._unread, 0
        if unread:
            with self._told():
                skipped = self._source.skip(unread)
            self._offset += skipped
            if skipped < unread:
                raise self._damaged("the archive is cut off within it")

    def _read(self, size: int) -> bytes:
        data = self._read_some(size)
        if len(data) < size:
            raise self._damaged("the archive is cut off within it")
        return data

    def _read_some(self, size: int) -> bytes:
        with self._told():
            data = self._source.read(size)
        self._offset += len(data)
        return data

    @contextmanager
    def _told(self) -> Iterator[None]:
        """Faults of the bytes and of the file system as errors that name the archive and the member."""
        try:
            yield
        except EOFError as err:
            raise self._damaged(str(err)) from None
        except ZlibError as err:
            # "Error -3 while decompressing data: incorrect data check"
            raise self._damaged(f"the gzip stream is broken: {str(err).rpartition(': ')[2]}") from None
        except OSError as err:
            raise storage_error(self.path, self._current.name if self._current else None, err) from err

    def _damaged(self, why: str) -> ContainerError:
        self.is_damaged = True
        where = f"at member {self._current.name!r}: " if self._current is not None else ""
        return ContainerError(self.path, None, where + why, hint=FETCH_AGAIN)


def plain_file(header: bytes) -> tarfile.TarInfo | None:
    """What a header says that is as almost all are, four times as fast as :mod:`tarfile`; None for any other.

    Such a header is of a file without a prefix to its name, has no field that could be read in two ways, and its
    checksum is right. What tarfile makes of it is the same.
    """
    fields = _PLAIN_FILE.fullmatch(header)
    if fields is None:
        return None
    name, size, checksum = fields.groups()
    if sum(header) - sum(header[148:156]) + 8 * ord(" ") != int(checksum, 8) or name.endswith(b"/"):
        return None
    info = tarfile.TarInfo(name.decode("utf-8", "surrogateescape"))
    info.size = int(size, 8)
    return info


_PLAIN_FILE = re.compile(
    rb"(?=([^\0]{1,99})\0).{100}"  # name
    rb"(?:[0-7]{7}\0){3}"  # mode, owner, group
    rb"([0-7]{11})\0"  # size
    rb"[0-7]{11}\0"  # time
    rb"([0-7]{6})\0 "  # checksum
    rb"0\0{100}"  # an ordinary file, no link
    rb"ustar(?:\x0000|  \0).{64}"  # POSIX or GNU, names of owner and group
    rb"(?:\0{16}|(?:[0-7]{7}\0){2})"  # device numbers
    rb"\0{167}",  # no prefix, nor what GNU tar keeps in its place
    re.DOTALL,
)
"""The header that every tar writes for a file with a name of up to 99 bytes (POSIX.1-2017, pax, "ustar Interchange
Format"; GNU tar manual, "Basic Tar Format")."""


def require_readable(path: Path, member: str, size: int) -> None:
    """Raises: ContainerError, where a member is larger than what is held in memory."""
    if size > MAX_MEMBER:
        raise ContainerError(
            path,
            member,
            f"{size:,} bytes are too many for a picture; at most {MAX_MEMBER:,} are read",
            hint="`tol-db plan --refresh` leaves it out as too_large",
        )


def open_file(path: Path) -> BinaryIO:
    """Open a container or a file in one for reading, unbuffered: its readers take large pieces themselves.

    Raises:
        ContainerError: it is no plain file (one would wait for the writer of a fifo for ever).
        OSError: it cannot be opened.
    """
    fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)  # plain files take no notice of O_NONBLOCK
    if not stat.S_ISREG(os.fstat(fd).st_mode):
        os.close(fd)
        raise ContainerError(path, None, "not a plain file", hint="has it been replaced? then run the scan again")
    return os.fdopen(fd, "rb", buffering=0)


def open_container(path: Path) -> BinaryIO:
    """As :func:`open_file`, with every fault as an error that names the container.

    Raises:
        ContainerChanged, ContainerError: as :func:`storage_error`.
    """
    try:
        return open_file(path)
    except OSError as err:
        raise storage_error(path, None, err) from err


class Unchanged:
    """Whether an open file is still what it was when it was opened: nobody has written to it meanwhile.

    A file that was renamed over or deleted stays what it was for whoever has it open.

    Raises (when made and in :meth:`require`):
        OSError: it cannot be looked at.
    """

    def __init__(self, file: BinaryIO, path: Path) -> None:
        self._file, self._path = file, path
        self._before = self._now()

    def require(self, member: str) -> None:
        """Raises: ContainerChanged."""
        if self._now() != self._before:
            raise ContainerChanged(
                self._path,
                member,
                "it was written to while it was read",
                hint="let its writer end, then run `tol-db ingest containers` on its folder",
            )

    def _now(self) -> tuple[int, int]:
        status = os.fstat(self._file.fileno())
        return status.st_size, status.st_mtime_ns


def storage_error(path: Path, member: str | None, err: OSError) -> ContainerError:
    """What a fault of the file system means: never a fault of a picture."""
    if err.errno in (errno.ENOENT, errno.ENOTDIR, errno.ESTALE):
        return ContainerChanged(
            path, member, "it is not there (any more)", hint="is the disk mounted? has the folder been moved?"
        )
    return ContainerError(path, member, err.strerror or str(err), hint="check the disk or mount and run again")
