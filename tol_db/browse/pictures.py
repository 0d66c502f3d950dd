"""The picture of a sample, read out of its shard. Pure files: no database.

A shard has no table of contents, and ours need none: the headers tell where the next one is. Those of a shard
are read once (ten thousand samples: half a second) and where its pictures lie is remembered.
"""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from materialize.shard import BLOCK, member_header

LARGEST_PICTURE = 64 << 20
"""Bytes. No picture of a sample comes near it; a header that says more is not believed."""
_REMEMBERED = 16
"""Shards whose places are kept: some two MB each."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where a member's bytes lie in its shard."""

    offset: int
    size: int


def picture(path: Path, key: str) -> bytes | None:
    """The bytes of ``<key>.jpg`` in a shard; None where the file does not hold it.

    Raises:
        OSError: the shard is not there or cannot be read.
    """
    # O_NONBLOCK: a pipe in the place of a shard must not hold anybody up
    handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        about = os.fstat(handle)
        if not stat.S_ISREG(about.st_mode):
            return None
        places = _places(_File(handle, (about.st_dev, about.st_ino, about.st_mtime_ns, about.st_size)))
        place = places.get(key)
        if place is None or place.size > LARGEST_PICTURE:
            return None
        data = os.pread(handle, place.size, place.offset)
    finally:
        os.close(handle)
    return data if len(data) == place.size and data.startswith(b"\xff\xd8\xff") else None


class _File:
    """An open shard; two are the same when nothing of the file has changed."""

    def __init__(self, handle: int, identity: tuple[int, ...]) -> None:
        self.handle, self.identity = handle, identity

    def __hash__(self) -> int:
        return hash(self.identity)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _File) and self.identity == other.identity


@lru_cache(maxsize=_REMEMBERED)
def _places(file: _File) -> dict[str, Place]:
    """Key → where its jpg lies, up to the end of the archive or the first header that is none of ours."""
    size, offset = file.identity[3], 0
    found: dict[str, Place] = {}
    while offset + BLOCK <= size:
        header = os.pread(file.handle, BLOCK, offset)
        name, length = _named(header)
        if name is None or offset + BLOCK + length > size:
            break
        if name.endswith(".jpg"):
            found[name.removesuffix(".jpg")] = Place(offset + BLOCK, length)
        offset += BLOCK + length + -length % BLOCK
    return found


def _named(header: bytes) -> tuple[str | None, int]:
    """Name and size that a header of ours tells; (None, 0) where it is none."""
    try:
        name, length = header[:100].rstrip(b"\0").decode("ascii"), int(header[124:135], 8)
        return (name, length) if header == member_header(name, length) else (None, 0)
    except ValueError:
        return None, 0
