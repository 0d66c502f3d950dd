"""Labels by a taxonomy: each published label is resolved with its lineage, images get what comes of it.

The published label stays beside the new one (``image.published_label_id``), what was decided in the table
``label_resolution``. Planned shards keep the labels that they were planned with; they are stale from then on.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

import sqlalchemy as sa

from tol_db.db.bulk import changes, insert_many, no_cycles, query, scalar
from tol_db.db.engine import Database
from tol_db.errors import UsageError
from tol_db.progress import Tracker, track
from tol_db.taxonomy.lookup import DatabaseLookup, TaxonomyRef, find_taxonomy
from tol_db.taxonomy.names import Lineage
from tol_db.taxonomy.ranks import RANKS
from tol_db.taxonomy.relabelled import Change, Relabelled, relabel
from tol_db.taxonomy.vernaculars import vernaculars_of

RESOLVED: Final = "resolved"
"""``label.resolution`` of a text that a taxonomy made."""

_AT_A_TIME: Final = 5_000

Vernaculars = Literal["fill", "replace", "keep"]


@dataclass(frozen=True, slots=True)
class ChangeCount:
    """Labels and images of one outcome."""

    change: str
    labels: int
    images: int


@dataclass(frozen=True, slots=True)
class RelabelResult:
    """What labelling by a taxonomy did.

    Attributes:
        taxonomy: ``name@version``; None where the published labels came back.
        counts: published labels by what became of them.
        labels_new: texts that were not known.
        images_changed: images that have another label than before.
    """

    taxonomy: str | None
    counts: tuple[ChangeCount, ...]
    labels_new: int
    images_changed: int

    def describe(self) -> list[str]:
        """Lines to print."""
        if self.taxonomy is None:
            return [f"published labels: {self.images_changed:,} images changed"]
        lines = [
            f"labels by {self.taxonomy}: {self.labels_new:,} new labels; {self.images_changed:,} images changed"
        ]
        lines += [f"  {c.change:<12} {c.labels:>11,} labels {c.images:>12,} images" for c in self.counts]
        if any(c.change in (Change.UNRESOLVED, Change.AMBIGUOUS, Change.CONFLICTING) for c in self.counts):
            lines.append("  `tol-db report labels --list unresolved` lists what was kept as published")
        return lines


def label_by_taxonomy(
    db: Database,
    taxonomy: str | None = None,
    *,
    languages: Sequence[str] = ("en",),
    vernaculars: Vernaculars = "fill",
    replace_conflicting: bool = False,
) -> RelabelResult:
    """Label all images by a taxonomy, in one transaction; doing it again changes nothing.

    Args:
        db: the database.
        taxonomy: ``NAME`` or ``NAME@VERSION``; None: the latest assembled one.
        languages: of common names, the best first.
        vernaculars: give a label the taxon's common name where it has none, always, or never.
        replace_conflicting: also where the taxon lies in another kingdom than the published label says.

    Raises:
        UsageError: no such taxonomy, or it is empty.
    """
    with db.write() as conn:
        ref = find_taxonomy(conn, taxonomy)
        if ref.last < ref.first:
            raise UsageError(f"taxonomy {ref} has no taxa", hint="name another with --taxonomy")
        changes(conn, "DROP TABLE IF EXISTS temp.relabelled")
        changes(conn, _GATHERED)
        total = scalar(conn, "SELECT count(*) FROM label WHERE resolution <> ?", (RESOLVED,))
        with track("labels", total, "labels") as tracker, no_cycles():
            decided = _decided(conn, ref, languages, vernaculars, replace_conflicting, tracker)
            insert_many(conn, f"INSERT INTO temp.relabelled VALUES ({', '.join('?' * 15)})", decided)  # noqa: S608
        new = _store(conn, ref)
        images = changes(conn, _LABEL_IMAGES)
        counts = tuple(change_counts(conn, ref.id))
        changes(conn, "DROP TABLE temp.relabelled")
        return RelabelResult(str(ref), counts, new, images)


def label_as_published(db: Database) -> RelabelResult:
    """Give all images their published labels again; what was decided stays to be reported."""
    with db.write() as conn:
        return RelabelResult(None, (), 0, changes(conn, _BACK))


# ------------------------------------------------------------------ deciding

_RANK_COLUMNS: Final = ", ".join(f'"{rank}"' for rank in RANKS)

_GATHERED: Final = f"""
CREATE TEMP TABLE relabelled (
    label_id INTEGER PRIMARY KEY, state TEXT NOT NULL, how TEXT, taxon_id INTEGER, change TEXT NOT NULL,
    {", ".join(f'"{rank}" TEXT NOT NULL' for rank in RANKS)}, common_name TEXT NOT NULL, detail TEXT,
    is_new INTEGER NOT NULL)"""

_PUBLISHED: Final = f"""
SELECT id, {_RANK_COLUMNS}, common_name FROM label
WHERE id > ? AND resolution <> ? ORDER BY id LIMIT ?"""  # noqa: S608


def _decided(
    conn: sa.Connection,
    ref: TaxonomyRef,
    languages: Sequence[str],
    vernaculars: Vernaculars,
    replace_conflicting: bool,
    tracker: Tracker,
) -> Iterator[tuple[Any, ...]]:
    """Rows of ``temp.relabelled``, in the order of published labels."""
    lookup = DatabaseLookup(conn, ref)
    last = 0
    while rows := list(query(conn, _PUBLISHED, (last, RESOLVED, _AT_A_TIME))):
        last = rows[-1][0]
        labels = [Lineage.of(row[1:8]) for row in rows]
        results = relabel(lookup, labels, replace_conflicting=replace_conflicting)
        wanted = [r.taxon for r in results if r.taxon is not None and r.takes_names]
        names = vernaculars_of(conn, wanted, languages) if vernaculars != "keep" else {}
        for (id, *_, common_name), label, result in zip(rows, labels, results, strict=True):
            better = names.get(result.taxon or 0, "") if result.takes_names else ""
            shown = better if better and (vernaculars == "replace" or not common_name) else common_name
            yield _row(id, label, common_name, shown, result)
        tracker.advance(len(rows))


def _row(id: int, label: Lineage, published: str, common_name: str, result: Relabelled) -> tuple[Any, ...]:
    change, detail = result.change, result.detail
    if change == Change.SAME and common_name != published:
        change = Change.FILLED if not published else Change.RENAMED
        detail = f"common name {published or '-'} → {common_name}"
    is_new = result.lineage != label or common_name != published
    ranks = result.lineage.as_tuple()
    return (
        *(id, str(result.state), result.how and str(result.how), result.taxon, str(change)),
        *(*ranks, common_name, detail or None, is_new),
    )


# ------------------------------------------------------------------ storing

_NEW_LABELS: Final = f"""
INSERT INTO label ({_RANK_COLUMNS}, common_name, resolution, taxon_id)
SELECT {_RANK_COLUMNS}, common_name, '{RESOLVED}', min(taxon_id) FROM temp.relabelled
WHERE is_new GROUP BY {_RANK_COLUMNS}, common_name ORDER BY min(label_id)
ON CONFLICT DO NOTHING"""  # noqa: S608

# uq_label_text serves the search
_DECISIONS: Final = f"""
INSERT INTO label_resolution (taxonomy_id, label_id, state, how, taxon_id, change, new_label_id, detail)
SELECT ?, r.label_id, r.state, r.how, r.taxon_id, r.change, coalesce(l.id, r.label_id), r.detail
FROM temp.relabelled r
LEFT JOIN label l ON r.is_new AND {" AND ".join(f'l."{rank}" = r."{rank}"' for rank in RANKS)}
    AND l.common_name = r.common_name AND l.resolution = '{RESOLVED}'
WHERE 1
ON CONFLICT (taxonomy_id, label_id) DO UPDATE SET state = excluded.state, how = excluded.how,
    taxon_id = excluded.taxon_id, change = excluded.change, new_label_id = excluded.new_label_id,
    detail = excluded.detail
WHERE (state, how, taxon_id, change, new_label_id, detail) IS NOT
    (excluded.state, excluded.how, excluded.taxon_id, excluded.change, excluded.new_label_id, excluded.detail)"""  # noqa: S608

_TAXA: Final = f"""
UPDATE label SET taxon_id = n.taxon_id
FROM (SELECT label_id, taxon_id FROM label_resolution WHERE taxonomy_id = ?1
      UNION ALL
      SELECT new_label_id, min(taxon_id) FROM label_resolution
      WHERE taxonomy_id = ?1 AND new_label_id IN (SELECT id FROM label WHERE resolution = '{RESOLVED}')
      GROUP BY new_label_id) AS n
WHERE label.id = n.label_id AND label.taxon_id IS NOT n.taxon_id"""  # noqa: S608


# a taxonomy that no label points to can be removed
_OTHER_TAXA: Final = """
UPDATE label SET taxon_id = NULL WHERE taxon_id IS NOT NULL AND taxon_id NOT BETWEEN ? AND ?"""


def _store(conn: sa.Connection, ref: TaxonomyRef) -> int:
    """Make labels and decisions of ``temp.relabelled``; returns how many texts are new."""
    new = changes(conn, _NEW_LABELS)
    changes(conn, _DECISIONS, (ref.id,))
    changes(conn, _TAXA, (ref.id,))
    changes(conn, _OTHER_TAXA, (ref.first, ref.last))
    changes(conn, "DROP TABLE IF EXISTS temp.wanted_label")
    changes(conn, "CREATE TEMP TABLE wanted_label (published INTEGER PRIMARY KEY, label_id INTEGER NOT NULL)")
    changes(
        conn,
        "INSERT INTO temp.wanted_label SELECT label_id, new_label_id FROM label_resolution WHERE taxonomy_id = ?",
        (ref.id,),
    )
    return new


# one pass over image; the rows that change are written
_LABEL_IMAGES: Final = """
UPDATE image
SET label_id = w.label_id,
    published_label_id = CASE WHEN w.label_id = w.published THEN NULL ELSE w.published END
FROM temp.wanted_label w
WHERE w.published = coalesce(image.published_label_id, image.label_id) AND image.label_id IS NOT w.label_id"""

_BACK: Final = """
UPDATE image SET label_id = published_label_id, published_label_id = NULL WHERE published_label_id IS NOT NULL"""

# one pass over image; from its labels to their decisions by primary key
_IMAGES_OF: Final = """
SELECT r.change, sum(n.images)
FROM (SELECT coalesce(published_label_id, label_id) AS label_id, count(*) AS images FROM image GROUP BY 1) AS n
CROSS JOIN label_resolution r ON r.taxonomy_id = ? AND r.label_id = n.label_id
GROUP BY r.change"""

_LABELS_OF: Final = "SELECT change, count(*) FROM label_resolution WHERE taxonomy_id = ? GROUP BY change"


def change_counts(conn: sa.Connection, taxonomy: int) -> Iterator[ChangeCount]:
    """What became of the published labels, in the order of :class:`Change`."""
    labels = dict(query(conn, _LABELS_OF, (taxonomy,)))
    images = dict(query(conn, _IMAGES_OF, (taxonomy,)))
    for change in Change:
        if change in labels:
            yield ChangeCount(change, labels[change], images.get(change, 0))
