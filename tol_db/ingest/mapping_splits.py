"""The published splits of an attached mapping: ``val``, ``train`` (the rest), ``train_small`` (of train)."""

from __future__ import annotations

from dataclasses import dataclass

import sqlalchemy as sa

from tol_db.db.bulk import changes, query, scalar, utc_now
from tol_db.errors import NameTaken
from tol_db.ingest.mapping_tables import ID

# name → which rows of the mapping's table split are in it
_RULES = {
    "val": "is_val = 1",
    "train": "is_val = 0",
    "train_small": "is_val = 0 AND is_train_small = 1",
}


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


def match_split_rows(conn: sa.Connection) -> int:
    """Gather the rows of the table split by image, in ``temp.split_row``; how many name an image.

    The ids are sorted before they are looked up, and the images after it: ten million look-ups in sorted order
    take half the time of as many at random, and the rows of a table lie where they belong.

    Raises:
        sqlite3.IntegrityError: an id is none, or stands twice.
    """
    changes(conn, "CREATE TEMP TABLE split_id (id BLOB PRIMARY KEY, is_val, is_train_small) WITHOUT ROWID")
    changes(
        conn,
        f"""INSERT INTO temp.split_id
            SELECT id_blob({ID}) AS id, is_val, is_train_small FROM mapping.split ORDER BY id""",  # noqa: S608
    )
    changes(conn, "CREATE TEMP TABLE split_row (image_id INTEGER PRIMARY KEY, is_val, is_train_small)")
    matched = changes(
        conn,
        """INSERT INTO temp.split_row
           SELECT i.id, s.is_val, s.is_train_small
           FROM temp.split_id s CROSS JOIN main.image i ON i.treeoflife_id = s.id ORDER BY i.id""",
    )
    changes(conn, "DROP TABLE temp.split_id")
    return matched


def take_splits(conn: sa.Connection) -> tuple[SplitCount, ...]:
    """Make the members of the published splits those of ``temp.split_row``.

    Images that are not in it stay where they are.

    Raises:
        NameTaken: a split of one of the names is there and is not a published one.
    """
    now = utc_now()
    val = _split(conn, "val", now)
    train = _split(conn, "train", now, complement_of=val)
    small = _split(conn, "train_small", now, parent=train)
    return tuple(
        _fill(conn, name, split) for name, split in (("val", val), ("train", train), ("train_small", small))
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


def _fill(conn: sa.Connection, name: str, split: int) -> SplitCount:
    rule = _RULES[name]
    removed = 0
    if scalar(conn, "SELECT EXISTS (SELECT 1 FROM split_member WHERE split_id = ?)", (split,)):
        removed = changes(
            conn,
            f"""DELETE FROM split_member WHERE split_id = ?
                AND image_id IN (SELECT image_id FROM temp.split_row WHERE NOT ({rule}))""",  # noqa: S608
            (split,),
        )
    added = changes(
        conn,
        f"""INSERT OR IGNORE INTO split_member (split_id, image_id)
            SELECT ?, image_id FROM temp.split_row WHERE {rule}""",  # noqa: S608
        (split,),
    )
    members = scalar(conn, "SELECT count(*) FROM split_member WHERE split_id = ?", (split,))
    return SplitCount(name, members, added, removed)
