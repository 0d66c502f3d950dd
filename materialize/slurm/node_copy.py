"""A copy of the snapshot on the disk of the node, for as long as a task runs.

What a task that was killed has left is removed by the next one: each copy is locked by the process that made
it, and the kernel gives the lock of a dead process back.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from materialize.shard import cannot_write
from materialize.slurm.snapshot import expected_sha256
from tol_db.errors import CannotWrite, InputError, InputMissing

PREFIX = "tol-db-task-"
BEGUN_SECONDS = 3600
"""After which a folder that has no lock yet is nobody's: to lock it takes milliseconds."""
_LOCK = "lock"
_BLOCK = 1 << 20


def local_folder(wished: Path | None, environ: os._Environ[str] | dict[str, str] = os.environ) -> Path:
    """The folder on the node's own disk: the one that was asked for, else ``$SLURM_TMPDIR``, ``$TMPDIR``, ``/tmp``.

    Raises:
        CannotWrite: it is no folder that can be written to.
    """
    named = wished or Path(environ.get("SLURM_TMPDIR") or environ.get("TMPDIR") or "/tmp")
    if not named.is_dir() or not os.access(named, os.W_OK | os.X_OK):
        raise CannotWrite(
            f"{named}: not a folder of this node that can be written to", hint="name one with --local-dir"
        )
    return named


@contextmanager
def copied(snapshot: Path, folder: Path, between_blocks: Callable[[], None] = lambda: None) -> Iterator[Path]:
    """A checked copy of a snapshot, which is removed at the end.

    Nobody may write to the copy, so that SQLite opens it as immutable: no lock, no journal.

    Args:
        snapshot: on the shared file system; where its name is a sha256, the copy must have it.
        folder: on the node's disk.
        between_blocks: called now and then; what it raises ends the copying.

    Raises:
        InputMissing: no such snapshot, or it cannot be read. InputError: the copy is not what the name promises.
        CannotWrite: the folder takes no more.
    """
    _sweep(folder)
    try:
        home, lock = _locked_folder(folder)
    except OSError as err:
        raise cannot_write(folder, err) from err
    try:
        target = home / snapshot.name
        found = _copy(snapshot, target, between_blocks)
        expected = expected_sha256(snapshot)
        if expected is not None and found != expected:
            raise InputError(
                f"{snapshot}: its copy on this node has sha256 {found}, not the one it is named by",
                hint="run `tol-db slurm submit` again: it makes a new snapshot",
            )
        yield target
    finally:
        shutil.rmtree(home, ignore_errors=True)
        os.close(lock)


def _copy(snapshot: Path, target: Path, between_blocks: Callable[[], None]) -> str:
    """Copy a file; the sha256 of what was written, hex."""
    digest = hashlib.sha256()
    try:
        source = snapshot.open("rb")
    except OSError as err:
        raise InputMissing(
            f"{snapshot}: {err.strerror}", hint="is the folder mounted here? else `tol-db slurm submit` again"
        ) from err
    with source:
        try:
            with target.open("wb") as file:
                while block := source.read(_BLOCK):
                    between_blocks()
                    digest.update(block)
                    file.write(block)
            target.chmod(0o444)
        except OSError as err:
            raise cannot_write(target, err) from err
    return digest.hexdigest()


def _locked_folder(folder: Path) -> tuple[Path, int]:
    """A new folder with a lock file; it gets its name when the lock is held, so that nobody sweeps it before."""
    made = Path(tempfile.mkdtemp(prefix=f".{PREFIX}", dir=folder))
    try:
        lock = os.open(made / _LOCK, os.O_CREAT | os.O_RDWR, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX)
            home = folder / made.name[1:]
            made.rename(home)
        except OSError:
            os.close(lock)
            raise
    except OSError:  # a file system without locks, or one that is full
        shutil.rmtree(made, ignore_errors=True)
        raise
    return home, lock


def _sweep(folder: Path) -> None:
    """Remove our copies whose process is gone."""
    for made in folder.glob(f".{PREFIX}*"):  # of a process that ended before it had the lock, if there is one yet
        with suppress(OSError):
            status = made.stat()
            if status.st_uid == os.geteuid() and time.time() - status.st_mtime > BEGUN_SECONDS:
                shutil.rmtree(made, ignore_errors=True)
    for home in folder.glob(f"{PREFIX}*"):
        with suppress(OSError):
            if home.stat().st_uid != os.geteuid():
                continue
            lock = os.open(home / _LOCK, os.O_RDWR)
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(home, ignore_errors=True)
            finally:
                os.close(lock)
