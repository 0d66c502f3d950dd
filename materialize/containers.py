"""Where image bytes lie: archives and folders, read in order or by offset. Pure reading: no database.

Archives are read by :mod:`materialize.archive`. What is read for a dataset has to be what was scanned: any
difference is :class:`ContainerChanged`, never a fault of one picture.
"""

from __future__ import annotations

import hashlib
import os
import tarfile
from collections.abc import Generator, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from materialize.archive import (
    BLOCK,
    EXTENSIONS,
    Archive,
    Member,
    Unchanged,
    open_container,
    open_file,
    require_readable,
    storage_error,
)
from materialize.seek_index import IndexedReader, SeekIndex, indexed
from tol_db.errors import ContainerChanged

__all__ = ["KINDS", "Archive", "Member", "Wanted", "kind_of", "listing", "read_members", "storage_error"]

KINDS = ("tar_gz", "tar", "directory")

LONG_NAME_REACH = 16 * BLOCK
"""Bytes before a member's header in which a name lies that the header cannot hold."""


def kind_of(path: Path) -> str | None:
    """``tar_gz``, ``tar``, ``directory``, or None for what is no container by its name."""
    if path.is_dir():
        return "directory"
    name = path.name.lower()
    if name.endswith((".tar.gz", ".tgz")):
        return "tar_gz"
    return "tar" if name.endswith(".tar") else None


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


class _Seekable(Protocol):
    """The data of an archive, of which pieces are read."""

    def seek(self, offset: int, /) -> int: ...

    def read(self, size: int, /) -> bytes: ...


def read_members(
    path: Path, kind: str, wanted: Iterable[Wanted], index: SeekIndex | None = None
) -> Generator[tuple[Wanted, bytes], None, None]:
    """The bytes of the wanted members of one container, in the order given.

    A tar and a folder are read by offset and by name, and so is a tar.gz with its index; without one it is
    streamed from its start to the last wanted member.

    Args:
        path: the container.
        kind: ``tar_gz``, ``tar`` or ``directory``.
        wanted: the members, each asked for when the one before it has been taken; for a tar.gz without an index
            in ascending order of their place in it.
        index: of a tar.gz.

    Raises:
        ContainerChanged: it or its index is not there, or a member is not what was scanned.
        ContainerError: it cannot be read, or not be closed. Neither is ever the fault of one picture.
    """
    try:
        yield from _members(path, kind, wanted, index)
    except OSError as err:  # whatever is not told of a member: some file systems find a fault when they close
        raise storage_error(path, None, err) from err


def _members(
    path: Path, kind: str, wanted: Iterable[Wanted], index: SeekIndex | None
) -> Generator[tuple[Wanted, bytes], None, None]:
    if kind == "directory":
        for want in wanted:
            yield want, _read_file(path / want.name, path, want)
    elif kind == "tar":
        with open_container(path) as file:
            unchanged = Unchanged(file, path)
            for want in wanted:
                yield want, _read_at(file, path, want, unchanged)
    elif index is not None:
        with indexed(path, index) as archive:
            reader = IndexedReader(archive)
            for want in wanted:
                yield want, _read_at(reader, path, want, archive.unchanged)
    else:
        yield from _stream(path, wanted)


def _stream(path: Path, wanted: Iterable[Wanted]) -> Generator[tuple[Wanted, bytes], None, None]:
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


def _read_at(file: _Seekable, path: Path, want: Wanted, unchanged: Unchanged) -> bytes:
    """A member of a tar, or of an indexed tar.gz, by its offset; the header before it must still name it."""
    if want.offset is None:
        raise _not_as_scanned(path, want)
    require_readable(path, want.name, want.size)
    before = min(want.offset, LONG_NAME_REACH)  # both are whole blocks
    try:
        file.seek(want.offset - before)
        headers = _read_fully(file, before)
        data = _read_fully(file, want.size)
        unchanged.require(want.name)
    except OSError as err:
        raise storage_error(path, want.name, err) from err
    if len(data) != want.size or not _is_member(headers, want):
        raise _not_as_scanned(path, want)
    return data


def _is_member(headers: bytes, want: Wanted) -> bool:
    """Whether the header at the end of these blocks, with the extension before it, describes the member."""
    info = _parsed(headers[-BLOCK:])
    if info is None:
        return False
    # a GNU long name, a pax path and a pax size stand in full in an entry of its own; the header then holds a
    # form of the name that was cut short or put into ASCII, and any size
    extension = b"" if (info.name, info.size) == (want.name, want.size) else _extension_before(headers)
    return (info.name == want.name or want.name.encode("utf-8", "surrogateescape") in extension) and (
        info.size == want.size or b" size=%d\n" % want.size in extension
    )


def _extension_before(headers: bytes) -> bytes:
    """The body of the pax or long-name entry that ends where the last of these blocks begins, or nothing."""
    for start in range(len(headers) - 2 * BLOCK, -1, -BLOCK):
        entry = _parsed(headers[start : start + BLOCK])
        if entry is not None:
            body = headers[start + BLOCK : -BLOCK]
            return body if entry.type in EXTENSIONS and 0 <= len(body) - entry.size < BLOCK else b""
    return b""


def _parsed(block: bytes) -> tarfile.TarInfo | None:
    try:
        return tarfile.TarInfo.frombuf(block, "utf-8", "surrogateescape")
    except tarfile.HeaderError:
        return None


def _read_fully(file: _Seekable, size: int) -> bytes:
    parts = []
    while size and (data := file.read(size)):
        parts.append(data)
        size -= len(data)
    return b"".join(parts)


def _read_file(path: Path, folder: Path, want: Wanted) -> bytes:
    require_readable(folder, want.name, want.size)
    try:
        with open_file(path) as file:
            unchanged = Unchanged(file, folder)
            data = _read_fully(file, want.size + 1)  # one more tells a file that has grown
            unchanged.require(want.name)
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
