"""Under which licences the images of each split are, by source."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

import sqlalchemy as sa

from materialize.dataset import load_dataset
from tol_db.db.bulk import query
from tol_db.db.engine import Database
from tol_db.progress import track
from tol_db.report.tables import indented, percent, table


@dataclass(frozen=True, slots=True)
class LicenceImages:
    """How many images are under a licence, as its source spells it; link: '' where the source gives none."""

    name: str
    link: str
    images: int


@dataclass(frozen=True, slots=True)
class SourceLicences:
    """The images of a source in a split.

    Attributes:
        licence_of_source: that of the source as a whole, if it is known.
        licensed: images with a licence of their own; licences: these, the most frequent first.
    """

    source: str
    licence_of_source: str | None
    images: int
    licensed: int
    licences: tuple[LicenceImages, ...]


@dataclass(frozen=True, slots=True)
class SplitLicences:
    """A split, or what a dataset holds of it."""

    split: str
    images: int
    licensed: int
    sources: tuple[SourceLicences, ...]


@dataclass(frozen=True, slots=True)
class Licences:
    """All splits by name; dataset: of whose shards they tell, or None of the splits' members."""

    dataset: str | None
    splits: tuple[SplitLicences, ...]


# image, image_licence and the members of a split all lie in the order of the images
_MEMBERS: Final = """
SELECT i.source_id, x.licence_id, count(*)
FROM split_member m CROSS JOIN image i ON i.id = m.image_id LEFT JOIN image_licence x ON x.image_id = m.image_id
WHERE m.split_id = ?1 GROUP BY 1, 2"""

_PLACES: Final = """
SELECT i.source_id, x.licence_id, count(*)
FROM shard h CROSS JOIN shard_image m ON m.shard_id = h.id AND m.outcome_id < 2
CROSS JOIN image i ON i.id = m.image_id LEFT JOIN image_licence x ON x.image_id = m.image_id
WHERE h.split_id = ?1 AND h.dataset_id = ?2 GROUP BY 1, 2"""


def licences(db: Database, dataset: str | None = None) -> Licences:
    """Count the licences of each split, and in it of each source; half a minute for ten million images.

    Args:
        db: the database.
        dataset: count what its shards hold, written or still to be written; None: the members of all splits.

    Raises:
        UsageError: no such dataset.
    """
    with db.read() as conn:
        if dataset is None:
            splits = list(query(conn, "SELECT id, name FROM split ORDER BY name"))
            sql = _MEMBERS
            more: tuple[int, ...] = ()
        else:
            id = load_dataset(conn, dataset).id
            of = "SELECT s.id, s.name FROM dataset_split t JOIN split s ON s.id = t.split_id WHERE t.dataset_id = ?"
            splits = list(query(conn, f"{of} ORDER BY s.name", (id,)))
            sql, more = _PLACES, (id,)
        found = []
        with track("licences", len(splits), "splits") as tracker:
            for split, name in splits:
                found.append(_of_split(conn, name, list(query(conn, sql, (split, *more)))))
                tracker.advance()
    return Licences(dataset, tuple(found))


def _of_split(conn: sa.Connection, split: str, counts: list[tuple[Any, ...]]) -> SplitLicences:
    names = {id: (name, link) for id, name, link in query(conn, "SELECT id, name, link FROM licence")}
    sources = []
    for id, key, licence in query(conn, "SELECT id, key, licence FROM source ORDER BY id"):
        own = [(found, images) for source, found, images in counts if source == id]
        if own:
            told = [LicenceImages(*names[found], images) for found, images in own if found is not None]
            told.sort(key=lambda one: (-one.images, one.name, one.link))
            total, licensed = sum(images for _, images in own), sum(one.images for one in told)
            sources.append(SourceLicences(key, licence, total, licensed, tuple(told)))
    total, licensed = sum(one.images for one in sources), sum(one.licensed for one in sources)
    return SplitLicences(split, total, licensed, tuple(sources))


# ------------------------------------------------------------------ as text


def licences_text(found: Licences, width: int | None = None) -> str:
    """A table for each split, a row for each licence of a source."""
    inner = None if width is None else width - 2
    of = "" if found.dataset is None else f" of dataset {found.dataset}"
    parts = []
    for split in found.splits:
        share = percent(split.licensed, split.images)
        head = f"{split.split}{of}: {split.images:,} images, {share} with a licence of their own"
        columns = ("source", "licence", "link", "images", "of the source")
        rows = [row for source in split.sources for row in _rows(source)]
        parts.append(f"{head}\n{indented(table(columns, rows, inner))}" if rows else head)
    return "\n\n".join(parts) if parts else "no split is known"


def _rows(source: SourceLicences) -> Iterator[tuple[object, ...]]:
    for one in source.licences:
        yield source.source, one.name, one.link, one.images, percent(one.images, source.images)
    if source.licensed < source.images:
        rest = source.images - source.licensed
        told = f"(of the source: {source.licence_of_source})" if source.licence_of_source else "(none is known)"
        yield source.source, told, "", rest, percent(rest, source.images)
