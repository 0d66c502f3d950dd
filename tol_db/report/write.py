"""Files that a report leaves: there whole, or not at all."""

from __future__ import annotations

import os
import secrets
from pathlib import Path

from tol_db.errors import CannotWrite


def write_whole(target: Path, data: bytes) -> None:
    """Write a file, or replace it when the new one is whole and on the disk.

    Raises:
        CannotWrite
    """
    if not target.name or target.is_dir():
        raise CannotWrite(f"{target} is a folder, not a file", hint="name a file in it")
    partial = target.with_name(f".{target.name}.{secrets.token_hex(4)}.partial")
    try:
        try:
            with partial.open("wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            partial.replace(target)
        finally:
            partial.unlink(missing_ok=True)
    except OSError as err:
        raise CannotWrite(f"{target}: {err.strerror or err}", hint="check the folder and free space") from err
