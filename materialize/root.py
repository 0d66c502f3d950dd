"""The output root of a dataset: its marker, and where its shards lie.

Layout: ``<root>/_dataset.json`` (the marker), ``<root>/_receipts/``, and
``<root>/<width>x<height>/<split>/shard-%06d.tar``. The marker tells a root that is not mounted, or another
dataset's, from one whose shards are gone.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from materialize.shard import write_synced
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


def create(root: Path, marker: Marker, size: tuple[int, int], splits: Sequence[str]) -> None:
    """Make the root of a new dataset and mark it as its own.

    Raises:
        NameTaken: it belongs to another dataset, or holds shards of something else.
        CannotWrite: it is a file, or cannot be made.
    """
    if root.exists() and not root.is_dir():
        raise CannotWrite(f"{root} is a file, not a folder", hint="name a folder for the shards")
    found = read_marker(root)
    if found is not None and found != marker:
        raise NameTaken(
            f"{root} is the output root of dataset {found.name!r} ({found.uuid})", hint="name another folder"
        )
    if found is None:
        for split in splits:
            for shard in sorted((root / split_folder(size, split)).glob("*.tar")):
                raise NameTaken(f"{shard} is there already and is not tol-db's", hint="name another folder")
    write_marker(root, marker)


def write_marker(root: Path, marker: Marker) -> None:
    """Raises: CannotWrite."""
    text = json.dumps({"dataset": marker.uuid, "name": marker.name}, indent=1) + "\n"
    write_synced(root / MARKER, text.encode(), "new")


def require(root: Path, marker: Marker) -> None:
    """Check that a root is there and is the dataset's, before anything in it is judged.

    Raises:
        OutputNotMounted: it is not there, or has no marker, or another dataset's.
    """
    if not root.is_dir():
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
