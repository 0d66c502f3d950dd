"""Read a split from a list of ids."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import sqlalchemy as sa

from tol_db.db.bulk import changes, insert_many, query, scalar, uuid_blob, uuid_text
from tol_db.db.engine import Database, raw
from tol_db.errors import InputError, NameTaken, UsageError
from tol_db.ingest.files import InputFile, look, record
from tol_db.ingest.text_files import CsvTable, TextInput, reading, shown
from tol_db.split import Policy, add, find, policies, require_name

NAMED: Final = 5
"""How many ids are named in a result or a message."""

_LISTED_IMAGES: Final = """
INSERT INTO temp.listed_image (image_id, line)
SELECT i.id, min(l.line) FROM temp.listed_id l JOIN image i ON i.treeoflife_id = l.treeoflife_id
GROUP BY i.id ORDER BY i.id"""

_UNMATCHED: Final = """
FROM temp.listed_id l
WHERE NOT EXISTS (SELECT 1 FROM image i WHERE i.treeoflife_id = l.treeoflife_id)"""

_FIRST_OF_EACH: Final = " GROUP BY l.treeoflife_id ORDER BY line LIMIT ?"

_OUTSIDE: Final = """
SELECT l.line, i.treeoflife_id FROM temp.listed_image l JOIN image i ON i.id = l.image_id
WHERE NOT EXISTS (SELECT 1 FROM split_member m WHERE m.split_id = ? AND m.image_id = l.image_id)
ORDER BY l.line LIMIT 1"""

_INSIDE: Final = """
SELECT l.line, i.treeoflife_id FROM temp.listed_image l JOIN image i ON i.id = l.image_id
WHERE EXISTS (SELECT 1 FROM split_member m WHERE m.split_id = ? AND m.image_id = l.image_id)
ORDER BY l.line LIMIT 1"""

_NOT_LISTED: Final = """
FROM split_member
WHERE split_id = ?
  AND NOT EXISTS (SELECT 1 FROM temp.listed_image l WHERE l.image_id = split_member.image_id)"""

_ADD: Final = """
INSERT INTO split_member (split_id, image_id) SELECT ?, image_id FROM temp.listed_image WHERE 1
ON CONFLICT DO NOTHING"""

_USERS: Final = """
SELECT 'dataset ' || d.name FROM dataset_split s JOIN dataset d ON d.id = s.dataset_id WHERE s.split_id = ?1
UNION ALL
SELECT 'split ' || name FROM split WHERE parent_id = ?1 OR complement_of_id = ?1
LIMIT 1"""


@dataclass(frozen=True, slots=True)
class SplitFileResult:
    """What a list of ids brought.

    Attributes:
        unchanged: the split is as it was.
        name, path: of the split, and what was read.
        members: images in the split.
        added, removed: against the last time that the file was read.
        listed: distinct ids of the file; repeated: lines that name an id again.
        unmatched: ids that are no image; unmatched_first: a few of them, ``line 7: <id>``.
    """

    unchanged: bool
    name: str
    path: Path
    members: int
    added: int
    removed: int
    listed: int
    repeated: int
    unmatched: int
    unmatched_first: tuple[str, ...]

    def describe(self) -> list[str]:
        """Lines to print."""
        if self.unchanged:
            lines = [f"split {self.name}: unchanged, {self.members:,} images"]
        else:
            lines = [f"split {self.name}: {self.members:,} images of the {self.listed:,} ids of {self.path.name}"]
            if self.removed or self.added != self.members:
                lines.append(f"  {self.added:,} added, {self.removed:,} removed")
        if self.repeated:
            lines.append(f"  {self.repeated:,} lines repeat an id")
        if self.unmatched:
            lines.append(f"  {self.unmatched:,} ids are no image of this database; first:")
            lines.extend(f"    {text}" for text in self.unmatched_first)
        return lines


def ingest_split(
    db: Database,
    name: str,
    path: Path,
    *,
    parent: str | None = None,
    complement_of: str | None = None,
    allow_unmatched: bool = False,
) -> SplitFileResult:
    """Make a split of the ids that a file lists, in one transaction.

    The file has an id per line (blank lines and what follows ``#`` are skipped), or is CSV with a column
    ``treeoflife_id``; of a CSV with a column ``split``, as TreeOfLife-10M's catalog, the rows of this split
    count. A file with ids that are no image is read again each time, as their images may have come since. A
    file that has changed changes the split; once something was made of the split, images are only added.

    Args:
        db: the database.
        name: of the split.
        path: the file.
        parent: a split that the listed images must be in.
        complement_of: a split that none of them may be in.
        allow_unmatched: accept a file of which no id is an image.

    Raises:
        NameTaken: there is a split of that name that did not come from this file.
        UsageError: no such parent or other split; images were taken out of a list that is in use.
        InputMissing: no such file.
        InputError: no ids; an id that is none; an image outside of the parent or in a split disjoint from
            this one; no id is an image.
    """
    require_name(name)
    with db.write() as conn:
        up = find(conn, parent) if parent is not None else None
        other = find(conn, complement_of) if complement_of is not None else None
        file = look(conn, f"split:{name}", path)
        found = next((policy for policy in policies(conn) if policy.name == name), None)
        if found is not None:
            _require_same_rule(found, up, other)
            known = _known(conn, found, file, path)
            if known is not None:
                return known
        split = found or add(conn, name, "file", parent=up, complement_of=other)
        digest = _list(conn, name, path)
        if not changes(conn, _LISTED_IMAGES) and not allow_unmatched:
            raise InputError(
                f"{path}: none of its ids is an image of this database",
                hint="ingest the images first, or say --allow-unmatched",
            )
        _require_disjoint(conn, split, path)
        return _store(conn, split, file, path, digest, is_new=found is None)


def _require_same_rule(split: Policy, parent: Policy | None, complement_of: Policy | None) -> None:
    if split.kind != "file":
        raise NameTaken(f"there is a split {split.name!r} already", hint="choose another name")
    if (split.parent, split.complement_of) != (parent and parent.id, complement_of and complement_of.id):
        raise NameTaken(
            f"there is a split {split.name!r} already, made with another --within or --except",
            hint="say the same as the first time, or choose another name",
        )


_RECORD: Final = "SELECT rows_read, detail FROM source_file WHERE kind = ? AND root = ? AND path = ?"


def _known(conn: sa.Connection, split: Policy, file: InputFile, path: Path) -> SplitFileResult | None:
    """The result for a file that need not be read again: it is the recorded one and all ids were images."""
    row = next(query(conn, _RECORD, (file.kind, str(file.path.parent), file.path.name)), None)
    if row is None or not file.known or row[1] is not None:
        return None
    members = _members(conn, split)
    return SplitFileResult(True, split.name, path, members, 0, 0, members, row[0] - members, 0, ())


def _members(conn: sa.Connection, split: Policy) -> int:
    found: int = scalar(conn, "SELECT count(*) FROM split_member WHERE split_id = ?", (split.id,))
    return found


def _list(conn: sa.Connection, name: str, path: Path) -> bytes:
    """Read the ids into ``temp.listed_id``; returns the sha256 of the file."""
    driver = raw(conn)
    driver.execute("CREATE TEMP TABLE listed_id (line INTEGER PRIMARY KEY, treeoflife_id BLOB NOT NULL)")
    driver.execute("CREATE TEMP TABLE listed_image (image_id INTEGER PRIMARY KEY, line INTEGER NOT NULL)")
    with reading(path) as text:
        if not insert_many(conn, "INSERT INTO temp.listed_id VALUES (?, ?)", _ids(text, name)):
            raise InputError(f"{path}: no id in it", hint="an id per line, or CSV with a column treeoflife_id")
    driver.execute("CREATE INDEX temp.ix_listed_id ON listed_id (treeoflife_id)")
    return text.digest()


def _ids(file: TextInput, name: str) -> Iterator[tuple[int, bytes]]:
    for line, text in _texts(file, name):
        blob = uuid_blob(text)
        if blob is None:
            raise file.error(line, f"{shown(text)} is not a TreeOfLife id (uuid)", "mend the file")
        yield line, blob


def _texts(file: TextInput, name: str) -> Iterator[tuple[int, str]]:
    suffix = file.path.suffix.lower()
    if suffix not in (".csv", ".tsv") and b"treeoflife_id" not in file.peek(4096).split(b"\n", 1)[0]:
        for line, text in file.lines():
            if text := text.split("#", 1)[0].strip():
                yield line, text
        return
    table = CsvTable(file, "\t" if suffix == ".tsv" else ",")
    if "split" not in table.header:
        yield from ((line, values[0]) for line, values in table.rows(["treeoflife_id"]))
        return
    others: set[str] = set()
    is_in_it = False
    for line, (treeoflife_id, split) in table.rows(["treeoflife_id", "split"]):
        if split == name:
            is_in_it = True
            yield line, treeoflife_id
        elif len(others) < NAMED:
            others.add(split)
    if not is_in_it:
        has = ", ".join(map(shown, sorted(others))) or "none"
        raise InputError(f"{file.path}: no row of split {name!r}", hint=f"splits in the file: {has}")


def _require_disjoint(conn: sa.Connection, split: Policy, path: Path) -> None:
    """Nobody outside of the parent, nobody in a split that is disjoint from this one."""
    if split.parent is not None:
        for line, blob in query(conn, _OUTSIDE, (split.parent,)):
            raise InputError(
                f"{path}: line {line}: {uuid_text(blob)} is not in the split that this one is drawn from",
                hint="take it out of the file, or name another split with --within",
            )
    for other in policies(conn):
        if other.id == split.complement_of or other.complement_of == split.id:
            for line, blob in query(conn, _INSIDE, (other.id,)):
                raise InputError(
                    f"{path}: line {line}: {uuid_text(blob)} is in split {other.name!r}, which excludes this",
                    hint="take it out of the file; an image that is in a split stays in it",
                )


def _store(
    conn: sa.Connection, split: Policy, file: InputFile, path: Path, digest: bytes, *, is_new: bool
) -> SplitFileResult:
    """Make the members those that are listed."""
    before = next(query(conn, _RECORD, (file.kind, str(file.path.parent), file.path.name)), None)
    removed = scalar(conn, "SELECT count(*)" + _NOT_LISTED, (split.id,))
    added = changes(conn, _ADD, (split.id,))
    if not is_new and before is None and (added or removed):
        raise NameTaken(f"there is a split {split.name!r} already, of another file", hint="choose another name")
    if removed:
        user = scalar(conn, _USERS, (split.id,))
        if user is not None:
            raise UsageError(
                f"{path}: {removed:,} images of {split.name!r} are not in it any more, and {user} uses it",
                hint="choose another name for the new list",
            )
        changes(conn, "DELETE" + _NOT_LISTED, (split.id,))
    rows, listed = next(query(conn, "SELECT count(*), count(DISTINCT treeoflife_id) FROM temp.listed_id"))
    unmatched = scalar(conn, "SELECT count(DISTINCT l.treeoflife_id)" + _UNMATCHED)
    first = query(conn, "SELECT min(l.line) AS line, l.treeoflife_id" + _UNMATCHED + _FIRST_OF_EACH, (NAMED,))
    result = SplitFileResult(
        unchanged=not (is_new or added or removed),
        name=split.name,
        path=path,
        members=_members(conn, split),
        added=added,
        removed=removed,
        listed=listed,
        repeated=rows - listed,
        unmatched=unmatched,
        unmatched_first=tuple(f"line {line}: {uuid_text(blob)}" for line, blob in first),
    )
    if not (file.known and result.unchanged):
        remark = f"{unmatched} ids are no image" if unmatched else None
        record(conn, file, sha256=digest, rows=rows, detail=remark)
    return result
