"""The datasets of a database: list them, follow one that was moved, remove one."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from materialize import lease, root
from materialize.dataset import Dataset, load_dataset
from materialize.receipt import FOLDER as RECEIPTS
from tol_db.db.bulk import changes, query, scalar
from tol_db.db.engine import Database
from tol_db.errors import CannotWrite, NameTaken


@dataclass(frozen=True, slots=True)
class DatasetLine:
    """A dataset in a list; images and shards count over all its splits."""

    name: str
    recipe: str
    splits: tuple[str, ...]
    shards: int
    complete: int
    planned: int
    written: int
    output_root: str
    planned_at: str


def list_datasets(db: Database) -> list[DatasetLine]:
    """All datasets by name."""
    sql = """
        SELECT d.name, r.name, (SELECT group_concat(s.name, char(31)) FROM dataset_split x
                                JOIN split s ON s.id = x.split_id WHERE x.dataset_id = d.id),
               (SELECT count(*) FROM shard h WHERE h.dataset_id = d.id),
               (SELECT count(*) FROM shard h WHERE h.dataset_id = d.id AND h.state IN ('complete', 'verified')),
               (SELECT coalesce(sum(planned), 0) FROM dataset_split x WHERE x.dataset_id = d.id),
               (SELECT coalesce(sum(written), 0) FROM dataset_split x WHERE x.dataset_id = d.id),
               d.output_root, d.planned_at
        FROM dataset d JOIN recipe r ON r.id = d.recipe_id ORDER BY d.name"""
    with db.read() as conn:
        return [
            DatasetLine(name, recipe, tuple(sorted((splits or "").split("\x1f"))), *rest)
            for name, recipe, splits, *rest in query(conn, sql)
        ]


def move(db: Database, name: str, target: Path) -> str:
    """Follow a dataset to another root, or take it there.

    If the target has the dataset's marker (it was copied or renamed), only the record changes. Else the
    root is renamed; across file systems it must be copied first.

    Returns:
        What was done: ``recorded`` or ``renamed``.

    Raises:
        UsageError: no such dataset, or a target that is not UTF-8.
        LeaseHeld: a run works on it.
        NameTaken: the target is something else.
        OutputNotMounted: neither place has the dataset.
        CannotWrite: it cannot be renamed.
    """
    target = root.absolute(target)
    with db.write() as conn:
        dataset = load_dataset(conn, name)
        lease.require_idle(conn, dataset)
        done = "recorded"
        if root.nearest_folder(target) == target:
            found = root.read_marker(target)
            if found is None or found.uuid != dataset.uuid:
                raise NameTaken(
                    f"{target} is there and is not the output root of {name!r}",
                    hint="name a folder to be made",
                )
        else:
            root.require(dataset.output_root, dataset.marker)
            _rename(dataset, target)
            done = "renamed"
        changes(conn, "UPDATE dataset SET output_root = ? WHERE id = ?", (str(target), dataset.id))
    return done


def _rename(dataset: Dataset, target: Path) -> None:
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        dataset.output_root.rename(target)
    except OSError as err:
        if err.errno == errno.EXDEV:
            hint = f"copy it (`rsync -a {dataset.output_root}/ {target}/`), then run this again"
            raise CannotWrite(f"{target} lies on another file system", hint=hint) from err
        raise CannotWrite(f"{target}: {err.strerror}", hint="check permissions") from err


@dataclass(frozen=True, slots=True)
class Removed:
    """What went: rows of shards and their images; files, when asked; what was left in the root."""

    shards: int
    images: int
    files: int
    left: tuple[Path, ...]


def remove(db: Database, name: str, *, files: bool = False) -> Removed:
    """Forget a dataset; with ``files``, also delete the shards that the database has a record of.

    Nothing else under the root is deleted: what is left is named.

    Raises:
        OutputNotMounted: files are to go and the root is not there.
        LeaseHeld: a run works on it.
        CannotWrite: files are to go and cannot: nothing is removed where that can be told beforehand.
    """
    with db.write() as conn:
        dataset = load_dataset(conn, name)
        lease.require_idle(conn, dataset)
        if files:
            root.require(dataset.output_root, dataset.marker)
        sql = """SELECT s.name, h.ordinal, h.bytes FROM shard h JOIN split s ON s.id = h.split_id
                 WHERE h.dataset_id = ?"""
        shards = list(query(conn, sql, (dataset.id,)))
        if files:
            _require_deletable(dataset, {split for split, _, _ in shards})
        images = scalar(
            conn,
            "SELECT count(*) FROM shard_image WHERE shard_id IN (SELECT id FROM shard WHERE dataset_id = ?)",
            (dataset.id,),
        )
        changes(conn, "DELETE FROM dataset WHERE id = ?", (dataset.id,))
    # only now: a crash leaves files without a record, which is what they were before, not records without files
    gone = _delete_files(dataset, shards) if files else 0
    left = tuple(sorted(p for p in dataset.output_root.rglob("*") if p.is_file())) if files else ()
    return Removed(len(shards), images, gone, left)


def _require_deletable(dataset: Dataset, splits: Iterable[str]) -> None:
    """Check, before the record of the files goes, that their folders let them be deleted.

    Raises:
        CannotWrite
    """
    top = dataset.output_root
    folders = {top / root.split_folder(dataset.recipe.size, split) for split in splits}
    # from above: what lies in a folder that cannot be entered looks as if it were not there
    for folder in sorted({top, top / RECEIPTS, *folders, *(f.parent for f in folders)}):
        if os.path.lexists(folder) and not os.access(folder, os.R_OK | os.W_OK | os.X_OK):
            raise CannotWrite(
                f"{folder}: no permission to delete what lies there; nothing was removed",
                hint="check its permissions, or leave the files alone (without --files)",
            )


_DESCRIPTIONS = ("sizes.json", "wids-index.json")
"""What `tol-db export` writes beside the shards."""


def _delete_files(dataset: Dataset, shards: list[tuple[str, int, int | None]]) -> int:
    """How many shards were deleted. Raises CannotWrite for the first file that cannot be, after the others."""
    top = dataset.output_root
    paths = {
        top / root.shard_path(dataset.recipe.size, split, ordinal): size is not None
        for split, ordinal, size in shards
    }
    folders = sorted({path.parent for path in paths})
    failed: list[tuple[Path, OSError]] = []
    gone = sum(_unlink(path, failed) for path, recorded in paths.items() if recorded)
    told = [path for kind in ("shard", "verified") for path in sorted((top / RECEIPTS).glob(f"{kind}-*.json"))]
    for path in (*(f / name for f in folders for name in _DESCRIPTIONS), *told):
        _unlink(path, failed)
    if not failed:  # else it tells whose the files are that are left
        _unlink(top / root.MARKER, failed)
        for folder in (*folders, *sorted({f.parent for f in folders}), top / RECEIPTS, top):
            _remove_if_empty(folder, failed)
    if failed:
        path, err = failed[0]
        raise CannotWrite(
            f"{path}: {err.strerror or err}; dataset {dataset.name!r} is no longer in the database, but "
            f"{len(failed)} of its files could not be deleted",
            hint=f"check permissions, then delete what is left under {top} by hand",
        ) from err
    return gone


def _unlink(path: Path, failed: list[tuple[Path, OSError]]) -> bool:
    """Whether there was such a file and is no longer."""
    try:
        path.unlink()
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError as err:
        failed.append((path, err))
        return False
    return True


def _remove_if_empty(folder: Path, failed: list[tuple[Path, OSError]]) -> None:
    try:
        if folder.is_dir() and not any(folder.iterdir()):
            folder.rmdir()
    except OSError as err:
        failed.append((folder, err))
