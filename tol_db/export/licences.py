"""Under which licence each image of a dataset stands and whose it is: a CSV for machines, a NOTICE for people."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from typing import TextIO

import sqlalchemy as sa

from materialize.dataset import Dataset, load_dataset
from tol_db.db.bulk import no_cycles, query, uuid_text
from tol_db.db.engine import Database
from tol_db.errors import printed
from tol_db.export.catalog import pending_images
from tol_db.export.facts import DatasetFacts, dataset_facts
from tol_db.export.members import MEMBERS, Scope, splits_in
from tol_db.export.output import text_output
from tol_db.progress import track

NOT_PROVIDED = "not provided"
"""What the published licenses.csv has where nothing is known."""
COLUMNS = (
    *("split", "treeoflife_id", "source", "eol_content_id", "eol_page_id", "md5", "medium_source_url"),
    *("eol_full_size_copy_url", "license_name", "copyright_owner", "license_link", "title"),
)

ROWS = f"""
SELECT i.treeoflife_id, s.key, e.content_id, e.page_id, x.md5, x.medium_source_url, x.eol_full_size_copy_url,
       coalesce(l.name, nullif(s.licence, '')), x.copyright_owner, l.link, x.title
FROM ({MEMBERS[Scope.WRITTEN]}) m
JOIN image i ON i.id = m.image_id
JOIN source s ON s.id = i.source_id
LEFT JOIN eol_image e ON e.image_id = i.id
LEFT JOIN image_licence x ON x.image_id = i.id
LEFT JOIN licence l ON l.id = x.licence_id
ORDER BY i.treeoflife_id"""  # noqa: S608

OWNERS = f"""
SELECT coalesce(l.name, nullif(s.licence, ''), '{NOT_PROVIDED}') AS licence, coalesce(l.link, '') AS link,
       coalesce(nullif(x.copyright_owner, ''), '{NOT_PROVIDED}') AS owner, count(*)
FROM ({MEMBERS[Scope.WRITTEN]}) m
JOIN image i ON i.id = m.image_id
JOIN source s ON s.id = i.source_id
LEFT JOIN image_licence x ON x.image_id = i.id
LEFT JOIN licence l ON l.id = x.licence_id
GROUP BY 1, 2, 3 ORDER BY 1, 2, 3"""  # noqa: S608


@dataclass(frozen=True, slots=True)
class LicencesSummary:
    """What was written: rows of the CSV, or lines of owners of the NOTICE; images that are still pending."""

    dataset: str
    rows: int
    pending: int


def export_licences(db: Database, name: str | None, target: Path | None) -> LicencesSummary:
    """Write the licence and owner of every written image, once per split, sorted by split, then treeoflife_id.

    The columns are those of the published licenses.csv, with ``split`` and ``source`` added. An image without a
    licence of its own has that of its source; where there is none either, ``not provided``.

    Raises:
        UsageError: no such dataset.
        CannotWrite: the file cannot be written.
    """
    with db.read() as conn:
        dataset = load_dataset(conn, name)
        rows = 0
        with text_output(target) as file, no_cycles():
            writer = csv.writer(file, lineterminator="\r\n")
            writer.writerow(COLUMNS)
            for row in _rows(conn, dataset):
                writer.writerow(row)
                rows += 1
        return LicencesSummary(dataset.name, rows, pending_images(conn, dataset))


def _rows(conn: sa.Connection, dataset: Dataset) -> Iterator[tuple[object, ...]]:
    splits = splits_in(conn, dataset, Scope.WRITTEN)
    with track("licences", sum(split.expected for split in splits), unit="rows") as tracker:
        for split in splits:
            for row in query(conn, ROWS, (dataset.id, split.id)):
                blob, source, content, page, md5, medium, full, licence, owner, link, title = row
                yield (
                    *(split.name, uuid_text(blob), source, content, page),
                    *(md5.hex() if md5 else NOT_PROVIDED, medium or NOT_PROVIDED, full or NOT_PROVIDED),
                    *(licence or NOT_PROVIDED, owner or NOT_PROVIDED, link, title or NOT_PROVIDED),
                )
                tracker.advance()


def export_notice(db: Database, name: str | None, target: Path | None) -> LicencesSummary:
    """Write a text that can be shipped with the shards: sources, licences, and all owners with their images.

    Raises:
        UsageError: no such dataset.
        CannotWrite: the file cannot be written.
    """
    with db.read() as conn:
        dataset = load_dataset(conn, name)
        facts = dataset_facts(conn, dataset)
        owners = 0
        with text_output(target) as file, track("notice", len(facts.splits), unit="splits") as tracker:
            _write_head(file, facts)
            for split in splits_in(conn, dataset, Scope.WRITTEN):
                owners += _write_split(file, split.name, query(conn, OWNERS, (dataset.id, split.id)))
                tracker.advance()
        return LicencesSummary(dataset.name, owners, facts.pending)


def _write_head(file: TextIO, facts: DatasetFacts) -> None:
    file.write(f"NOTICE for the dataset {facts.name}\n\n")
    file.write("The images are the work of others. Each stands under the licence of its owner, named below; the\n")
    file.write("file made by `tol-db export licences` says so image by image. They were resized to\n")
    file.write(f"{facts.width}x{facts.height} pixels and compressed anew (recipe {facts.recipe_name}), ")
    file.write("and not changed otherwise.\n")
    if facts.licence_filter:
        file.write(f"Only images of these licences were taken: {', '.join(facts.licence_filter)}.\n")
    file.write("\nSources\n")
    for source in facts.sources:
        release = f", release {source.release}" if source.release else ""
        file.write(f"\n  {_line(source.title)}{release} ({source.images:,} samples)\n")
        for line in (source.url, source.citation, f"licence: {source.licence}" if source.licence else None):
            if line:
                file.write(f"    {_line(line)}\n")


def _line(text: str) -> str:
    """A text of others in a line, as a terminal may get it."""
    return printed(" ".join(text.split()))


def _write_split(file: TextIO, split: str, rows: Iterator[tuple[str, str, str, int]]) -> int:
    file.write(f"\n\nSplit {split}\n")
    owners = 0
    for (licence, link), group in groupby(rows, key=itemgetter(0, 1)):
        file.write(f"\n  {_line(licence)}{f' <{_line(link)}>' if link else ''}\n")
        for *_, owner, images in group:
            file.write(f"    {_line(owner)} ({images:,})\n")
            owners += 1
    return owners
