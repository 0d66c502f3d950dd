"""The catalog: one row per image and split, in the columns and values of the published catalog.csv."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import sqlalchemy as sa

from materialize.dataset import Dataset, load_dataset
from tol_db.db.bulk import no_cycles, query, scalar, uuid_text
from tol_db.db.engine import Database
from tol_db.export.members import MEMBERS, Scope, splits_in
from tol_db.export.names import class_numbers
from tol_db.export.output import text_output
from tol_db.progress import track
from tol_db.taxonomy.names import Lineage, common
from tol_db.taxonomy.ranks import RANKS

COLUMNS = (
    *("split", "treeoflife_id", "eol_content_id", "eol_page_id", "bioscan_part", "bioscan_filename"),
    *("inat21_filename", "inat21_cls_name", "inat21_cls_num", *RANKS, "common"),
)
CLASS = ("class_index",)
PROVENANCE = ("label_resolution", *(f"published_{rank}" for rank in RANKS), "published_common")

# sorted by the 16 bytes of the id, which is the order of its text. The published label of an image stands in
# published_label_id where another one has taken its place, else it is the image's, if that was published at all
ROWS = """
SELECT i.treeoflife_id, s.key, e.content_id, e.page_id, c.group_number, c.group_name, i.member, l.id,
       l.kingdom, l.phylum, l.class, l."order", l.family, l.genus, l.species, l.common_name{more}
FROM ({members}) m
JOIN image i ON i.id = m.image_id
JOIN source s ON s.id = i.source_id
JOIN label l ON l.id = m.label_id
LEFT JOIN container c ON c.id = i.container_id
LEFT JOIN eol_image e ON e.image_id = i.id{joined}
ORDER BY i.treeoflife_id
"""
PUBLISHED = """,
       l.resolution, p.kingdom, p.phylum, p.class, p."order", p.family, p.genus, p.species, p.common_name"""
PUBLISHED_JOIN = """
LEFT JOIN label p ON p.id = coalesce(i.published_label_id, i.label_id) AND p.resolution = 'published'"""


@dataclass(frozen=True, slots=True)
class CatalogOptions:
    """What a catalog holds.

    Attributes:
        scope: which images. ``PREDICTED`` also adds the column ``class_index``: the place of the image's seven
            ranks in the class list of the same scope (:mod:`tol_db.export.names`).
        provenance: also how the label was obtained, and the published label.
    """

    scope: Scope = Scope.WRITTEN
    provenance: bool = False

    @property
    def columns(self) -> tuple[str, ...]:
        classes = CLASS if self.scope is Scope.PREDICTED else ()
        return (*COLUMNS, *classes, *(PROVENANCE if self.provenance else ()))


@dataclass(frozen=True, slots=True)
class CatalogSummary:
    """What was written: rows in all; images of the dataset that are still pending."""

    dataset: str
    rows: int
    pending: int


def export_catalog(
    db: Database,
    name: str | None,
    target: Path | None,
    *,
    include_pending: bool = False,
    predicted: bool = False,
    provenance: bool = False,
) -> CatalogSummary:
    """Write the catalog of a dataset, sorted by split, then treeoflife_id; equal inputs give equal bytes.

    Null is the empty field, lines end with CRLF, as published.

    Args:
        name: of the dataset; None where there is only one.
        target: a file, replaced when the new one is whole; None: standard output.
        include_pending: also images that are planned and not written yet.
        predicted: every image with a label and a file, whatever became of it, and what blacklists keep out.
        provenance: also how each label was obtained, and the published label.

    Raises:
        UsageError: no such dataset.
        CannotWrite: the file cannot be written.
    """
    options = CatalogOptions(scope_of(include_pending=include_pending, predicted=predicted), provenance)
    with db.read() as conn:
        dataset = load_dataset(conn, name)
        pending = pending_images(conn, dataset)
        rows = 0
        with text_output(target) as file, no_cycles():
            writer = csv.writer(file, lineterminator="\r\n")
            writer.writerow(options.columns)
            for row in catalog_rows(conn, dataset, options):
                writer.writerow(row)
                rows += 1
    return CatalogSummary(dataset.name, rows, pending)


def scope_of(*, include_pending: bool, predicted: bool) -> Scope:
    if predicted:
        return Scope.PREDICTED
    return Scope.PLANNED if include_pending else Scope.WRITTEN


def pending_images(conn: sa.Connection, dataset: Dataset) -> int:
    """Images of a dataset, once per split, that are planned and neither written nor left out yet."""
    sql = "SELECT coalesce(sum(planned - written - left_out), 0) FROM dataset_split WHERE dataset_id = ?"
    return int(scalar(conn, sql, (dataset.id,)))


def catalog_rows(conn: sa.Connection, dataset: Dataset, options: CatalogOptions) -> Iterator[tuple[object, ...]]:
    """Rows in the order of the options' columns, None for null; by split, then id; with progress."""
    classes = class_numbers(conn, dataset, options.scope) if options.scope is Scope.PREDICTED else None
    more, joined = (PUBLISHED, PUBLISHED_JOIN) if options.provenance else ("", "")
    sql = ROWS.format(members=MEMBERS[options.scope], more=more, joined=joined)
    splits = splits_in(conn, dataset, options.scope)
    with track("catalog", sum(split.expected for split in splits), unit="rows") as tracker:
        for split in splits:
            for row in query(conn, sql, (dataset.id, split.id)):
                blob, source, content, page, number, group, member, label, *ranks = row[:15]
                lineage = Lineage.of(ranks)
                key = uuid_text(blob)
                yield (
                    *(split.name, key, content, page, *_names_at_source(source, key, number, group, member)),
                    *(*ranks, common(lineage, row[15])),
                    *((classes[label],) if classes is not None else ()),
                    *(_provenance(*row[16:]) if options.provenance else ()),
                )
                tracker.advance()


def _names_at_source(
    source: str, key: str, number: int | None, group: str | None, member: str | None
) -> tuple[object, ...]:
    """bioscan_part, bioscan_filename, inat21_filename, inat21_cls_name, inat21_cls_num."""
    file = member or f"{key}.jpg"
    if source == "bioscan":
        return (number, file, None, None, None)
    return (None, None, file, group, number) if source == "inat21" else (None,) * 5


def _provenance(resolution: str, *published: str | None) -> tuple[object, ...]:
    """label_resolution, seven ranks and common name as published; None where none was."""
    *ranks, given = published
    if given is None:
        return (resolution, *(None,) * 8)
    known = [rank or "" for rank in ranks]
    return (resolution, *known, common(Lineage.of(known), given))
