"""Which label an image gets: what the lookup of its source says for the image's key.

The key depends on the source: EOL's page id, the class number of the iNat21 folder, and for BIOSCAN the
TreeOfLife id (the published lookup) or the file name (BIOSCAN's own metadata, for raw folders).

A lookup is stored in two steps inside one write transaction: :func:`gather_names` streams it into a temporary
table, :func:`store_names` makes labels and keys of that. :func:`apply_labels` then labels the images.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Final

import sqlalchemy as sa

from tol_db.db.bulk import changes, insert_many, no_cycles, query, scalar
from tol_db.db.engine import raw
from tol_db.errors import InputError
from tol_db.taxonomy.names import Lineage


@dataclass(frozen=True, slots=True)
class NamedKey:
    """What a lookup says for one key.

    Attributes:
        place: its line or its number in the file, from 1; labels are made in this order.
        key: in canonical spelling.
        lineage: normalised; with all ranks empty the key has no label.
        common_name: as the source gives it, "" where it gives none.
    """

    place: int
    key: str
    lineage: Lineage
    common_name: str


@dataclass(frozen=True, slots=True)
class StoredNames:
    """What storing a lookup changed.

    Attributes:
        labels_new: labels that were not known.
        keys_changed: keys that are new or have another label than before.
        keys_removed: keys that the file had when it was read before, and has no more.
        keys_taken_over: keys among the changed that another file had given another label.
    """

    labels_new: int
    keys_changed: int
    keys_removed: int
    keys_taken_over: int


NOTHING: Final = StoredNames(0, 0, 0, 0)


@dataclass(frozen=True, slots=True)
class LabelsResult:
    """What a lookup brought.

    Attributes:
        unchanged: the database is as it was.
        path, source: what was read, for which source.
        keys: keys of the file; empty: those among them without any name, which have no label.
        labels_new, labels_known: distinct labels of the file that were made, or were there.
        stored: what changed against the last time.
        images_changed: images that have another label than before.
        images_labelled, images_unlabelled: all images of the source, after.
    """

    unchanged: bool
    path: Path
    source: str
    keys: int
    empty: int
    labels_new: int
    labels_known: int
    stored: StoredNames
    images_changed: int
    images_labelled: int
    images_unlabelled: int

    def describe(self) -> list[str]:
        """Lines to print."""
        if self.unchanged:
            lines = [f"{self.path.name}: unchanged, {self.keys:,} keys"]
        else:
            lines = [
                f"{self.path.name}: {self.keys:,} keys, {self.labels_new:,} new labels, "
                f"{self.labels_known:,} known; {self.images_changed:,} images changed"
            ]
        if self.empty:
            lines.append(f"  {self.empty:,} keys have no name at all: their images have no label")
        if self.stored.keys_removed:
            lines.append(f"  {self.stored.keys_removed:,} keys are not in the file any more: removed")
        if self.stored.keys_taken_over:
            lines.append(f"  {self.stored.keys_taken_over:,} keys had another name from elsewhere: replaced")
        images = f"{self.images_labelled:,} with a label, {self.images_unlabelled:,} without"
        if not self.images_labelled + self.images_unlabelled:
            images = "none yet"
        return [*lines, f"  images of {self.source}: {images}"]


_GATHERED: Final = (
    # a name may stand here twice, but not each time that a key has it: BIOSCAN has a million keys of 8,000
    """
CREATE TEMP TABLE gathered_name (
    name INTEGER PRIMARY KEY, place INTEGER NOT NULL,
    kingdom TEXT NOT NULL, phylum TEXT NOT NULL, class TEXT NOT NULL, "order" TEXT NOT NULL,
    family TEXT NOT NULL, genus TEXT NOT NULL, species TEXT NOT NULL, common_name TEXT NOT NULL)""",
    "CREATE TEMP TABLE gathered (place INTEGER PRIMARY KEY, key TEXT NOT NULL, name INTEGER NOT NULL)",
)
_AT_A_TIME: Final = 1_000
_NAMES_KEPT: Final = 16_384
"""Names that are known again while a lookup is streamed: BIOSCAN has half as many."""

_NEW_LABELS: Final = """
INSERT INTO label (kingdom, phylum, class, "order", family, genus, species, common_name, resolution)
SELECT kingdom, phylum, class, "order", family, genus, species, common_name, ?
FROM temp.gathered_name
WHERE kingdom || phylum || class || "order" || family || genus || species <> ''
GROUP BY kingdom, phylum, class, "order", family, genus, species, common_name
ORDER BY min(place)
ON CONFLICT DO NOTHING"""

# uq_label_text serves the search; a name without any rank finds no label
_LABELS: Final = """
CREATE TEMP TABLE gathered_label AS
SELECT g.name, l.id AS label_id
FROM temp.gathered_name g
LEFT JOIN label l ON l.kingdom = g.kingdom AND l.phylum = g.phylum AND l.class = g.class
    AND l."order" = g."order" AND l.family = g.family AND l.genus = g.genus AND l.species = g.species
    AND l.common_name = g.common_name AND l.resolution = ?
ORDER BY g.name"""

# names are numbered from 1 without a hole, so that a row's number is its name's
_KEYS: Final = """
CREATE TEMP TABLE gathered_key AS
SELECT g.key, g.place, n.label_id FROM temp.gathered g CROSS JOIN temp.gathered_label n ON n.rowid = g.name"""

_CONFLICT: Final = """
SELECT key FROM temp.gathered_key GROUP BY key
HAVING min(coalesce(label_id, 0)) <> max(coalesce(label_id, 0)) ORDER BY min(place) LIMIT 1"""

_CONFLICT_PLACES: Final = """
SELECT min(place) FROM temp.gathered_key WHERE key = ? GROUP BY label_id ORDER BY 1 LIMIT 2"""

_TAKEN_OVER: Final = """
SELECT count(*) FROM label_key k
WHERE k.source_id = ?1 AND k.source_file_id IS NOT ?2
  AND EXISTS (SELECT 1 FROM temp.gathered_key g WHERE g.key = k.key AND g.label_id IS NOT k.label_id)"""

_RELABELLED: Final = """
SELECT count(*) FROM (SELECT DISTINCT key, label_id FROM temp.gathered_key) AS g
LEFT JOIN label_key k ON k.source_id = ?1 AND k.key = g.key
WHERE k.key IS NULL OR k.label_id IS NOT g.label_id"""

_STORE_KEYS: Final = """
INSERT INTO label_key (source_id, key, label_id, source_file_id)
SELECT ?1, key, min(label_id), ?2 FROM temp.gathered_key WHERE 1 GROUP BY key
ON CONFLICT (source_id, key) DO UPDATE SET
    label_id = excluded.label_id, source_file_id = excluded.source_file_id
WHERE label_id IS NOT excluded.label_id OR source_file_id IS NOT excluded.source_file_id"""

_REMOVE_KEYS: Final = """
DELETE FROM label_key
WHERE source_id = ?1 AND source_file_id IS ?2
  AND NOT EXISTS (SELECT 1 FROM temp.gathered_key g WHERE g.key = label_key.key)"""

# Each statement joins all images of a source to its keys (primary key of label_key) and updates those whose
# label is another one. A label that was put in the place of the published one stays while the published one
# does: what counts is the label that the lookup gave.
_EOL: Final = """
UPDATE image SET label_id = n.label_id, published_label_id = NULL
FROM (SELECT i.id, k.label_id
      FROM image i
      LEFT JOIN eol_image e ON e.image_id = i.id
      LEFT JOIN label_key k ON k.source_id = ?1 AND k.key = CAST(e.page_id AS TEXT)
      WHERE i.source_id = ?1 {only} AND coalesce(i.published_label_id, i.label_id) IS NOT k.label_id) AS n
WHERE image.id = n.id"""

_INAT21: Final = """
UPDATE image SET label_id = n.label_id, published_label_id = NULL
FROM (SELECT i.id, k.label_id
      FROM image i
      LEFT JOIN container c ON c.id = i.container_id
      LEFT JOIN label_key k ON k.source_id = ?1 AND k.key = CAST(c.group_number AS TEXT)
      WHERE i.source_id = ?1 {only} AND coalesce(i.published_label_id, i.label_id) IS NOT k.label_id) AS n
WHERE image.id = n.id"""

# The most exact of three keys decides, also when it says that there is no name. The inner select is an
# identity written out: the id as text, and the member without the folders that an archive may put before it.
_BY_ID_OR_FILE: Final = """
UPDATE image SET label_id = n.label_id, published_label_id = NULL
FROM (SELECT i.id,
             CASE WHEN u.key IS NOT NULL THEN u.label_id
                  WHEN p.key IS NOT NULL THEN p.label_id
                  ELSE f.label_id END AS label_id
      FROM (SELECT id, container_id, coalesce(published_label_id, label_id) AS published,
                   lower(substr(hex(treeoflife_id), 1, 8) || '-' || substr(hex(treeoflife_id), 9, 4) || '-'
                         || substr(hex(treeoflife_id), 13, 4) || '-' || substr(hex(treeoflife_id), 17, 4)
                         || '-' || substr(hex(treeoflife_id), 21)) AS treeoflife_id,
                   substr(member, length(rtrim(member, replace(member, '/', ''))) + 1) AS file
            FROM image i WHERE source_id = ?1 {only}) AS i
      LEFT JOIN container c ON c.id = i.container_id
      LEFT JOIN label_key u ON u.source_id = ?1 AND u.key = i.treeoflife_id
      LEFT JOIN label_key p ON p.source_id = ?1 AND p.key = 'part' || c.group_number || '/' || i.file
      LEFT JOIN label_key f ON f.source_id = ?1 AND f.key = i.file
      WHERE i.published IS NOT CASE WHEN u.key IS NOT NULL THEN u.label_id
                                    WHEN p.key IS NOT NULL THEN p.label_id
                                    ELSE f.label_id END) AS n
WHERE image.id = n.id"""

_STATEMENTS: Final = {"eol": _EOL, "inat21": _INAT21}


def gather_names(conn: sa.Connection, names: Iterable[NamedKey]) -> int:
    """Stream a lookup into temporary tables of this connection; returns how many keys it has."""
    for table in ("gathered_name", "gathered"):
        changes(conn, f"DROP TABLE IF EXISTS temp.{table}")
    for made in _GATHERED:
        changes(conn, made)
    known: dict[tuple[Lineage, str], int] = {}
    keys = last = 0
    stream = iter(names)
    with no_cycles():
        while some := list(islice(stream, _AT_A_TIME)):
            new, rows = [], []
            for named in some:
                text = (named.lineage, named.common_name)
                number = known.get(text)
                if number is None:
                    if len(known) >= _NAMES_KEPT:
                        known.clear()
                    last += 1
                    number = known[text] = last
                    new.append((number, named.place, *named.lineage.as_tuple(), named.common_name))
                rows.append((named.place, named.key, number))
            insert_many(conn, "INSERT INTO temp.gathered_name VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", new)
            keys += insert_many(conn, "INSERT INTO temp.gathered VALUES (?, ?, ?)", rows)
    return keys


def store_names(
    conn: sa.Connection, source: int, *, resolution: str, origin: str, source_file: int | None = None
) -> StoredNames:
    """Make labels and keys of the gathered names.

    Labels are numbered by the first place at which they stand. A label is never changed: a key with a new
    text gets a new label. Keys that this file had given before and gives no more are removed.

    Args:
        conn: the write transaction of :func:`gather_names`.
        source: id in the table ``source``.
        resolution: how the labels came: ``published``, ``folder_name``.
        origin: the file, for messages.
        source_file: its id in ``source_file``; None for names that come from no file.

    Raises:
        InputError: a key stands twice with different names.
    """
    driver = raw(conn)
    labels_new = changes(conn, _NEW_LABELS, (resolution,))
    driver.execute("DROP TABLE IF EXISTS temp.gathered_key")
    changes(conn, _LABELS, (resolution,))
    driver.execute(_KEYS)
    driver.execute("CREATE INDEX temp.ix_gathered_key ON gathered_key (key, label_id)")
    twice = scalar(conn, _CONFLICT)
    if twice is not None:
        places = " and ".join(str(place) for (place,) in query(conn, _CONFLICT_PLACES, (twice,)))
        raise InputError(
            f"{origin}: key {twice!r} stands twice with different names, as number {places}",
            hint="leave the right one in the file; nothing was ingested",
        )
    stored = StoredNames(
        labels_new=labels_new,
        keys_changed=scalar(conn, _RELABELLED, (source,)),
        keys_taken_over=scalar(conn, _TAKEN_OVER, (source, source_file)),
        keys_removed=changes(conn, _REMOVE_KEYS, (source, source_file)),
    )
    changes(conn, _STORE_KEYS, (source, source_file))
    for table in ("gathered_name", "gathered_label", "gathered", "gathered_key"):
        changes(conn, f"DROP TABLE temp.{table}")
    return stored


def apply_labels(conn: sa.Connection, source: int, *, only_missing: bool = False) -> int:
    """Give each image of a source the label that the source's lookup (``label_key``) has for it.

    An image whose key is not in the lookup, or stands there without a name, has no label afterwards. Only
    rows that change are written.

    Args:
        conn: a write transaction.
        source: id in the table ``source``; ``eol`` goes by page id, ``inat21`` by class number, any other
            source by TreeOfLife id, then ``part<N>/<file>``, then the file name.
        only_missing: look at images without a label alone, where neither the lookup nor the others have changed.

    Returns:
        How many images have another label than before.
    """
    key = scalar(conn, "SELECT key FROM source WHERE id = ?", (source,))
    only = "AND i.label_id IS NULL" if only_missing else ""
    return changes(conn, _STATEMENTS.get(key, _BY_ID_OR_FILE).format(only=only), (source,))


_KEYS_OF_FILE: Final = """
SELECT count(*), count(*) - count(label_id), count(DISTINCT label_id)
FROM label_key WHERE source_id = ? AND source_file_id = ?"""


def summarise(
    conn: sa.Connection,
    path: Path,
    source: int,
    source_file: int,
    *,
    stored: StoredNames,
    images_changed: int,
) -> LabelsResult:
    """What a lookup brought, counted after it was stored and applied."""
    keys, empty, labels = next(query(conn, _KEYS_OF_FILE, (source, source_file)))
    images, labelled = next(
        query(conn, "SELECT count(*), count(label_id) FROM image WHERE source_id = ?", (source,))
    )
    return LabelsResult(
        unchanged=stored == NOTHING and not images_changed,
        path=path,
        source=scalar(conn, "SELECT key FROM source WHERE id = ?", (source,)),
        keys=keys,
        empty=empty,
        labels_new=stored.labels_new,
        labels_known=labels - stored.labels_new,
        stored=stored,
        images_changed=images_changed,
        images_labelled=labelled,
        images_unlabelled=images - labelled,
    )
