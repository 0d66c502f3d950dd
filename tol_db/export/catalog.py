"""The catalog: one row per image and split, in the columns and values of the published catalog.csv."""

from __future__ import annotations

import csv
import io
import os
import secrets
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

import sqlalchemy as sa

from materialize.dataset import Dataset, load_dataset
from tol_db.db.bulk import query, scalar, uuid_text
from tol_db.db.engine import Database
from tol_db.errors import CannotWrite
from tol_db.progress import track
from tol_db.taxonomy.names import Lineage, common
from tol_db.taxonomy.ranks import RANKS

COLUMNS = (
    *("split", "treeoflife_id", "eol_content_id", "eol_page_id", "bioscan_part", "bioscan_filename"),
    *("inat21_filename", "inat21_cls_name", "inat21_cls_num", *RANKS, "common"),
)

# sorted by the 16 bytes of the id, which is the order of its text; the label is the one pinned in the shard
ROWS = """
SELECT i.treeoflife_id, s.key, e.content_id, e.page_id, c.group_number, c.group_name, i.member,
       l.kingdom, l.phylum, l.class, l."order", l.family, l.genus, l.species, l.common_name
FROM shard h
JOIN shard_image m ON m.shard_id = h.id
JOIN image i ON i.id = m.image_id
JOIN source s ON s.id = i.source_id
JOIN label l ON l.id = m.label_id
LEFT JOIN container c ON c.id = i.container_id
LEFT JOIN eol_image e ON e.image_id = i.id
WHERE h.dataset_id = ?1 AND h.split_id = ?2 AND (m.outcome_id = 1 OR ?3 AND m.outcome_id = 0)
ORDER BY i.treeoflife_id
"""


@dataclass(frozen=True, slots=True)
class CatalogSummary:
    """What was written: rows in all; images of the dataset that are still pending."""

    dataset: str
    rows: int
    pending: int


def export_catalog(
    db: Database, name: str | None, target: Path | None, *, include_pending: bool = False
) -> CatalogSummary:
    """Write the catalog of a dataset, sorted by split, then treeoflife_id; equal inputs give equal bytes.

    Null is the empty field, lines end with CRLF, as published.

    Args:
        name: of the dataset; None where there is only one.
        target: a file, replaced when the new one is whole; None: standard output.
        include_pending: also images that are planned and not written yet.

    Raises:
        UsageError: no such dataset.
        CannotWrite: the file cannot be written.
    """
    with db.read() as conn:
        dataset = load_dataset(conn, name)
        pending = scalar(
            conn,
            "SELECT coalesce(sum(planned - written - left_out), 0) FROM dataset_split WHERE dataset_id = ?",
            (dataset.id,),
        )
        if target is None:
            with _standard_output() as file:
                rows = _write(conn, dataset, file, include_pending)
        else:
            rows = _write_file(conn, dataset, target, include_pending)
    return CatalogSummary(dataset.name, rows, pending)


@contextmanager
def _standard_output() -> Iterator[TextIO]:
    """Standard output in UTF-8 with line ends as they are written, whatever the locale says.

    Raises:
        CannotWrite: the disk that it goes to is full, say; a reader that has gone is the caller's business.
    """
    file = io.TextIOWrapper(sys.stdout.buffer, encoding="utf-8", newline="")
    try:
        try:
            yield file
            file.flush()
        except OSError as err:
            if not isinstance(err, BrokenPipeError):
                _drop_standard_output()
                raise CannotWrite(
                    f"standard output: {err.strerror or err}", hint="check the disk that it goes to"
                ) from err
            raise
    finally:
        file.detach()


def _drop_standard_output() -> None:
    """Send what could not be written to nowhere; it would be tried, and told, once more at every flush to come."""
    with suppress(OSError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())
        os.close(nowhere)


def _write_file(conn: sa.Connection, dataset: Dataset, target: Path, include_pending: bool) -> int:
    if not target.name:
        raise CannotWrite(f"{target} is a folder, not a file", hint="name a file in it")
    partial = target.with_name(f".{target.name}.{secrets.token_hex(4)}.partial")
    try:
        try:
            with partial.open("w", newline="", encoding="utf-8") as file:
                rows = _write(conn, dataset, file, include_pending)
                file.flush()
                os.fsync(file.fileno())
            partial.replace(target)
        finally:
            partial.unlink(missing_ok=True)
    except OSError as err:
        raise CannotWrite(f"{target}: {err.strerror or err}", hint="check the folder and free space") from err
    return rows


def _write(conn: sa.Connection, dataset: Dataset, file: TextIO, include_pending: bool) -> int:
    writer = csv.writer(file, lineterminator="\r\n")
    writer.writerow(COLUMNS)
    sql = """SELECT s.name, s.id, CASE WHEN ?2 THEN d.planned - d.left_out ELSE d.written END
             FROM dataset_split d JOIN split s ON s.id = d.split_id WHERE d.dataset_id = ?1"""
    splits = sorted(query(conn, sql, (dataset.id, include_pending)))
    written = 0
    with track("catalog", sum(rows for *_, rows in splits), unit="rows") as tracker:
        for split, split_id, _ in splits:
            for row in catalog_rows(conn, dataset, split, split_id, include_pending):
                writer.writerow(row)
                written += 1
                tracker.advance()
    return written


def catalog_rows(
    conn: sa.Connection, dataset: Dataset, split: str, split_id: int, include_pending: bool = False
) -> Iterator[tuple[object, ...]]:
    """Rows of one split in the order of :data:`COLUMNS`, None for null."""
    for row in query(conn, ROWS, (dataset.id, split_id, include_pending)):
        blob, source, content, page, number, group, member, *ranks, given = row
        key = uuid_text(blob)
        lineage = Lineage.of(ranks)
        bioscan, inat21 = source == "bioscan", source == "inat21"
        yield (
            *(split, key, content, page),
            *((number, member or f"{key}.jpg") if bioscan else (None, None)),
            *((member or f"{key}.jpg", group, number) if inat21 else (None, None, None)),
            *ranks,
            common(lineage, given),
        )
