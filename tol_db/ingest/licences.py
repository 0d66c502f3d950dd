"""Read ``licenses.csv``: under which licence each EOL image stands, and whose it is."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import sqlalchemy as sa

from tol_db.db.bulk import changes, insert_many, no_cycles, query, scalar, uuid_text
from tol_db.db.engine import Database, raw
from tol_db.errors import InputError
from tol_db.ingest.files import InputFile, look, record, same_content
from tol_db.ingest.licence_rows import rows
from tol_db.ingest.licences_first import place_all
from tol_db.ingest.text_files import reading

KIND: Final = "licences"
NAMED: Final = 5
"""How many rows are named in a result; the counts are complete."""

_ROWS: Final = """
CREATE TEMP TABLE licence_row (
    line INTEGER PRIMARY KEY, treeoflife_id BLOB NOT NULL, content_id INTEGER, page_id INTEGER, md5 BLOB,
    medium_source_url TEXT NOT NULL, eol_full_size_copy_url TEXT NOT NULL, name TEXT NOT NULL,
    copyright_owner TEXT NOT NULL, link TEXT NOT NULL, title TEXT NOT NULL)"""

_TWICE: Final = """
SELECT treeoflife_id, min(line) FROM temp.licence_row
GROUP BY treeoflife_id HAVING count(*) > 1 ORDER BY min(line)"""

_LINES: Final = "SELECT line FROM temp.licence_row WHERE treeoflife_id = ? AND line > ? ORDER BY line"

# IS: two unknown values are the same
_SAME: Final = """
SELECT a.content_id IS b.content_id AND a.page_id IS b.page_id AND a.md5 IS b.md5
   AND a.medium_source_url = b.medium_source_url AND a.eol_full_size_copy_url = b.eol_full_size_copy_url
   AND a.name = b.name AND a.copyright_owner = b.copyright_owner AND a.link = b.link AND a.title = b.title
FROM temp.licence_row a JOIN temp.licence_row b WHERE a.line = ? AND b.line = ?"""

# small rows in the order of the table to be filled: the long ones are then fetched by line
_PLACES: Final = """
INSERT INTO temp.licence_place (image_id, line)
SELECT i.id, min(r.line)
FROM temp.licence_row r JOIN image i ON i.treeoflife_id = r.treeoflife_id
GROUP BY i.id ORDER BY i.id"""

_LICENCES: Final = """
INSERT INTO licence (name, link)
SELECT name, link FROM temp.licence_row WHERE 1 GROUP BY name, link ORDER BY min(line)
ON CONFLICT (name, link) DO NOTHING"""

_STORE: Final = """
INSERT INTO image_licence (image_id, licence_id, copyright_owner, title, medium_source_url,
                           eol_full_size_copy_url, md5)
SELECT p.image_id, l.id, r.copyright_owner, r.title, r.medium_source_url, r.eol_full_size_copy_url, r.md5
FROM temp.licence_place p
CROSS JOIN temp.licence_row r ON r.line = p.line
CROSS JOIN licence l ON l.name = r.name AND l.link = r.link
WHERE 1
ON CONFLICT (image_id) DO UPDATE SET
    licence_id = excluded.licence_id, copyright_owner = excluded.copyright_owner, title = excluded.title,
    medium_source_url = excluded.medium_source_url, md5 = excluded.md5,
    eol_full_size_copy_url = excluded.eol_full_size_copy_url
WHERE (licence_id, copyright_owner, title, medium_source_url, eol_full_size_copy_url, md5)
   IS NOT (excluded.licence_id, excluded.copyright_owner, excluded.title, excluded.medium_source_url,
           excluded.eol_full_size_copy_url, excluded.md5)"""

_FROM_ELSEWHERE: Final = """
FROM image_licence
WHERE NOT EXISTS (SELECT 1 FROM temp.licence_place p WHERE p.image_id = image_licence.image_id)"""

_NO_IMAGE: Final = """
FROM temp.licence_row r
WHERE NOT EXISTS (SELECT 1 FROM image i WHERE i.treeoflife_id = r.treeoflife_id)"""

_OTHER_KEYS: Final = """
FROM temp.licence_place p
JOIN temp.licence_row r ON r.line = p.line
LEFT JOIN eol_image e ON e.image_id = p.image_id
WHERE (r.content_id IS NOT NULL AND r.content_id IS NOT e.content_id)
   OR (r.page_id IS NOT NULL AND r.page_id IS NOT e.page_id)"""


@dataclass(frozen=True, slots=True)
class LicencesResult:
    """What a licence file brought.

    Attributes:
        unchanged: the database is as it was.
        path: what was read.
        rows: data rows of the file.
        images: images that have a licence from it.
        changed: of these, new or other than before.
        removed: images that had one from it before and are not in it any more.
        kept: images that are not in it and have one from another file.
        licences: distinct licences in the database.
        no_image: rows whose id is no image; no_image_first: a few of them, ``line 7: <id>``.
        other_keys: rows whose content or page id is not the image's; other_keys_first: a few of them.
    """

    unchanged: bool
    path: Path
    rows: int
    images: int
    changed: int
    removed: int
    kept: int
    licences: int
    no_image: int
    no_image_first: tuple[str, ...]
    other_keys: int
    other_keys_first: tuple[str, ...]

    def describe(self) -> list[str]:
        """Lines to print."""
        if self.unchanged:
            lines = [f"{self.path.name}: unchanged, {self.rows:,} rows"]
        else:
            lines = [
                f"{self.path.name}: {self.rows:,} rows, licences of {self.images:,} images "
                f"({self.changed:,} new or changed), {self.licences:,} licences"
            ]
        if self.removed:
            lines.append(f"  {self.removed:,} images are not in the file any more: their licences removed")
        if self.kept:
            lines.append(f"  {self.kept:,} images are not in the file and keep the licence of another file")
        for count, first, what in (
            (self.no_image, self.no_image_first, "rows name no image of this database"),
            (self.other_keys, self.other_keys_first, "rows have other EOL ids than their image"),
        ):
            if count:
                lines.append(f"  {count:,} {what}; first:")
                lines.extend(f"    {text}" for text in first)
        return lines


def ingest_licences(db: Database, path: Path) -> LicencesResult:
    """Read the licences of the EOL images, in one transaction.

    The file is TreeOfLife-10M's ``licenses.csv``: treeoflife_id, eol_content_id, eol_page_id, md5,
    medium_source_url, eol_full_size_copy_url, license_name, copyright_owner, license_link, title. Texts are
    kept verbatim, ``not provided`` too. Rows of ids that are no image are counted and not kept; a file that
    has such rows is read again each time, because their images may have come since. Of a row that stands
    twice the first one counts.

    Raises:
        InputMissing: no such file.
        InputError: not such a CSV; an id, number or md5 that is none; an id twice with different values.
    """
    with db.write() as conn:
        file = look(conn, KIND, path)
        known = _known(conn, file, path)
        if known is not None:
            return known
        loaded = _load(conn, file, path)
        if loaded is not None:
            return loaded
        with reading(path) as text, no_cycles():
            raw(conn).execute(_ROWS)
            read = insert_many(
                conn, "INSERT INTO temp.licence_row VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", rows(text)
            )
            digest = text.digest()
        if not read:
            raise InputError(f"{path}: no row in it", hint="is it the right file?")
        return _store(conn, file, path, digest, read)


def _load(conn: sa.Connection, file: InputFile, path: Path) -> LicencesResult | None:
    """The result of a first file each of whose rows has a place of its own; else None, and nothing has changed."""
    with reading(path) as text, no_cycles():
        read = place_all(conn, text)
        digest = text.digest()
    if not read:
        return None
    record(conn, file, sha256=digest, rows=read)
    return LicencesResult(
        unchanged=False,
        path=path,
        rows=read,
        images=read,
        changed=read,
        removed=0,
        kept=0,
        licences=scalar(conn, "SELECT count(*) FROM licence"),
        no_image=0,
        no_image_first=(),
        other_keys=0,
        other_keys_first=(),
    )


def _known(conn: sa.Connection, file: InputFile, path: Path) -> LicencesResult | None:
    """The result for a file that need not be read again: it is the recorded one and had no remark."""
    where = (file.kind, str(file.path.parent), file.path.name)
    record_of = "SELECT rows_read, detail FROM source_file WHERE kind = ? AND root = ? AND path = ?"
    rows, remark = next(query(conn, record_of, where), (0, None))
    if not file.known or remark is not None:
        return None
    return LicencesResult(
        unchanged=True,
        path=path,
        rows=rows,
        images=scalar(conn, "SELECT count(*) FROM image_licence"),
        changed=0,
        removed=0,
        kept=0,
        licences=scalar(conn, "SELECT count(*) FROM licence"),
        no_image=0,
        no_image_first=(),
        other_keys=0,
        other_keys_first=(),
    )


def _store(conn: sa.Connection, file: InputFile, path: Path, digest: bytes, read: int) -> LicencesResult:
    """Fill the tables from ``temp.licence_row``, drop it, and count."""
    driver = raw(conn)
    driver.execute("CREATE INDEX temp.ix_licence_row ON licence_row (treeoflife_id)")
    _require_agreement(conn, path)
    driver.execute("CREATE TEMP TABLE licence_place (image_id INTEGER PRIMARY KEY, line INTEGER NOT NULL)")
    images = changes(conn, _PLACES)
    changes(conn, _LICENCES)
    changed = changes(conn, _STORE)
    others = scalar(
        conn,
        "SELECT count(*) FROM source_file WHERE kind = ? AND (root, path) IS NOT (?, ?)",
        (KIND, str(file.path.parent), file.path.name),
    )
    no_image = scalar(conn, "SELECT count(*)" + _NO_IMAGE)
    other_keys = scalar(conn, "SELECT count(*)" + _OTHER_KEYS)
    result = LicencesResult(
        unchanged=False,
        path=path,
        rows=read,
        images=images,
        changed=changed,
        removed=0 if others else changes(conn, "DELETE" + _FROM_ELSEWHERE),
        kept=scalar(conn, "SELECT count(*)" + _FROM_ELSEWHERE) if others else 0,
        licences=scalar(conn, "SELECT count(*) FROM licence"),
        no_image=no_image,
        no_image_first=tuple(_first(conn, "SELECT r.line, r.treeoflife_id" + _NO_IMAGE) if no_image else ()),
        other_keys=other_keys,
        other_keys_first=tuple(_first(conn, "SELECT r.line, r.treeoflife_id" + _OTHER_KEYS) if other_keys else ()),
    )
    remark = f"{no_image} rows name no image, {other_keys} have other EOL ids than their image"
    same = same_content(conn, file, digest) and not (changed or result.removed)
    if not (same and file.known):
        record(conn, file, sha256=digest, rows=read, detail=remark if no_image or other_keys else None)
    driver.execute("DROP TABLE temp.licence_row")
    driver.execute("DROP TABLE temp.licence_place")
    return replace(result, unchanged=same)


def _first(conn: sa.Connection, sql: str) -> list[str]:
    rows = query(conn, sql + " ORDER BY r.line LIMIT ?", (NAMED,))
    return [f"line {line}: {uuid_text(blob)}" for line, blob in rows]


def _require_agreement(conn: sa.Connection, path: Path) -> None:
    """An id may stand twice only with the same values."""
    for blob, first in query(conn, _TWICE):
        for (line,) in query(conn, _LINES, (blob, first)):
            if not scalar(conn, _SAME, (first, line)):
                raise InputError(
                    f"{path}: lines {first} and {line}: {uuid_text(blob)} stands twice with different values",
                    hint="leave the right one in the file; nothing was ingested",
                )
