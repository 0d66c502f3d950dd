"""The output root of a dataset: its marker, and where its shards lie.

Layout: ``<root>/_dataset.json`` (the marker), ``<root>/_receipts/``, and
``<root>/<width>x<height>/<split>/shard-%06d.tar``. The marker tells a root that is not mounted, or another
dataset's, from one whose shards are gone.
"""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from materialize.receipt import FOLDER as RECEIPTS
from materialize.shard import cannot_write, write_synced
from materialize.steps import SmallFile
from tol_db.errors import CannotWrite, InputError, NameTaken, OutputNotMounted, UsageError

MARKER = "_dataset.json"


@dataclass(frozen=True, slots=True)
class Marker:
    """Whose root it is."""

    uuid: str
    name: str


def shard_path(size: tuple[int, int], split: str, ordinal: int) -> Path:
    """Where a shard lies, relative to the root."""
    return split_folder(size, split) / f"shard-{ordinal:06d}.tar"


def split_folder(size: tuple[int, int], split: str) -> Path:
    return Path(f"{size[0]}x{size[1]}") / safe_name(split)


def safe_name(name: str) -> str:
    """A name that is one folder and nothing else.

    Raises:
        UsageError: it holds a separator, begins with a dot, or is empty.
    """
    if not name or name.startswith((".", "_")) or any(c in name for c in "/\\\0\n") or len(name.encode()) > 200:
        raise UsageError(f"{name!r} cannot name a folder", hint="use letters, digits, '-', '_' and '.'")
    return name


def read_marker(root: Path) -> Marker | None:
    """The marker of a root, or None where there is none.

    Raises:
        InputError: it is broken.
    """
    path = root / MARKER
    try:
        table = json.loads(path.read_bytes())
        return Marker(str(table["dataset"]), str(table["name"]))
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, ValueError, KeyError, TypeError) as err:
        raise InputError(f"{path}: a broken marker: {err}", hint="is this an output root of tol-db?") from None


def absolute(path: Path) -> Path:
    """The path from the root of the file system on.

    Raises:
        UsageError: it is not UTF-8, and thus no text that the database could hold.
    """
    path = path.absolute()
    try:
        str(path).encode()
    except UnicodeEncodeError:
        raise UsageError(f"{str(path)!a} is not UTF-8", hint="name another folder") from None
    return path


def nearest_folder(path: Path) -> Path:
    """A folder itself, or the nearest one above it that is there.

    Raises:
        CannotWrite: a file is in the way, a folder above cannot be entered, or the name is too long.
    """
    for folder in (path, *path.parents):
        try:
            mode = folder.stat().st_mode
        except (FileNotFoundError, NotADirectoryError) as err:
            if folder.is_symlink():
                raise CannotWrite(f"{folder} is a link to nowhere", hint="name a folder for the shards") from err
            continue  # a file further up is met on the way there
        except OSError as err:
            raise cannot_write(path, err) from err
        if not stat.S_ISDIR(mode):
            raise CannotWrite(f"{folder} is a file, not a folder", hint="name a folder for the shards")
        return folder
    raise CannotWrite(f"{path}: there is no such file system", hint="name a folder for the shards")


def require_creatable(root: Path) -> None:
    """Check that a root can be made, or is a folder that can be written to.

    Raises:
        CannotWrite
    """
    folder = nearest_folder(root)
    if not os.access(folder, os.R_OK | os.W_OK | os.X_OK):
        raise CannotWrite(f"{folder}: no permission to write", hint="check its permissions, or name another folder")


def require_free(root: Path, size: tuple[int, int], splits: Sequence[str]) -> None:
    """Check that a root without a marker holds no shards where those of a new dataset would lie.

    Raises:
        NameTaken
    """
    for split in splits:
        for shard in sorted((root / split_folder(size, split)).glob("*.tar")):
            raise NameTaken(f"{shard} is there already and is not tol-db's", hint="name another folder")


def require_leftover(root: Path, found: Marker) -> None:
    """Check that nothing was ever written under a marker that no dataset of this database has.

    Such a marker is what a plan leaves that dies between its last file and its commit.

    Raises:
        NameTaken: there are shards or receipts, which may be another database's.
    """
    for pattern in (f"{RECEIPTS}/*.json", "*/*/shard-*.tar"):
        for path in sorted(root.glob(pattern)):
            raise NameTaken(
                f"{root} is the output root of dataset {found.name!r} ({found.uuid}), which is not in this "
                f"database, and holds {path.relative_to(root)}",
                hint=f"name another folder; if nobody needs what lies there, remove {root / MARKER} first",
            )


def write_marker(root: Path, marker: Marker) -> None:
    """Raises: CannotWrite."""
    text = json.dumps({"dataset": marker.uuid, "name": marker.name}, indent=1) + "\n"
    write_synced(root / MARKER, text.encode(), "new", SmallFile.MARKER)


def sweep_attempt(root: Path, token: str) -> None:
    """Remove the partials of an attempt that is dead. What cannot be removed now, the next start sweeps."""
    for pattern in (f"*/*/.*.{token}.partial", f"{RECEIPTS}/.*.{token}.partial"):
        for path in root.glob(pattern):
            with suppress(OSError):
                path.unlink()


def require(root: Path, marker: Marker) -> None:
    """Check that a root is there and is the dataset's, before anything in it is judged.

    Raises:
        OutputNotMounted: it is not there, or has no marker, or another dataset's.
    """
    try:
        there = root.is_dir()
    except OSError as err:  # a folder above it cannot be entered
        raise OutputNotMounted(f"{root}: {err.strerror}", hint="check the mount and its permissions") from err
    if not there:
        raise OutputNotMounted(
            f"{root}: the output root of dataset {marker.name!r} is not there",
            hint=f"mount the disk; if it was moved: `tol-db dataset move {marker.name} NEW_ROOT`",
        )
    found = read_marker(root)
    if found is None or found.uuid != marker.uuid:
        whose = f"dataset {found.name!r} ({found.uuid})" if found else "no dataset (no marker file)"
        raise OutputNotMounted(
            f"{root} belongs to {whose}, not to {marker.name!r} ({marker.uuid})",
            hint=f"mount the right disk, or `tol-db dataset move {marker.name} ITS_ROOT`",
        )


def require_mounted(root: Path) -> None:
    """Check that a root has not gone away while it is written to: what is made in its place is nobody's.

    Raises:
        OutputNotMounted
    """
    if not (root / MARKER).exists():
        raise OutputNotMounted(f"{root}: the output root is not there any more", hint="mount it, then run again")


def require_folders(root: Path, folders: Iterable[Path]) -> None:
    """Check that folders which hold complete shards are there: each may be a mount or a link of its own.

    Args:
        folders: relative to the root.

    Raises:
        OutputNotMounted: one is not there or cannot be looked at; nothing in it is to be judged missing.
    """
    for folder in sorted(folders):
        try:
            (root / folder).stat()
        except OSError as err:
            raise OutputNotMounted(
                f"{root / folder}: the folder of complete shards: {err.strerror}",
                hint="mount it; if it is lost, make an empty one: its shards are then written anew",
            ) from err
