"""Takes an archive apart, so that it can be killed at any moment and nobody ever sees half of it.

Files are written below ``.NAME.extracting``, which no ingest looks into. When all are there and counted, each
folder is moved to its place. A run after a kill reads the archive again and writes only what is not there yet,
byte for byte.
"""

from __future__ import annotations

import ctypes
import os
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from tol_db.errors import CannotWrite, ContainerError
from tol_db.fetch.manifest import Extract
from tol_db.fetch.partial import sync_folder

MARK = ".of"
"""File in the folder being filled that holds the sha256 of its archive."""


class Escape(ValueError):
    """A member's name leads out of the folder."""


def target_of(name: str, extract: Extract) -> tuple[str, str] | None:
    """Part and file name of a member that is wanted, None for one that is passed over.

    Both are single, visible names: neither is ``..``, and neither holds a ``/``.

    Raises:
        Escape: the name is absolute, has a step ``..`` or a NUL; no honest archive of this kind has such.
    """
    steps = name.split("/")
    if name.startswith("/") or ".." in steps or "\0" in name:
        raise Escape("its name leads out of the folder")
    steps = [step for step in steps if step not in ("", ".")]
    folder = extract.folder.split("/")
    if len(steps) != len(folder) + 2 or steps[: len(folder)] != folder:
        return None
    part, file = steps[-2:]
    if part.startswith(".") or file.startswith(".") or not extract.parts.fullmatch(part):
        return None
    return part, file


@dataclass(frozen=True, slots=True)
class Unpacked:
    """What an archive brought: files, in so many folders."""

    members: int
    parts: int


class Place:
    """Where the members of an archive go.

    Args:
        archive: its path, beside which the folder to fill lies.
        extract: what of it is wanted.
        root: the folder of the section.
    """

    def __init__(self, archive: Path, extract: Extract, root: Path) -> None:
        self.archive = archive
        self.extract = extract
        self.filling = root / f".{archive.name}.extracting"
        self.final = root / extract.into if extract.into else root
        self._made: set[str] = set()

    def open(self, sha256: str) -> None:
        """Make the folder to fill; what another archive left in it is removed.

        Raises: CannotWrite.
        """
        mark = self.filling / MARK
        with told(self.filling):
            if self.filling.exists() and not (mark.is_file() and mark.read_text(encoding="ascii") == sha256):
                shutil.rmtree(self.filling)
            self.filling.mkdir(parents=True, exist_ok=True)
            if not mark.exists():
                mark.write_text(sha256, encoding="ascii")

    def require_free(self, part: str) -> None:
        """Raises: CannotWrite, where a folder of that name is there already."""
        if os.path.lexists(self.final / part):
            raise CannotWrite(
                f"{self.final / part}: is there already, and not from this archive",
                hint="move it away and run again, or leave the archive as it is with --no-extract",
            )

    def put(self, part: str, file: str, data: bytes) -> None:
        """Write a member, unless its very bytes are there already.

        Raises: CannotWrite.
        """
        folder = self.filling / part
        path = folder / file
        with told(path):
            if part not in self._made:
                self.require_free(part)
                folder.mkdir(exist_ok=True)
                self._made.add(part)
            if path.is_file() and path.stat().st_size == len(data) and path.read_bytes() == data:
                return
            with path.open("wb", buffering=0) as out:
                view = memoryview(data)
                while view:
                    view = view[out.write(view) :]

    def count(self) -> Unpacked:
        """What lies in the folder.

        Raises:
            ContainerError: fewer or more files than there must be.
        """
        with told(self.filling):
            parts = list(self._parts())
            members = sum(1 for part in parts for _ in os.scandir(part))
        wanted = self.extract.members
        if members == 0 or (wanted is not None and members != wanted):
            told_wanted = f"{wanted:,}" if wanted is not None else "some"
            raise ContainerError(
                self.archive,
                None,
                f"{members:,} files in {self.extract.folder}/; {told_wanted} were expected",
                hint="another release? look into the archive, then set `members` in a manifest of your own",
            )
        return Unpacked(members, len(parts))

    def settle(self) -> None:
        """Sync what was written: before it is written down that all is there."""
        with told(self.filling):
            _sync_file_system(self.filling)

    def move(self) -> None:
        """Give every folder its place; may be called again after a kill in between.

        Raises: CannotWrite.
        """
        if not self.filling.exists():
            return
        with told(self.final):
            self.final.mkdir(parents=True, exist_ok=True)
            for part in sorted(self._parts()):
                part.rename(self.final / part.name)  # a folder with something in it is not overwritten
            sync_folder(self.final)
            shutil.rmtree(self.filling)

    def _parts(self) -> Iterator[Path]:
        return (path for path in self.filling.iterdir() if path.name != MARK)


class told:  # noqa: N801  reads as a word in `with`
    """Within, a fault of the file system is :class:`CannotWrite`, with the path."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __enter__(self) -> None:
        pass

    def __exit__(self, _type: object, err: BaseException | None, _traceback: object) -> None:
        if isinstance(err, OSError):
            raise CannotWrite(
                f"{self._path}: {err.strerror}", hint="make room or mend it, and run again: it goes on"
            ) from None


def _sync_file_system(folder: Path) -> None:
    """syncfs(2): a million files are synced at once, where fsync would take each one's time."""
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        syncfs: Callable[[int], int] | None = getattr(ctypes.CDLL(None, use_errno=True), "syncfs", None)
        if syncfs is None:
            os.sync()
        elif syncfs(fd) != 0:
            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number))
    finally:
        os.close(fd)
