"""Pictures that stand under several ids: within the splits of a dataset, and in several of them.

Told by the digest of the bytes that were read, so only images that a run has read are compared.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import combinations, groupby
from operator import itemgetter
from typing import Final

import sqlalchemy as sa

from materialize.dataset import load_dataset
from tol_db.db.bulk import query, uuid_text
from tol_db.db.engine import Database
from tol_db.progress import track
from tol_db.report.tables import indented, table


@dataclass(frozen=True, slots=True)
class Within:
    """A split of a dataset.

    Attributes:
        read: its images that were read, written or left out.
        contents: pictures that several of its images are.
        images: images that are one of these; images - contents of them are there once too often.
    """

    split: str
    read: int
    contents: int
    images: int


@dataclass(frozen=True, slots=True)
class Across:
    """Two splits of which neither was drawn from the other.

    Attributes:
        contents: pictures that stand in both, under different ids.
        images, other_images: images of either split that are one of these.
    """

    split: str
    other_split: str
    contents: int
    images: int
    other_images: int


@dataclass(frozen=True, slots=True)
class Copy:
    """An image of a group; splits: those of the dataset that hold it."""

    treeoflife_id: str
    source: str
    splits: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Group:
    """Images that are the same bytes: the first few of ``images``; content_digest: 16 bytes of sha256, as hex."""

    content_digest: str
    images: int
    copies: tuple[Copy, ...]


@dataclass(frozen=True, slots=True)
class DatasetDuplicates:
    """A dataset; groups: its largest."""

    dataset: str
    within: tuple[Within, ...]
    across: tuple[Across, ...]
    groups: tuple[Group, ...]


COPIES = 5
"""Images of a group that are shown."""

# shard_image is read twice, in its own order: for the digests that several images have, and for their places
_PLACES: Final = """
SELECT m.content_digest, h.split_id, m.image_id
FROM (
    SELECT shard_id, image_id, content_digest FROM shard_image
    WHERE shard_id IN (SELECT id FROM shard WHERE dataset_id = ?1) AND content_digest IN (
        SELECT content_digest FROM shard_image
        WHERE content_digest IS NOT NULL AND shard_id IN (SELECT id FROM shard WHERE dataset_id = ?1)
        GROUP BY content_digest HAVING min(image_id) <> max(image_id)
    )
    LIMIT -1
) AS m
CROSS JOIN shard h ON h.id = m.shard_id
ORDER BY m.content_digest, m.image_id, h.split_id"""

_SPLITS: Final = """
SELECT s.id, s.name, s.parent_id, t.written + t.left_out
FROM dataset_split t JOIN split s ON s.id = t.split_id WHERE t.dataset_id = ? ORDER BY s.name"""

_IMAGE: Final = "SELECT i.treeoflife_id, s.key FROM image i JOIN source s ON s.id = i.source_id WHERE i.id = ?"


@dataclass(slots=True)
class _Tally:
    """Contents and images of a split, or of two."""

    contents: int = 0
    images: int = 0
    other_images: int = 0


@dataclass(slots=True)
class _Found:
    within: dict[int, _Tally] = field(default_factory=dict)
    across: dict[tuple[int, int], _Tally] = field(default_factory=dict)
    largest: list[tuple[int, bytes, dict[int, tuple[int, ...]]]] = field(default_factory=list)


def duplicates(db: Database, name: str | None = None, *, limit: int = 10) -> tuple[DatasetDuplicates, ...]:
    """Count the pictures that stand under several ids; half a minute for ten million images.

    Args:
        db: the database.
        name: of one dataset; None for all.
        limit: groups that are kept of each dataset, the largest.

    Raises:
        UsageError: no such dataset.
    """
    with db.read() as conn:
        if name is not None:
            load_dataset(conn, name)
        chosen = [
            (id, found)
            for id, found in query(conn, "SELECT id, name FROM dataset ORDER BY name")
            if name in (None, found)
        ]
        result = []
        with track("duplicates", len(chosen), "datasets") as tracker:
            for id, dataset in chosen:
                result.append(_of_dataset(conn, id, dataset, limit))
                tracker.advance()
    return tuple(result)


def _of_dataset(conn: sa.Connection, dataset: int, name: str, limit: int) -> DatasetDuplicates:
    splits = {id: (split, read) for id, split, _, read in query(conn, _SPLITS, (dataset,))}
    found = _count(query(conn, _PLACES, (dataset,)), _unrelated(conn, list(splits)), limit)
    names = {id: split for id, (split, _) in splits.items()}
    within = []
    for id, (split, read) in splits.items():
        tally = found.within.get(id, _Tally())
        within.append(Within(split, read, tally.contents, tally.images))
    across = [
        Across(names[a], names[b], tally.contents, tally.images, tally.other_images)
        for (a, b), tally in sorted(found.across.items(), key=lambda item: [names[id] for id in item[0]])
    ]
    groups = [_group(conn, digest, places, names) for _, digest, places in sorted(found.largest, reverse=True)]
    return DatasetDuplicates(name, tuple(within), tuple(across), tuple(groups))


def _unrelated(conn: sa.Connection, splits: list[int]) -> set[tuple[int, int]]:
    """Pairs of splits of which neither was drawn from the other, by whatever way: these hold no common image by
    design."""
    parents = dict(query(conn, "SELECT id, parent_id FROM split"))

    def line(split: int | None) -> Iterator[int]:
        while split is not None:
            yield split
            split = parents[split]

    lines = {split: set(line(split)) for split in splits}
    return {(a, b) for a, b in combinations(splits, 2) if a not in lines[b] and b not in lines[a]}


def _count(places: Iterable[tuple[bytes, int, int]], unrelated: set[tuple[int, int]], limit: int) -> _Found:
    """Tallies of (digest, split, image), sorted by digest and image."""
    found = _Found()
    for digest, group in groupby(places, itemgetter(0)):
        images = {image: tuple(split for _, split, _ in rows) for image, rows in groupby(group, key=itemgetter(2))}
        by_split: dict[int, set[int]] = {}
        for image, splits in images.items():
            for split in splits:
                by_split.setdefault(split, set()).add(image)
        for split, members in by_split.items():
            if len(members) > 1:
                tally = found.within.setdefault(split, _Tally())
                tally.contents += 1
                tally.images += len(members)
        for pair in unrelated:
            here, there = (by_split.get(split, set()) for split in pair)
            if here and there and len(here | there) > 1:
                tally = found.across.setdefault(pair, _Tally())
                tally.contents += 1
                tally.images += len(here)
                tally.other_images += len(there)
        heapq.heappush(found.largest, (len(images), digest, images))
        if len(found.largest) > limit:
            heapq.heappop(found.largest)
    return found


def _group(conn: sa.Connection, digest: bytes, images: dict[int, tuple[int, ...]], names: dict[int, str]) -> Group:
    copies = []
    for image in list(images)[:COPIES]:
        id, source = next(query(conn, _IMAGE, (image,)))
        copies.append(Copy(uuid_text(id), source, tuple(names[split] for split in images[image])))
    return Group(digest.hex(), len(images), tuple(copies))


# ------------------------------------------------------------------ as text


def duplicates_text(found: tuple[DatasetDuplicates, ...], width: int | None = None) -> str:
    """A table of splits, one of pairs of splits, and the largest groups of each dataset."""
    if not found:
        return "no dataset is planned"
    return "\n\n".join("\n".join(_dataset(dataset, width)) for dataset in found)


def _dataset(dataset: DatasetDuplicates, width: int | None) -> Iterator[str]:
    inner = None if width is None else width - 2
    yield f"dataset {dataset.dataset}: pictures under several ids"
    rows = [(w.split, w.read, w.contents, w.images, w.images - w.contents) for w in dataset.within]
    yield indented(table(("within split", "images read", "pictures", "their images", "too many"), rows, inner))
    if dataset.across:
        pairs = [(a.split, a.other_split, a.contents, a.images, a.other_images) for a in dataset.across]
        yield ""
        yield indented(table(("in split", "and in", "pictures", "images there", "images here"), pairs, inner))
    if dataset.groups:
        yield ""
        copies = [
            (group.content_digest[:12], group.images, copy.treeoflife_id, copy.source, ", ".join(copy.splits))
            for group in dataset.groups
            for copy in group.copies
        ]
        yield indented(table(("picture", "images", "treeoflife_id", "source", "splits"), copies, inner))
        yield "  all of them: tol-db report audit duplicates_within_split duplicates_across_splits --csv -o FOLDER"
