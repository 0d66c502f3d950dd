"""A file on its way: ``.NAME.partial`` beside its final name, and ``.NAME.partial.json``, which version it is of.

The partial holds the first bytes of the file, however its writer died, unless aria2c writes it: then its control
file ``.NAME.partial.aria2`` says which bytes are there. The note is written before the first byte.
"""

from __future__ import annotations

import errno
import fcntl
import json
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from tol_db.errors import CannotWrite, LeaseHeld
from tol_db.fetch.http import Remote
from tol_db.fetch.urls import shown

PATIENCE = 5.0
"""Seconds to wait for another process to let go of a partial: an aria2c whose parent was killed ends within two."""


@dataclass(frozen=True, slots=True)
class Note:
    """Which version of which file a partial is of.

    Attributes:
        url: as :func:`~tol_db.fetch.urls.shown`, without secrets.
        bytes, etag, modified, sha256: as :class:`Remote`.
        by: ``http``, the partial is the beginning of the file; ``aria2c``, it has holes.
    """

    url: str
    bytes: int | None
    etag: str | None
    modified: str | None
    sha256: str | None
    by: str

    @classmethod
    def of(cls, url: str, remote: Remote, by: str = "http") -> Note:
        return cls(shown(url), remote.bytes, remote.etag, remote.modified, remote.sha256, by)

    def is_of(self, url: str, remote: Remote) -> bool:
        """Whether the server has the version still of which the partial is; False where that cannot be told."""
        if self.url != shown(url) or self.bytes != remote.bytes:
            return False
        if self.sha256 is not None and remote.sha256 is not None:
            return self.sha256 == remote.sha256
        if self.etag is not None or remote.etag is not None:
            return self.etag == remote.etag
        return self.modified is not None and self.modified == remote.modified


class Partial:
    """The partial of a file; use :meth:`held` around all but the looks.

    Args:
        final: the name that the whole file will have.
    """

    def __init__(self, final: Path) -> None:
        self.final = final
        self.path = final.with_name(f".{final.name}.partial")
        self.note_path = final.with_name(f".{final.name}.partial.json")
        self.control = final.with_name(f".{final.name}.partial.aria2")
        # what a writer leaves that was killed while it wrote one of these
        self._half_written = (
            final.with_name(f"{self.note_path.name}.new"),
            final.with_name(f"{self.control.name}__temp"),
        )
        self._fd = -1

    @property
    def fd(self) -> int:
        """The open partial; who inherits it holds the lock too."""
        return self._fd

    @contextmanager
    def held(self, wait: Callable[[float], None] = time.sleep) -> Iterator[None]:
        """Within, no other process of this kind writes the partial, or takes the whole file apart.

        Raises:
            CannotWrite: the folder cannot be written.
            LeaseHeld: another process has it.
        """
        try:
            self.final.parent.mkdir(parents=True, exist_ok=True)
            deadline = time.monotonic() + PATIENCE
            while not self._try_hold():
                if time.monotonic() > deadline:
                    raise LeaseHeld(
                        f"{self.path}: another process is fetching or unpacking this file",
                        hint="wait for it, or end it, and run again",
                    )
                wait(0.1)
        except OSError as err:
            raise CannotWrite(f"{self.path}: {err.strerror}", hint="check the folder's rights and room") from None
        try:
            yield
        finally:
            os.close(self._fd)
            self._fd = -1

    def _try_hold(self) -> bool:
        fd = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o666)
        try:
            try:
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as err:
                if err.errno in (errno.EWOULDBLOCK, errno.EACCES):
                    os.close(fd)
                    return False
                # file systems without locks: a user who fetches a file twice at once there is not saved from it
            # whoever held it may have finished it under its final name meanwhile
            if not self._is_named(fd):
                os.close(fd)
                return False
        except BaseException:
            os.close(fd)
            raise
        self._fd = fd
        return True

    def _is_named(self, fd: int) -> bool:
        try:
            return os.path.samestat(os.fstat(fd), self.path.stat())
        except FileNotFoundError:
            return False

    # ------------------------------------------------------------------ looks

    def note(self) -> Note | None:
        """What it is of; None where nobody wrote that down, or not to the end."""
        try:
            value: Any = json.loads(self.note_path.read_text(encoding="utf-8"))
            return Note(**value)
        except (OSError, ValueError, TypeError):
            return None

    def size(self) -> int:
        """Bytes of the partial, 0 where there is none."""
        try:
            return self.path.stat().st_size
        except OSError:
            return 0

    def written(self) -> int:
        """Bytes that are on disk, holes left out; roughly."""
        try:
            status = self.path.stat()
        except OSError:
            return 0
        return min(status.st_size, status.st_blocks * 512)

    # ------------------------------------------------------------------ changes, while held

    def begin(self, note: Note) -> None:
        """Forget what is there and write down what comes."""
        self.forget()  # first: a note never stands beside bytes of another version
        os.ftruncate(self._fd, 0)
        self.write_note(note)

    def write_note(self, note: Note) -> None:
        new = self._half_written[0]
        new.write_text(json.dumps(asdict(note)), encoding="utf-8")
        new.replace(self.note_path)

    def mark(self, by: str) -> None:
        """Who writes it from now on."""
        note = self.note()
        if note is not None and note.by != by:
            self.write_note(replace(note, by=by))

    def write_at(self, offset: int, data: bytes) -> None:
        """Raises: CannotWrite, the disk is full or fails."""
        try:
            view = memoryview(data)
            while view:
                done = os.pwrite(self._fd, view, offset)
                view, offset = view[done:], offset + done
        except OSError as err:
            raise CannotWrite(
                f"{self.path}: {err.strerror}", hint="make room and run again: it goes on where it was"
            ) from None

    def finish(self) -> None:
        """Give the whole, verified file its name.

        Raises: CannotWrite.
        """
        try:
            os.fsync(self._fd)
            self.path.rename(self.final)
            sync_folder(self.final.parent)
        except OSError as err:
            raise CannotWrite(f"{self.final}: {err.strerror}") from None

    def forget(self) -> None:
        """Remove what is left beside the final name."""
        for path in (self.note_path, self.control, *self._half_written):
            path.unlink(missing_ok=True)

    def remove_if_empty(self) -> None:
        """Leave no empty file behind where nothing came."""
        with suppress(OSError):
            if self.path.stat().st_size == 0:
                self.path.unlink()
                self.forget()


def sync_folder(folder: Path) -> None:
    """A name is durable when its folder was synced; file systems that cannot do that do it by themselves."""
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        with suppress(OSError):
            os.fsync(fd)
    finally:
        os.close(fd)
