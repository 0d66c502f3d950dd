"""What blacklists match today.

Entries are kept as they were written; whom they mean is asked of the views ``v_blacklisted_image`` and
``v_blacklisted_label`` each time, so images and names that came later are met too. The other names of a species
are looked up by :mod:`tol_db.blacklist_names`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import sqlalchemy as sa

from tol_db.db.bulk import insert_many, query
from tol_db.db.engine import raw


@dataclass(frozen=True, slots=True)
class Hit:
    """An entry that means an image, or a label.

    Attributes:
        id: of the image or of the label.
        entry: the entry as it was written.
        blacklist: the name of its list.
    """

    id: int
    entry: str
    blacklist: str


@dataclass(frozen=True, slots=True)
class MatchCounts:
    """What the entries of a list match.

    Attributes:
        image_entries, taxon_entries: entries by kind.
        matched_image_entries: of these, how many mean an image; images: how many images they mean.
        matched_taxon_entries: how many mean a label; labels: how many labels; labelled_images: how many
            images have one of them.
        synonym_entries: taxon entries that mean labels of another name, through the assembled taxonomy;
            synonym_labels: these labels.
        page_mismatches: image entries whose EOL page id is another one than the image's. They match all the
            same: the content id names the picture, and pages are merged and split at EOL.
    """

    image_entries: int
    matched_image_entries: int
    images: int
    taxon_entries: int
    matched_taxon_entries: int
    labels: int
    labelled_images: int
    page_mismatches: int
    synonym_entries: int = 0
    synonym_labels: int = 0

    @property
    def matched(self) -> int:
        """Entries of either kind that mean something in this database."""
        return self.matched_image_entries + self.matched_taxon_entries

    @property
    def unmatched(self) -> int:
        """Entries that mean nothing in it."""
        return self.image_entries + self.taxon_entries - self.matched


@dataclass(frozen=True, slots=True)
class PageMismatch:
    """An image entry whose EOL page id is not the image's.

    Attributes:
        entry: as it was written.
        page_id: the page id in it.
        image_id, image_page_id: the image of that content id, and its page id.
    """

    entry: str
    page_id: int
    image_id: int
    image_page_id: int


# uq_blacklist_entry_blacklist_id gives the entries of a list; from there the look goes to the indexes on
# eol_image.content_id, image.treeoflife_id and label (genus, species)
_IMAGES: Final = """
SELECT v.image_id, e.value, b.name
FROM v_blacklisted_image v
JOIN blacklist_entry e ON e.id = v.entry_id JOIN blacklist b ON b.id = v.blacklist_id
WHERE v.blacklist_id = ? ORDER BY v.image_id, v.entry_id"""

_LABELS: Final = """
SELECT v.label_id, e.value, b.name
FROM v_blacklisted_label v
JOIN blacklist_entry e ON e.id = v.entry_id JOIN blacklist b ON b.id = v.blacklist_id
WHERE v.blacklist_id = ? ORDER BY v.label_id, v.entry_id"""

_PAGES: Final = """
SELECT e.value, e.page_id, x.image_id, x.page_id
FROM blacklist_entry e JOIN eol_image x ON x.content_id = e.content_id
WHERE e.blacklist_id = ? AND e.kind = 'image' AND e.page_id <> x.page_id
ORDER BY e.id, x.image_id"""

_UNMATCHED: Final = """
SELECT e.value FROM blacklist_entry e
WHERE e.blacklist_id = ?1
  AND e.id NOT IN (SELECT entry_id FROM v_blacklisted_image WHERE blacklist_id = ?1)
  AND e.id NOT IN (SELECT entry_id FROM v_blacklisted_label WHERE blacklist_id = ?1)
ORDER BY e.id"""


def blacklisted_images(conn: sa.Connection, ids: Sequence[int]) -> Iterator[Hit]:
    """The images that the lists name one by one, list by list in the order given.

    An image comes once for each entry that means it.
    """
    for blacklist_id in ids:
        yield from (Hit(*row) for row in query(conn, _IMAGES, (blacklist_id,)))


def blacklisted_labels(conn: sa.Connection, ids: Sequence[int]) -> Iterator[Hit]:
    """The labels of the species that the lists name, list by list in the order given.

    A label comes once for each entry that means it.
    """
    for blacklist_id in ids:
        yield from (Hit(*row) for row in query(conn, _LABELS, (blacklist_id,)))


def page_mismatches(conn: sa.Connection, blacklist_id: int) -> Iterator[PageMismatch]:
    """Image entries of a list whose EOL page id is not that of the image they mean."""
    return (PageMismatch(*row) for row in query(conn, _PAGES, (blacklist_id,)))


def unmatched(conn: sa.Connection, blacklist_id: int) -> Iterator[str]:
    """The entries of a list that mean nothing in this database, as they were written."""
    return (value for (value,) in query(conn, _UNMATCHED, (blacklist_id,)))


_CHOSEN_IMAGES: Final = """
SELECT count(DISTINCT entry_id), count(DISTINCT image_id) FROM v_blacklisted_image
WHERE blacklist_id = ? AND entry_id IN (SELECT id FROM temp.chosen_entry)"""

_CHOSEN_LABELS: Final = """
SELECT count(DISTINCT entry_id), count(DISTINCT label_id) FROM v_blacklisted_label
WHERE blacklist_id = ? AND entry_id IN (SELECT id FROM temp.chosen_entry)"""

_CHOSEN_SYNONYMS: Final = """
SELECT count(DISTINCT v.entry_id), count(DISTINCT v.label_id)
FROM v_blacklisted_label v CROSS JOIN blacklist_entry e ON e.id = v.entry_id CROSS JOIN label l ON l.id = v.label_id
WHERE v.blacklist_id = ? AND v.entry_id IN (SELECT id FROM temp.chosen_entry)
  AND NOT (l.genus = e.genus AND l.species = e.species)"""

# image has no index on label_id: one pass over all images, 0.1 s a million
_CHOSEN_LABELLED: Final = """
SELECT count(*) FROM image
WHERE label_id IN (SELECT label_id FROM v_blacklisted_label
                   WHERE blacklist_id = ? AND entry_id IN (SELECT id FROM temp.chosen_entry))"""

_CHOSEN_KINDS: Final = """
SELECT coalesce(sum(kind = 'image'), 0), coalesce(sum(kind = 'taxon'), 0) FROM blacklist_entry
WHERE blacklist_id = ? AND id IN (SELECT id FROM temp.chosen_entry)"""

_CHOSEN_PAGES: Final = """
SELECT count(DISTINCT e.id) FROM blacklist_entry e JOIN eol_image x ON x.content_id = e.content_id
WHERE e.blacklist_id = ? AND e.kind = 'image' AND e.page_id <> x.page_id
  AND e.id IN (SELECT id FROM temp.chosen_entry)"""


def match_counts(conn: sa.Connection, blacklist_id: int, entries: Iterable[int] | None = None) -> MatchCounts:
    """Count what a list, or only some entries of it, match today.

    Args:
        conn: a transaction of a database that was opened for writing: it makes a temporary table.
        blacklist_id: the list.
        entries: ids of entries of it; None for all.
    """
    driver = raw(conn)
    driver.execute("CREATE TEMP TABLE IF NOT EXISTS chosen_entry (id INTEGER PRIMARY KEY)")
    driver.execute("DELETE FROM temp.chosen_entry")
    if entries is None:
        driver.execute(
            "INSERT INTO temp.chosen_entry SELECT id FROM blacklist_entry WHERE blacklist_id = ?",
            (blacklist_id,),
        )
    else:
        insert_many(conn, "INSERT OR IGNORE INTO temp.chosen_entry VALUES (?)", ((e,) for e in entries))
    image_entries, taxon_entries = next(query(conn, _CHOSEN_KINDS, (blacklist_id,)))
    matched_images, images = next(query(conn, _CHOSEN_IMAGES, (blacklist_id,)))
    matched_taxa, labels = next(query(conn, _CHOSEN_LABELS, (blacklist_id,)))
    labelled_images = next(query(conn, _CHOSEN_LABELLED, (blacklist_id,)))[0] if labels else 0
    synonym_entries, synonym_labels = next(query(conn, _CHOSEN_SYNONYMS, (blacklist_id,)))
    return MatchCounts(
        image_entries=image_entries,
        matched_image_entries=matched_images,
        images=images,
        taxon_entries=taxon_entries,
        matched_taxon_entries=matched_taxa,
        labels=labels,
        labelled_images=labelled_images,
        page_mismatches=next(query(conn, _CHOSEN_PAGES, (blacklist_id,)))[0],
        synonym_entries=synonym_entries,
        synonym_labels=synonym_labels,
    )
