"""Images counted by label: one walk through the images, one through the places in shards, one through the labels.

The two large tables are streamed into arrays (``tol_db.db.bulk.integers``); all that is asked of them is counted
in the same walk. At ten million images that is the work of a report page.
"""

from __future__ import annotations

import heapq
from array import array
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import sqlalchemy as sa

from materialize.dataset import load_dataset
from tol_db.db.base import Outcome
from tol_db.db.bulk import integers, query, scalar
from tol_db.report.page.tree import LEVELS, Leaf
from tol_db.taxonomy.ranks import RANKS

Longs = npt.NDArray[np.int64]

SIDES: Final = tuple(round(2 ** (k / 2)) for k in range(8, 29))
"""Edges of the histogram of sides, pixels: 16, 23, 32, … 16384."""
MODES: Final = (
    *("1", "L", "P", "RGB", "RGBA", "CMYK", "YCbCr", "LAB", "HSV", "I", "F", "LA", "PA", "RGBX", "RGBa", "La"),
    *("I;16", "I;16L", "I;16B", "I;16N"),
)
"""Pillow's pixel formats (its handbook, "Modes"); others are counted as one."""
# what packed numbers have room for: every column of a row costs as much as the row itself
_OUTCOMES: Final = 64
_MODES: Final = 32
_WIDE: Final = 1 << 24
MOST_SPECIES = 15

IMAGES: Final = """
SELECT (source_id * 2 + (published_label_id IS NOT NULL)) << 32 | coalesce(label_id, 0) FROM image"""

_MODE_CASE: Final = " ".join(f"WHEN '{mode}' THEN {number}" for number, mode in enumerate(MODES, 1))
# a split's shards by their unique index, the places of each by their primary key: each place is met once
PLACES: Final = f"""
SELECT (m.label_id * {_OUTCOMES} + m.outcome_id) * {_MODES} + CASE m.mode {_MODE_CASE} ELSE 0 END,
       coalesce(m.width * {_WIDE} + m.height, 0)
FROM shard h CROSS JOIN shard_image m ON m.shard_id = h.id
WHERE h.dataset_id = ? AND h.split_id = ?"""  # noqa: S608

# in the order of the unique index of label, which holds all of these: equal names are neighbours
LABELS: Final = """
SELECT id, (kingdom <> '') + (phylum <> '') * 2 + (class <> '') * 4 + ("order" <> '') * 8 + (family <> '') * 16
           + (genus <> '') * 32 + (species <> '') * 64,
       kingdom, phylum, class, "order", family, genus, species FROM label
ORDER BY kingdom, phylum, class, "order", family, genus, species"""


@dataclass(frozen=True, slots=True)
class Scope:
    """What images are counted over: all of the database, or those written in a split of a dataset."""

    dataset: str | None = None
    split: str | None = None

    @property
    def title(self) -> str:
        return "all images" if self.dataset is None else f"{self.dataset} / {self.split}"


@dataclass(frozen=True, slots=True)
class SourceCounts:
    """Images of a source.

    Attributes:
        ranks: with a name at each rank, kingdom first; every: at all seven.
        relabelled: whose label is not the published one any more.
    """

    key: str
    title: str
    images: int
    labelled: int
    relabelled: int
    ranks: tuple[int, ...]
    every: int


@dataclass(frozen=True, slots=True)
class SplitCounts:
    """The images of a split of a dataset.

    Attributes:
        outcomes: those that have a place in a shard, by outcome; excluded: those that the plan left out, by reason.
        sides: images by shorter side, one number for each interval of :data:`SIDES` and one at either end.
        smaller: images whose shorter side is less than ``shortest``, that of the recipe's target.
        upright, square, broad: images by shape.
        modes: images by pixel format of the original; "other" for those that Pillow does not name.
    """

    scope: Scope
    outcomes: dict[str, int]
    excluded: dict[str, int]
    sides: tuple[int, ...]
    shortest: int
    smaller: int
    upright: int
    square: int
    broad: int
    modes: dict[str, int]

    @property
    def measured(self) -> int:
        return self.upright + self.square + self.broad


@dataclass(frozen=True, slots=True)
class Species:
    """A species by name and how many images of the database are of it."""

    name: str
    images: int


@dataclass(frozen=True, slots=True)
class Contents:
    """What images show, in each scope.

    Attributes:
        scopes: the first is all images.
        leaves: families.
        species: images of each species, the most frequent first, in each scope.
        taxa: distinct names from kingdom to species, in each scope.
        top: the species with the most images.
    """

    scopes: tuple[Scope, ...]
    sources: tuple[SourceCounts, ...]
    leaves: tuple[Leaf, ...]
    species: tuple[Longs, ...]
    taxa: tuple[int, ...]
    top: tuple[Species, ...]
    splits: tuple[SplitCounts, ...]


@dataclass(slots=True)
class _Sources:
    """Images by source and label (0: none), and how many have another label than the published one."""

    rows: list[tuple[int, str, str]]
    by_label: Longs
    relabelled: Longs


def count(conn: sa.Connection, datasets: Sequence[str], on_rows: Callable[[int], None]) -> Contents:
    """Count everything that depends on labels.

    Args:
        conn: a read transaction.
        datasets: whose splits get a scope each.
        on_rows: told how many rows of the large tables were read since.
    """
    labels = 1 + (scalar(conn, "SELECT max(id) FROM label") or 0)
    sources = _images(conn, labels, on_rows)
    splits = [row for name in datasets for row in query(conn, _SPLITS, (name,))]
    counts, counted = [sources.by_label.sum(axis=0)], []
    for dataset, name, split, split_name in splits:
        found = _Places(labels, min(load_dataset(conn, name).recipe.size))
        for block in integers(conn, PLACES, (dataset, split), columns=2):
            found.add(block)
            on_rows(len(block))
        scope = Scope(name, split_name)
        counts.append(found.written)
        excluded = {Outcome(id).label: images for id, images in query(conn, _EXCLUDED, (dataset, split))}
        counted.append(found.counted(scope, excluded))
    scopes = (Scope(), *(each.scope for each in counted))
    walk = _Labels(counts)
    walk.run(conn)
    named = walk.named
    return Contents(
        scopes=scopes,
        sources=tuple(_source(sources, index, named) for index in range(len(sources.rows))),
        leaves=tuple(walk.leaves()),
        species=tuple(-np.sort(-np.asarray(numbers, np.int64)) for numbers in walk.species),
        taxa=tuple(walk.taxa),
        top=tuple(Species(name, images) for images, name in sorted(walk.top, key=lambda t: (-t[0], t[1]))),
        splits=tuple(counted),
    )


_SPLITS: Final = """
SELECT d.id, d.name, s.id, s.name FROM dataset_split t
JOIN dataset d ON d.id = t.dataset_id JOIN split s ON s.id = t.split_id
WHERE d.name = ? ORDER BY s.name"""

_EXCLUDED: Final = """
SELECT outcome_id, count(*) FROM exclusion WHERE dataset_id = ? AND split_id = ? GROUP BY outcome_id"""


def _images(conn: sa.Connection, labels: int, on_rows: Callable[[int], None]) -> _Sources:
    rows = [(id, key, title) for id, key, title in query(conn, "SELECT id, key, title FROM source ORDER BY id")]
    index = np.zeros(1 + max((row[0] for row in rows), default=0), np.int64)
    index[[row[0] for row in rows]] = range(len(rows))
    found = np.zeros(len(rows) * labels, np.int64)
    relabelled = np.zeros(len(rows), np.int64)
    for (packed,) in (block.T for block in integers(conn, IMAGES, columns=1)):
        source, is_relabelled, label = index[packed >> 33], packed >> 32 & 1, packed & 0xFFFFFFFF
        keys, numbers = np.unique(source * labels + label, return_counts=True)
        found[keys] += numbers
        relabelled += np.bincount(source[is_relabelled == 1], minlength=len(rows))
        on_rows(len(packed))
    return _Sources(rows, found.reshape(len(rows), labels), relabelled)


class _Places:
    """Counts over the places of a split."""

    def __init__(self, labels: int, shortest: int) -> None:
        self.shortest = shortest
        self.smaller = 0
        self.written = np.zeros(labels, np.int64)
        self.outcomes = np.zeros(_OUTCOMES, np.int64)
        self.sides = np.zeros(len(SIDES) + 1, np.int64)
        self.shapes = np.zeros(3, np.int64)
        self.modes = np.zeros(len(MODES) + 1, np.int64)

    def add(self, block: Longs) -> None:
        labels, modes = np.divmod(block[:, 0], _MODES)
        labels, outcome = np.divmod(labels, _OUTCOMES)
        self.outcomes += np.bincount(outcome, minlength=_OUTCOMES)
        keys, numbers = np.unique(labels[outcome == Outcome.WRITTEN], return_counts=True)
        self.written[keys] += numbers
        read = block[:, 1] > 0
        width, height = np.divmod(block[read, 1], _WIDE)
        shorter = np.minimum(width, height)
        self.smaller += int((shorter < self.shortest).sum())
        self.sides += np.bincount(np.searchsorted(SIDES, shorter, side="right"), minlength=len(self.sides))
        self.shapes += np.bincount(1 + np.sign(width - height), minlength=3)
        self.modes += np.bincount(modes[read], minlength=len(self.modes))

    def counted(self, scope: Scope, excluded: dict[str, int]) -> SplitCounts:
        upright, square, broad = self.shapes.tolist()
        modes = dict(zip(("other", *MODES), self.modes.tolist(), strict=True))
        return SplitCounts(
            scope=scope,
            outcomes={x.label: number for x in Outcome if (number := int(self.outcomes[x]))},
            excluded=excluded,
            sides=tuple(self.sides.tolist()),
            shortest=self.shortest,
            smaller=self.smaller,
            upright=upright,
            square=square,
            broad=broad,
            modes={mode: number for mode, number in modes.items() if number},
        )


class _Labels:
    """The walk through the labels, given how many images have each of them in each scope."""

    def __init__(self, counts: Sequence[Longs]) -> None:
        self.ranks = np.zeros(len(counts[0]), np.int64)
        self.species = [array("q") for _ in counts]
        self.taxa = [0] * len(counts)
        self.top: list[tuple[int, str]] = []
        self._counts = np.stack(counts, axis=1).tolist()
        self._families: dict[tuple[str, ...], tuple[list[int], list[int]]] = {}

    def run(self, conn: sa.Connection) -> None:
        before: tuple[str, ...] | None = None
        images: list[int] = []
        ranks = self.ranks.tolist()
        for id, has, *rest in query(conn, LABELS):
            ranks[id] = has
            name, here = tuple(rest), self._counts[id]
            if name == before:
                images = [a + b for a, b in zip(images, here, strict=True)]
                continue
            if before is not None:
                self._enter(before, images)
            before, images = name, here
        if before is not None:
            self._enter(before, images)
        self.ranks[:] = ranks

    @property
    def named(self) -> npt.NDArray[np.bool_]:
        """Which labels have a name at each rank; shape (ranks, labels)."""
        return np.stack([self.ranks >> rank & 1 == 1 for rank in range(len(RANKS))])

    def _enter(self, name: tuple[str, ...], images: list[int]) -> None:
        """A distinct name, with its images in each scope."""
        if not any(images):
            return
        path = name[: len(LEVELS)]
        if path not in self._families:
            self._families[path] = ([0] * len(images), [0] * len(images))
        below = self._families[path]
        genus, species = name[-2:]
        for scope, number in enumerate(images):
            if number:
                below[0][scope] += number
                below[1][scope] += 1
                self.taxa[scope] += 1
                if genus and species:
                    self.species[scope].append(number)
        if genus and species and images[0]:
            keep: Any = heapq.heappush if len(self.top) < MOST_SPECIES else heapq.heappushpop
            keep(self.top, (images[0], f"{genus} {species}"))

    def leaves(self) -> Iterator[Leaf]:
        for path, (images, taxa) in self._families.items():
            yield Leaf(path, tuple(images), tuple(taxa))


def _source(sources: _Sources, index: int, named: npt.NDArray[np.bool_]) -> SourceCounts:
    _, key, title = sources.rows[index]
    images = sources.by_label[index]
    return SourceCounts(
        key=key,
        title=title,
        images=int(images.sum()),
        labelled=int(images[1:].sum()),
        relabelled=int(sources.relabelled[index]),
        ranks=tuple(int(images[has].sum()) for has in named),
        every=int(images[named.all(axis=0)].sum()),
    )
