"""The published splits of an attached mapping: ``val``, ``train`` (the rest), ``train_small`` (of train)."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import sqlalchemy as sa

from tol_db.db.bulk import BATCH, changes, insert_many, query, scalar, utc_now
from tol_db.db.engine import raw
from tol_db.errors import NameTaken
from tol_db.ingest.attached import unreadable
from tol_db.ingest.id_index import CHUNK, IdIndex, Numbers, ids_of
from tol_db.ingest.mapping_tables import ID, SPLIT, require_distinct, require_ids


@dataclass(frozen=True, slots=True)
class SplitCount:
    """A split: its members, and how many came and went with this mapping."""

    name: str
    members: int
    added: int
    removed: int


@dataclass(frozen=True, slots=True)
class SplitRows:
    """What the split table of a mapping brought.

    Attributes:
        matched: rows whose id is an image.
        unknown: rows whose id is none.
        without: images of the mapping's sources that no row names; they keep the splits that they had.
        splits: val, train, train_small.
    """

    matched: int
    unknown: int
    without: int
    splits: tuple[SplitCount, ...]

    def describe(self) -> list[str]:
        """Lines to print."""
        lines = [
            f"  split {it.name}: {it.members:,} images ({it.added:,} added, {it.removed:,} removed)"
            for it in self.splits
        ]
        if self.unknown:
            lines.append(f"  {self.unknown:,} rows of the table split name no image of the mapping")
        if self.without:
            lines.append(f"  {self.without:,} images have no row in the table split")
        return lines


@dataclass(frozen=True, slots=True)
class Members:
    """The rows of the table split whose id is an image.

    Attributes:
        images: keys of image rows, ascending.
        is_val, is_small: of each.
    """

    images: Numbers
    is_val: npt.NDArray[np.bool_]
    is_small: npt.NDArray[np.bool_]


def read_split_rows(conn: sa.Connection, path: Path, rows: int) -> Members:
    """Find the image of each row of the table split.

    Args:
        conn: with the mapping attached and its images in the database.
        path: of the mapping.
        rows: of the table.

    Raises:
        InputError: an id is none, or stands twice.
    """
    index = IdIndex(conn)
    images = np.empty(rows, np.int64)
    flags = np.empty((rows, 2), np.bool_)
    start = 0
    try:
        cursor = raw(conn).execute(f"SELECT {ID}, is_val, is_train_small FROM mapping.split")  # noqa: S608
        while read := cursor.fetchmany(CHUNK):
            texts, *both = zip(*read, strict=True)
            part = slice(start, start + len(read))
            images[part] = index.find(ids_of(texts))
            flags[part] = np.array(both, np.bool_).T
            start = part.stop
    except ValueError:
        require_ids(conn, path, SPLIT)
        raise
    except sqlite3.OperationalError as err:
        raise unreadable(path, err) from err
    order = np.argsort(images)
    order = order[np.searchsorted(images, 1, sorter=order) :]  # 0: the row's id is no image
    images, flags = images[order], flags[order]
    if (images[1:] == images[:-1]).any():
        require_distinct(conn, path, (SPLIT,))
    return Members(images, flags[:, 0], flags[:, 1])


def take_splits(conn: sa.Connection, named: Members) -> tuple[SplitCount, ...]:
    """Make the members of the published splits those that the mapping names.

    Images that it does not name stay where they are.

    Raises:
        NameTaken: a split of one of the names is there and is not a published one.
    """
    now = utc_now()
    val = _split(conn, "val", now)
    train = _split(conn, "train", now, complement_of=val)
    small = _split(conn, "train_small", now, parent=train)
    return (
        _fill(conn, "val", val, named.images, named.is_val),
        _fill(conn, "train", train, named.images, ~named.is_val),
        _fill(conn, "train_small", small, named.images, ~named.is_val & named.is_small),
    )


def _split(
    conn: sa.Connection, name: str, now: str, *, parent: int | None = None, complement_of: int | None = None
) -> int:
    for found, policy in query(conn, "SELECT id, policy FROM split WHERE name = ?", (name,)):
        if policy != "published":
            raise NameTaken(
                f"there is a split {name} already, and its policy is {policy}, not published",
                hint="a mapping brings its own val, train and train_small: use a new database for it",
            )
        return int(found)
    changes(
        conn,
        """INSERT INTO split (name, parent_id, complement_of_id, policy, created_at)
           VALUES (?, ?, ?, 'published', ?)""",
        (name, parent, complement_of, now),
    )
    made: int = scalar(conn, "SELECT last_insert_rowid()")
    return made


def _fill(
    conn: sa.Connection, name: str, split: int, named: Numbers, is_in: npt.NDArray[np.bool_]
) -> SplitCount:
    rows = query(conn, "SELECT image_id FROM split_member WHERE split_id = ? ORDER BY image_id", (split,))
    there = np.fromiter((row[0] for row in rows), np.int64)
    wanted = named[is_in]
    added = np.setdiff1d(wanted, there, assume_unique=True)
    removed = np.intersect1d(there, named[~is_in], assume_unique=True)
    insert_many(conn, "INSERT INTO split_member (split_id, image_id) VALUES (?, ?)", _pairs(split, added))
    insert_many(conn, "DELETE FROM split_member WHERE split_id = ? AND image_id = ?", _pairs(split, removed))
    return SplitCount(name, len(there) + len(added) - len(removed), len(added), len(removed))


def _pairs(split: int, images: Numbers) -> Iterator[tuple[int, int]]:
    for start in range(0, len(images), BATCH):
        for image in images[start : start + BATCH].tolist():
            yield split, image
