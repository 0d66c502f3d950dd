"""The licences of a first file, each straight to its place.

Half the time of :mod:`tol_db.ingest.licences` is saved where no row has to be kept aside, sorted and looked at
again; the images are found in arrays, not by an index.
"""

from __future__ import annotations

import sqlalchemy as sa

from tol_db.db.bulk import changes, insert_many, query, scalar
from tol_db.db.engine import raw
from tol_db.ingest.attached import enlarge, shrink
from tol_db.ingest.image_ids import ImageIds
from tol_db.ingest.licence_rows import NOT_GIVEN, Block, blocks
from tol_db.ingest.text_files import TextInput

_IMAGES = """
SELECT i.treeoflife_id, i.id, e.content_id, e.page_id
FROM eol_image e CROSS JOIN image i ON i.id = e.image_id ORDER BY e.image_id"""

# only a row that stands twice is ignored
_PLACE = """
INSERT OR IGNORE INTO image_licence (image_id, licence_id, copyright_owner, title, medium_source_url,
                                     eol_full_size_copy_url, md5)
VALUES (?, ?, ?, ?, ?, ?, ?)"""


def place_all(conn: sa.Connection, text: TextInput) -> int | None:
    """Give every row its place, where there is no licence yet.

    Args:
        conn: a write transaction.
        text: the file, at its start.

    Returns:
        How many rows there are; None, with nothing changed, where one names no EOL image, has other EOL ids than
        its image, or stands twice.

    Raises:
        InputError: as :func:`tol_db.ingest.licence_rows.rows`.
    """
    if scalar(conn, "SELECT EXISTS (SELECT 1 FROM image_licence)"):
        return None
    driver = raw(conn)
    driver.execute("SAVEPOINT licences")
    images, licences = ImageIds.load(conn, _IMAGES), _Licences(conn)
    enlarge(conn)  # ids come in any order
    read, clean = 0, True
    for block in blocks(text):
        read += len(block)
        placed = _placed(block, images, licences)
        clean = placed is not None and insert_many(conn, _PLACE, placed) == len(block)
        if not clean:
            break
    shrink(conn)
    if not clean:
        driver.execute("ROLLBACK TO licences")
    driver.execute("RELEASE licences")
    return read if clean else None


def _placed(block: Block, images: ImageIds, licences: _Licences) -> zip[tuple[object, ...]] | None:
    """The parameters of ``_PLACE``; None where a row is not about an EOL image with its ids."""
    found, there = images.find(block.ids)
    if not there.all():
        return None
    for given, known in ((block.contents, found[:, 1]), (block.pages, found[:, 2])):
        if not ((given == known) | (given == NOT_GIVEN)).all():
            return None
    return zip(
        found[:, 0].tolist(),
        licences.of(block),
        block.owners,
        block.titles,
        block.medium,
        block.full,
        block.md5,
        strict=True,
    )


class _Licences:
    """The ids of the licences, made as they are met."""

    def __init__(self, conn: sa.Connection) -> None:
        self._conn = conn
        self._ids = {(name, link): id for id, name, link in query(conn, "SELECT id, name, link FROM licence")}

    def of(self, block: Block) -> list[int]:
        """That of each row."""
        pairs = list(zip(block.names, block.links, strict=True))
        for name, link in dict.fromkeys(pairs):  # in the order of the file
            if (name, link) not in self._ids:
                changes(self._conn, "INSERT INTO licence (name, link) VALUES (?, ?)", (name, link))
                self._ids[name, link] = scalar(self._conn, "SELECT last_insert_rowid()")
        return [self._ids[pair] for pair in pairs]
