"""Read the members of directories, tar and tar.gz, in order or by offset. Pure reading: no database.

Archives are read by a plain header parser over an inflater (ustar, GNU long names, pax; POSIX.1-2017 pax
"ustar Interchange Format" and the GNU tar manual, "Basic Tar Format"): faster than :mod:`tarfile`'s stream
mode, and it knows the offset of each member's data. Nothing is ever extracted: a member's name is only
compared, so an absolute or ``..`` name cannot leave any folder.
"""

from __future__ import annotations

import errno
import hashlib
import os
import tarfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Protocol

from tol_db.errors import ContainerChanged, ContainerError

BLOCK = 512
CHUNK = 256 * 1024
MAX_MEMBER = 1 << 30
"""Bytes of one member that are held in memory at most; larger ones are not pictures."""

KINDS = ("tar_gz", "tar", "directory")


def kind_of(path: Path) -> str | None:
    """``tar_gz``, ``tar``, ``directory``, or None for what is no container by its name."""
    if path.is_dir():
        return "directory"
    name = path.name.lower()
    if name.endswith((".tar.gz", ".tgz")):
        return "tar_gz"
    return "tar" if name.endswith(".tar") else None


@dataclass(frozen=True, slots=True)
class Member:
    """A member of a container.

    Attributes:
        index: place among all entries of the archive, or in the byte-wise sorted listing of a folder.
        name: as the archive spells it, or the file name in a folder.
        offset: of its data in the uncompressed archive; None in a folder.
        size: bytes of its data.
        is_file: False for folders, links, devices and sparse files, which have no plain data.
    """

    index: int
    name: str
    offset: int | None
    size: int
    is_file: bool


class _Readable(Protocol):
    def read(self, size: int, /) -> bytes: ...


class HashingReader:
    """A raw file whose bytes are hashed and counted as they are read."""

    def __init__(self, file: BinaryIO, on_bytes: Callable[[int], None] | None = None) -> None:
        self._file = file
        self._on_bytes = on_bytes
        self.sha256 = hashlib.sha256()
        self.bytes = 0

    def read(self, size: int, /) -> bytes:
        data = self._file.read(size)
        self.sha256.update(data)
        self.bytes += len(data)
        if self._on_bytes is not None:
            self._on_bytes(len(data))
        return data


class _Inflater:
    """Reads through gzip, concatenated streams too; zlib checks each stream's CRC and length (RFC 1952)."""

    def __init__(self, raw: _Readable) -> None:
        self._raw = raw
        self._stream = zlib.decompressobj(31)
        self._fed = False
        self._pending = b""
        self._buffer = bytearray()
        self._at_end = False
        self.trailing_bytes = False

    def read(self, size: int, /) -> bytes:
        while len(self._buffer) < size and not self._at_end:
            self._more()
        data = bytes(self._buffer[:size])
        del self._buffer[:size]
        return data

    def _more(self) -> None:
        if self._stream.eof:
            self._next_stream()
            return
        data = self._pending or self._raw.read(CHUNK)
        if not data:
            if self._fed:
                raise EOFError("the gzip stream is cut off")
            self._at_end = True
            return
        self._fed = True
        self._buffer += self._stream.decompress(data, 4 * CHUNK)
        self._pending = self._stream.unconsumed_tail

    def _next_stream(self) -> None:
        rest = self._stream.unused_data or self._raw.read(CHUNK)
        while rest and not rest.strip(b"\0"):  # gzip(1) allows zero padding between and after streams
            rest = self._raw.read(CHUNK)
        rest = rest.lstrip(b"\0")
        if rest.startswith(b"\x1f\x8b"):
            self._stream = zlib.decompressobj(31)
            self._pending = rest
        else:
            self.trailing_bytes = bool(rest)
            self._at_end = True


class Archive:
    """Members of a tar or tar.gz in the order in which they lie there.

    Iterate over it; the data of the member just yielded is had with :meth:`data`, unread data is skipped.

    Args:
        path: the archive.
        kind: ``tar`` or ``tar_gz``.
        on_bytes: called with each number of stored (compressed) bytes as they are read.

    Raises (while iterating and in :meth:`data`):
        ContainerError: cut off, a wrong checksum, not an archive at all; names the last member.
        ContainerChanged: the file is not there (any more).
    """

    def __init__(self, path: Path, kind: str, on_bytes: Callable[[int], None] | None = None) -> None:
        self.path = path
        self._file = _open(path)
        self.hashing = HashingReader(self._file, on_bytes)
        self._inflater = _Inflater(self.hashing) if kind == "tar_gz" else None
        self._source: _Readable = self._inflater or self.hashing
        self._offset = 0
        self._unread = 0
        self._last: str | None = None

    def __enter__(self) -> Archive:
        return self

    def __exit__(self, *_exc: object) -> None:
        self._file.close()

    def __iter__(self) -> Iterator[Member]:
        index = 0
        overrides: dict[str, str] = {}
        for_all: dict[str, str] = {}
        while True:
            self._skip()
            header = self._header()
            if header is None:
                return
            info = self._parse(header)
            if info.type in (
                tarfile.GNUTYPE_LONGNAME,
                tarfile.GNUTYPE_LONGLINK,
                tarfile.XHDTYPE,
                tarfile.XGLTYPE,
            ):
                self._extension(info, overrides, for_all)
                continue
            fields = {**for_all, **overrides}
            overrides = {}
            self._last = fields.get("path", info.name)
            size = self._size(fields.get("size"), info)
            plain = info.type in tarfile.REGULAR_TYPES and info.type != tarfile.GNUTYPE_SPARSE
            plain = plain and not any(name.startswith("GNU.sparse") for name in fields)
            member = Member(index, self._last, self._offset, size, plain)
            self._unread = size + -size % BLOCK
            index += 1
            yield member

    def data(self, member: Member) -> bytes:
        """The bytes of the member just yielded."""
        if member.size > MAX_MEMBER:
            raise ContainerError(self.path, member.name, f"{member.size} bytes are too many for a picture")
        self._unread -= member.size
        return self._read(member.size)

    def drain(self) -> str:
        """Read what follows the last member, so that all checksums are checked and the digest is whole.

        Returns:
            A remark on what follows the archive, or "".
        """
        self._skip()
        while self._read_some(CHUNK):
            pass
        while self.hashing.read(CHUNK):
            pass
        trailing = self._inflater is not None and self._inflater.trailing_bytes
        return "bytes follow the gzip stream; they are ignored" if trailing else ""

    def _header(self) -> bytes | None:
        block = self._read_some(BLOCK)
        if not block:
            if self._offset == 0:
                raise ContainerError(self.path, None, "empty, not an archive", hint=_FETCH_AGAIN)
            raise self._damaged("the archive is cut off: its end mark is missing")
        if len(block) < BLOCK:
            raise self._damaged("the archive is cut off within a header")
        return block if block.strip(b"\0") else None

    def _parse(self, header: bytes) -> tarfile.TarInfo:
        try:
            return tarfile.TarInfo.frombuf(header, "utf-8", "surrogateescape")
        except tarfile.HeaderError as err:
            raise self._damaged(f"not a tar header at byte {self._offset - BLOCK}: {err}") from None

    def _extension(self, info: tarfile.TarInfo, overrides: dict[str, str], for_all: dict[str, str]) -> None:
        if info.size > CHUNK:
            raise self._damaged(f"an extended header of {info.size} bytes")
        body = self._read(info.size)
        self._read(-info.size % BLOCK)
        if info.type == tarfile.GNUTYPE_LONGNAME:
            overrides["path"] = body.split(b"\0", 1)[0].decode("utf-8", "surrogateescape")
        elif info.type in (tarfile.XHDTYPE, tarfile.XGLTYPE):
            target = overrides if info.type == tarfile.XHDTYPE else for_all
            target.update(self._pax(body))

    def _pax(self, body: bytes) -> dict[str, str]:
        fields: dict[str, str] = {}
        while body.strip(b"\0"):
            length, blank, _ = body.partition(b" ")
            if not blank or not length.isdigit() or not 0 < int(length) <= len(body):
                raise self._damaged("a broken pax header")
            name, equals, value = body[len(length) + 1 : int(length) - 1].partition(b"=")
            if not equals:
                raise self._damaged("a broken pax header")
            fields[name.decode("utf-8", "replace")] = value.decode("utf-8", "surrogateescape")
            body = body[int(length) :]
        return fields

    def _size(self, override: str | None, info: tarfile.TarInfo) -> int:
        if override is not None and not override.isdigit():
            raise self._damaged(f"a size of {override!r}")
        size = int(override) if override is not None else info.size
        if size < 0:
            raise self._damaged(f"a size of {size}")
        # links and devices have no data, whatever size they claim; folders neither (POSIX)
        return size if override is not None or info.isreg() or info.type not in tarfile.SUPPORTED_TYPES else 0

    def _skip(self) -> None:
        while self._unread:
            got = len(self._read_some(min(self._unread, CHUNK)))
            if not got:
                raise self._damaged("the archive is cut off within it")
            self._unread -= got

    def _read(self, size: int) -> bytes:
        data = self._read_some(size)
        if len(data) < size:
            raise self._damaged("the archive is cut off within it")
        return data

    def _read_some(self, size: int) -> bytes:
        try:
            data = self._source.read(size)
        except (EOFError, zlib.error) as err:
            raise self._damaged(str(err)) from None
        except OSError as err:
            raise storage_error(self.path, self._last, err) from err
        self._offset += len(data)
        return data

    def _damaged(self, why: str) -> ContainerError:
        where = f"after member {self._last!r}: " if self._last is not None else ""
        return ContainerError(self.path, None, where + why, hint=_FETCH_AGAIN)


_FETCH_AGAIN = "fetch it again, then run `tol-db ingest containers` on its folder"


def listing(folder: Path) -> tuple[list[Member], list[str], str]:
    """What lies in a folder, not below it.

    Returns:
        Its files in byte-wise order of name, the names of what is no file, and the sha256 of names and sizes.

    Raises:
        ContainerChanged: it is not there (any more).
        ContainerError: it cannot be read.
    """
    files: list[tuple[bytes, str, int]] = []
    others: list[str] = []
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                if entry.is_file():
                    files.append((os.fsencode(entry.name), entry.name, entry.stat().st_size))
                else:
                    others.append(entry.name)
    except OSError as err:
        raise storage_error(folder, None, err) from err
    files.sort()
    digest = hashlib.sha256()
    for name, _, size in files:
        digest.update(b"%s\0%d\n" % (name, size))
    members = [Member(index, name, None, size, True) for index, (_, name, size) in enumerate(files)]
    return members, sorted(others), digest.hexdigest()


@dataclass(frozen=True, slots=True)
class Wanted:
    """A member to read, as it was when it was scanned."""

    index: int
    name: str
    offset: int | None
    size: int


def read_members(path: Path, kind: str, wanted: Sequence[Wanted]) -> Iterator[tuple[Wanted, bytes]]:
    """The bytes of the wanted members of one container, in the order of their index.

    A tar.gz is streamed from its start to the last wanted member; a tar and a folder are read by offset and
    by name, in the order given.

    Args:
        path: the container.
        kind: ``tar_gz``, ``tar`` or ``directory``.
        wanted: the members; for a tar.gz in ascending order of index.

    Raises:
        ContainerChanged: it is not there, or a member is not what was scanned.
        ContainerError: it cannot be read. Neither is ever the fault of one picture.
    """
    if kind == "directory":
        for want in wanted:
            yield want, _read_file(path / want.name, path, want)
    elif kind == "tar":
        with _open(path) as file:
            for want in wanted:
                yield want, _read_at(file, path, want)
    else:
        yield from _stream(path, wanted)


def _stream(path: Path, wanted: Sequence[Wanted]) -> Iterator[tuple[Wanted, bytes]]:
    remaining = iter(wanted)
    want = next(remaining, None)
    if want is None:
        return
    with Archive(path, "tar_gz") as archive:
        for member in archive:
            if member.index < want.index:
                continue
            if (member.index, member.name, member.size) != (want.index, want.name, want.size):
                raise _not_as_scanned(path, want)
            yield want, archive.data(member)
            want = next(remaining, None)
            if want is None:
                return
    raise _not_as_scanned(path, want)


def _read_at(file: BinaryIO, path: Path, want: Wanted) -> bytes:
    """A member of a plain tar by its offset; the header before it must still name it."""
    assert want.offset is not None
    try:
        file.seek(want.offset - BLOCK)
        header = file.read(BLOCK)
        data = file.read(want.size)
    except OSError as err:
        raise storage_error(path, want.name, err) from err
    try:
        info = tarfile.TarInfo.frombuf(header, "utf-8", "surrogateescape")
    except tarfile.HeaderError:
        raise _not_as_scanned(path, want) from None
    # a pax or GNU long name stands in an earlier block; the short one is its beginning
    if not want.name.endswith(info.name[-90:]) and not want.name.startswith(info.name[:90]):
        raise _not_as_scanned(path, want)
    if len(data) != want.size:
        raise _not_as_scanned(path, want)
    return data


def _read_file(path: Path, folder: Path, want: Wanted) -> bytes:
    try:
        data = path.read_bytes()
    except OSError as err:
        raise storage_error(folder, want.name, err) from err
    if len(data) != want.size:
        raise _not_as_scanned(folder, want)
    return data


def _not_as_scanned(path: Path, want: Wanted) -> ContainerChanged:
    return ContainerChanged(
        path,
        want.name,
        "it is not there as it was when the container was scanned",
        hint="run `tol-db ingest containers` on its folder, then `tol-db plan --refresh`",
    )


def storage_error(path: Path, member: str | None, err: OSError) -> ContainerError:
    """What a fault of the file system means: never a fault of a picture."""
    if err.errno in (errno.ENOENT, errno.ENOTDIR, errno.ESTALE):
        return ContainerChanged(
            path, member, "it is not there (any more)", hint="is the disk mounted? has the folder been moved?"
        )
    return ContainerError(
        path, member, err.strerror or str(err), hint="check the disk or mount and run again"
    )


def _open(path: Path) -> BinaryIO:
    try:
        # buffering=0: the inflater reads large chunks itself
        return path.open("rb", buffering=0)
    except OSError as err:
        raise storage_error(path, None, err) from err
