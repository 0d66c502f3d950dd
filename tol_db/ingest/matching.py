"""Join what lies in a container to the image rows, in sets: no query per member.

The entries of one container fill a temporary table; a few statements find the image of each, write down where
it lies, and keep the rest as strays. What was known of the container before is replaced as a whole.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import sqlalchemy as sa

from tol_db.db.bulk import changes, insert_many, query, scalar, utc_now, uuid_text
from tol_db.ingest.claims import DUPLICATE, NO_ROW, Claimer, mapped_eol
from tol_db.ingest.files import escaped, is_stored
from tol_db.ingest.layout import Found
from tol_db.ingest.scan import Entry, Scan


@dataclass(frozen=True, slots=True)
class Target:
    """The container whose entries are matched.

    Attributes:
        source: id in the table ``source``.
        key: of the source.
        container: id in the table ``container``.
        found: as it lies on disk.
        claim: what a name says.
        raw: image rows are made of the files; otherwise a mapping has made them.
    """

    source: int
    key: str
    container: int
    found: Found
    claim: Claimer
    raw: bool


@dataclass(frozen=True, slots=True)
class Matched:
    """What became of the entries of a container.

    Attributes:
        members: all entries but an archive's entries for folders; members = matched + strays.
        matched: entries that are images.
        strays: the others.
        new: image rows made (raw folders only).
    """

    members: int
    matched: int
    strays: int
    new: int


# shown: what image.member holds; NULL stands for <treeoflife_id>.jpg
_FOUND = """
CREATE TEMP TABLE found (
    member_index INTEGER PRIMARY KEY, member TEXT NOT NULL, shown TEXT, data_offset INTEGER, bytes INTEGER,
    is_file INTEGER NOT NULL, treeoflife_id BLOB, content_id INTEGER, page_id INTEGER, reason TEXT,
    image_id INTEGER)"""

_BY_ID = """
UPDATE temp.found SET image_id = i.id
FROM main.image i
WHERE i.treeoflife_id = found.treeoflife_id AND i.source_id = ?"""

# of several images with the content id the one with the page id too; the plus keeps SQLite to the index of
# the content id, because some pages have thousands of images
_BY_CONTENT = """
UPDATE temp.found SET image_id = coalesce(
    (SELECT min(e.image_id) FROM main.eol_image e
     WHERE e.content_id = found.content_id AND +e.page_id = found.page_id),
    (SELECT min(e.image_id) FROM main.eol_image e WHERE e.content_id = found.content_id))
WHERE content_id IS NOT NULL AND treeoflife_id IS NULL"""

# ix_image_container_id; of two rows with one name the first gets the file
_BY_NAME = """
UPDATE temp.found SET image_id = c.id, reason = NULL
FROM (SELECT min(id) AS id, member FROM main.image WHERE container_id = ? GROUP BY member) AS c
WHERE c.member = found.member AND found.is_file"""

_DUPLICATES = """
UPDATE temp.found SET image_id = NULL, reason = ?
WHERE image_id IN (SELECT id FROM main.image i
                   WHERE i.id IN (SELECT image_id FROM temp.found) AND i.member_index IS NOT NULL)
   OR member_index IN (SELECT member_index FROM (
          SELECT member_index, row_number() OVER (PARTITION BY image_id ORDER BY member_index) AS place
          FROM temp.found WHERE image_id IS NOT NULL) WHERE place > 1)"""

_MAKE_IMAGES = """
INSERT INTO main.image (treeoflife_id, source_id)
SELECT treeoflife_id, ? FROM temp.found WHERE treeoflife_id IS NOT NULL ORDER BY member_index
ON CONFLICT (treeoflife_id) DO NOTHING"""

_MAKE_EOL_IMAGES = """
INSERT INTO main.eol_image (image_id, content_id, page_id)
SELECT DISTINCT i.id, f.content_id, f.page_id
FROM temp.found f JOIN main.image i ON i.treeoflife_id = f.treeoflife_id
WHERE true
ON CONFLICT (image_id) DO NOTHING"""

_LOCATE = """
UPDATE main.image SET container_id = ?, member = f.shown, member_index = f.member_index,
                      data_offset = f.data_offset, bytes = f.bytes
FROM temp.found f WHERE image.id = f.image_id"""

_STRAYS = """
INSERT INTO main.stray_member (container_id, member_index, member, bytes, reason)
SELECT ?, member_index, member, bytes, coalesce(reason, ?) FROM temp.found WHERE image_id IS NULL"""

# only containers with strays are looked into
_CLAIMED_BY_NAME = """
SELECT DISTINCT i.container_id FROM image i
WHERE i.container_id IN (SELECT s.container_id FROM container c JOIN stray_member s ON s.container_id = c.id
                         WHERE c.source_id = ? AND s.bytes IS NOT NULL)
  AND i.member_index IS NULL
  AND (i.container_id, i.member) IN (SELECT container_id, member FROM stray_member WHERE bytes IS NOT NULL)"""


def record(conn: sa.Connection, target: Target, scan: Scan) -> Matched:
    """Replace what is known of a container by what a scan found.

    Args:
        conn: a write transaction; one container each.
        target: the container.
        scan: what was read of it.
    """
    changes(conn, _FOUND)
    members = insert_many(
        conn,
        "INSERT INTO temp.found VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, NULL)",
        _found_rows(scan.entries, target.claim),
    )
    forget(conn, target.key, target.container)
    new = _make_images(conn, target) if target.raw else 0
    if target.raw or target.key == "eol":
        changes(conn, _BY_ID, (target.source,))
        changes(conn, _BY_CONTENT)
        changes(conn, _DUPLICATES, (DUPLICATE,))
    else:
        changes(conn, _BY_NAME, (target.container,))
    matched = changes(conn, _LOCATE, (target.container,))
    strays = changes(conn, _STRAYS, (target.container, NO_ROW))
    _describe(conn, target, scan, members)
    return Matched(members, matched, strays, new)


def forget(conn: sa.Connection, key: str, container: int) -> None:
    """Take back what a scan found: the images of a container have no file, it has no strays.

    The rows of EOL images do not say by themselves in which archive they lie, so they leave it.
    """
    leave = "container_id = NULL, " if key == "eol" else ""
    changes(
        conn,
        f"""UPDATE image SET {leave}member_index = NULL, data_offset = NULL, bytes = NULL
            WHERE container_id = ? AND member_index IS NOT NULL""",  # noqa: S608
        (container,),
    )
    changes(conn, "DELETE FROM stray_member WHERE container_id = ?", (container,))


def claimed_strays(conn: sa.Connection, key: str, source: int) -> list[int]:
    """Ids of the scanned containers that hold a stray which an image without a file claims by now.

    That is so after rows were added or changed, and when the first of two files of an image has gone.
    """
    if key != "eol":
        return [row[0] for row in query(conn, _CLAIMED_BY_NAME, (source,))]
    strays = query(
        conn,
        """SELECT s.container_id, s.member FROM container c JOIN stray_member s ON s.container_id = c.id
           WHERE c.source_id = ? AND s.reason IN (?, ?)""",
        (source, NO_ROW, DUPLICATE),
    )
    changes(conn, "CREATE TEMP TABLE claim (container_id INTEGER, treeoflife_id BLOB, content_id INTEGER)")
    insert_many(conn, "INSERT INTO temp.claim VALUES (?, ?, ?)", _claims(strays))
    rows = query(
        conn,
        """SELECT c.container_id FROM temp.claim c JOIN image i ON i.treeoflife_id = c.treeoflife_id
           WHERE i.source_id = ?1 AND i.member_index IS NULL
           UNION
           SELECT c.container_id FROM temp.claim c JOIN eol_image e ON e.content_id = c.content_id
           JOIN image i ON i.id = e.image_id
           WHERE i.source_id = ?1 AND i.member_index IS NULL""",
        (source,),
    )
    found = [row[0] for row in rows]
    changes(conn, "DROP TABLE temp.claim")
    return found


def _claims(strays: Iterable[tuple[int, str]]) -> Iterator[tuple[int, bytes | None, int | None]]:
    for container, name in strays:
        claim = mapped_eol(name)
        yield container, claim.treeoflife_id, claim.content_id


def _found_rows(entries: Iterable[Entry], claim: Claimer) -> Iterator[tuple[object, ...]]:
    for entry in entries:
        said = claim(entry.name)
        name = entry.name if is_stored(entry.name) else escaped(entry.name)
        place = (entry.index, name, _shown(name, said.treeoflife_id), entry.offset, entry.size)
        if entry.stray is None:
            yield (*place, 1, said.treeoflife_id, said.content_id, said.page_id, said.stray)
        else:
            yield (*place, 0, None, None, None, entry.stray)


def _shown(name: str, treeoflife_id: bytes | None) -> str | None:
    return None if treeoflife_id is not None and name == f"{uuid_text(treeoflife_id)}.jpg" else name


def _make_images(conn: sa.Connection, target: Target) -> int:
    new = changes(conn, _MAKE_IMAGES, (target.source,))
    if target.key == "eol":
        changes(conn, _MAKE_EOL_IMAGES)
    return new


def _describe(conn: sa.Connection, target: Target, scan: Scan, members: int) -> None:
    size = scan.stat.size
    if target.found.kind == "directory":
        size = scalar(conn, "SELECT coalesce(sum(bytes), 0) FROM temp.found")
    changes(
        conn,
        """UPDATE container SET state = ?, detail = ?, members = ?, bytes = ?, mtime_ns = ?, digest = ?,
                                scanned_at = ?, seek_index = NULL
           WHERE id = ?""",
        (
            *("scanned" if scan.fault is None else "damaged", scan.fault or scan.remark or None, members),
            *(size, scan.stat.mtime_ns, scan.digest, utc_now(), target.container),
        ),
    )
