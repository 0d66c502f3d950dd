"""Whether the disk has room."""

from __future__ import annotations

import os
from pathlib import Path

from tol_db.errors import CannotWrite
from tol_db.progress import amount


def free_bytes(folder: Path) -> int:
    """Bytes that this user may write where ``folder`` (which need not exist yet) lies; no quota is known here."""
    folder = folder.absolute()
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent
    status = os.statvfs(folder)
    return status.f_bavail * status.f_frsize


def require_space(folder: Path, number: int | None, what: str) -> None:
    """Raises: CannotWrite, when ``number`` bytes do not fit."""
    if number is None:
        return
    free = free_bytes(folder)
    if number > free:
        raise CannotWrite(
            f"{folder}: {what} needs {amount(number, 'bytes')}, and {amount(free, 'bytes')} are free",
            hint="make room, or fetch less at a time; what is there already is kept",
        )
