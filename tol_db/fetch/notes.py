"""What was fetched: one small file each under ``.fetched/`` of the tree, so that nothing is fetched twice.

They are no database: several machines may fetch parts of one tree at once, and a tree can be copied with them.
"""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from tol_db.errors import CannotWrite

FOLDER = ".fetched"
STATES = ("whole", "moving", "extracted", "inflated")


@dataclass(frozen=True, slots=True)
class Fetched:
    """A file that was fetched and verified.

    Attributes:
        url: without secrets.
        bytes, mtime_ns: of the file on disk; where they differ now, it is not the one that was verified.
        sha256, md5: lower-case hex.
        fetched_at: UTC, as the database writes times.
        state: ``whole``; ``moving``, its members are all there and get their places; ``extracted``, they have
            them; ``inflated``, a ``.tar`` stands in its place, and bytes, mtime_ns and sha256 are of that.
        members, parts: how many files, in how many folders, were extracted.
    """

    url: str
    bytes: int
    mtime_ns: int
    sha256: str
    md5: str | None
    fetched_at: str
    state: str = "whole"
    members: int = 0
    parts: int = 0

    def is_of(self, path: Path) -> bool:
        """Whether ``path`` is the very file."""
        try:
            status = path.stat()
        except OSError:
            return False
        return (status.st_size, status.st_mtime_ns) == (self.bytes, self.mtime_ns)


class Notes:
    """The notes of one tree."""

    def __init__(self, tree: Path) -> None:
        self._root = tree / FOLDER

    def path(self, folder: str, path: str) -> Path:
        return self._root / folder / f"{path}.json"

    def read(self, folder: str, path: str) -> Fetched | None:
        """None where there is none, or not a whole one."""
        try:
            value: Any = json.loads(self.path(folder, path).read_text(encoding="utf-8"))
            note = Fetched(**value)
        except (OSError, ValueError, TypeError):
            return None
        return note if note.state in STATES else None

    def write(self, folder: str, path: str, note: Fetched) -> None:
        """Raises: CannotWrite."""
        target = self.path(folder, path)
        new = target.with_name(f".{target.name}.new")
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            with new.open("w", encoding="utf-8") as file:
                json.dump(asdict(note), file)
                file.flush()
                os.fsync(file.fileno())
            new.replace(target)
        except OSError as err:
            raise CannotWrite(f"{target}: {err.strerror}") from None
