"""The sums of a file, and whether they are those that were published."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tol_db.errors import CannotWrite
from tol_db.fetch.manifest import RemoteFile

CHUNK = 1 << 20


@dataclass(frozen=True, slots=True)
class Sums:
    """Of a file on disk: bytes, and lower-case hex."""

    bytes: int
    sha256: str
    md5: str | None


def sums_of(path: Path, *, md5: bool, check: Callable[[], None]) -> Sums:
    """Read a file for its sums; ``check`` is called on the way and may raise.

    Raises: CannotWrite, where it cannot be read back.
    """
    sha256 = hashlib.sha256()
    other = hashlib.md5(usedforsecurity=False) if md5 else None
    size = 0
    try:
        with path.open("rb", buffering=0) as file:
            while chunk := file.read(CHUNK):
                check()
                size += len(chunk)
                sha256.update(chunk)
                if other is not None:
                    other.update(chunk)
    except OSError as err:
        raise CannotWrite(f"{path}: cannot be read back: {err.strerror}") from None
    return Sums(size, sha256.hexdigest(), other.hexdigest() if other else None)


def fault(file: RemoteFile, found: Sums, announced: str | None) -> str | None:
    """What is wrong with a file, or None.

    Args:
        file: what the manifest says.
        found: of the file on disk.
        announced: its sha256 as the server says, or None. The manifest stands before it.
    """
    if file.bytes is not None and found.bytes != file.bytes:
        return f"{found.bytes:,} bytes; the manifest says {file.bytes:,}"
    if file.sha256 is not None:
        return f"sha256 {found.sha256}; the manifest says {file.sha256}" if found.sha256 != file.sha256 else None
    if file.md5 is not None and found.md5 != file.md5:
        return f"md5 {found.md5}; the manifest says {file.md5}"
    if announced is not None and found.sha256 != announced:
        return f"sha256 {found.sha256}; the server says {announced}"
    return None
