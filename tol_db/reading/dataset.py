"""A written dataset: its splits, its shards, and their samples."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import BinaryIO

import sqlalchemy as sa

from materialize import root as output_root
from materialize.dataset import load_dataset
from materialize.shard import BLOCK
from tol_db.db.base import Outcome
from tol_db.db.bulk import query, scalar, uuid_blob, uuid_text
from tol_db.db.engine import open_database
from tol_db.errors import UsageError
from tol_db.reading.offsets import OffsetCache, Offsets, find_offsets, missing, text_sizes
from tol_db.reading.sample import Record, Sample, not_as_planned, padded, picture_size, take_apart
from tol_db.taxonomy.names import Lineage, common

_SHARDS = """
SELECT h.id, p.name, h.number, h.ordinal, h.written, h.bytes, h.sha256
FROM shard h JOIN split p ON p.id = h.split_id
WHERE h.dataset_id = ?1 AND h.state IN ('complete', 'verified') AND {where} ORDER BY p.name, h.ordinal"""

_RECORDS = """
SELECT i.treeoflife_id, m.label_id FROM shard_image m JOIN image i ON i.id = m.image_id
WHERE m.shard_id = ? AND m.outcome_id = 1 ORDER BY m.position"""

_LABELS = """
SELECT id, common_name, kingdom, phylum, class, "order", family, genus, species FROM label
WHERE id IN (SELECT label_id FROM shard_image WHERE shard_id = ?)"""

# ix_image_treeoflife_id, then ix_shard_image_image_id
_PLACES_OF = """
SELECT p.name, m.shard_id, m.position, m.outcome_id,
       l.common_name, l.kingdom, l.phylum, l.class, l."order", l.family, l.genus, l.species
FROM image i
JOIN shard_image m ON m.image_id = i.id
JOIN label l ON l.id = m.label_id
JOIN shard h ON h.id = m.shard_id JOIN split p ON p.id = h.split_id
WHERE i.treeoflife_id = ?2 AND h.dataset_id = ?1 ORDER BY p.name"""

_BEFORE = "SELECT count(*) FROM shard_image WHERE shard_id = ? AND position < ? AND outcome_id = 1"


@dataclass(frozen=True, slots=True)
class SplitPlace:
    """A split of a dataset: samples and complete shards; images that are still pending."""

    name: str
    samples: int
    shards: int
    pending: int


@dataclass(frozen=True, slots=True)
class ShardPlace:
    """A complete shard.

    Attributes:
        number: over the dataset; size: bytes; sha256: of the file, hex.
    """

    id: int
    split: str
    number: int
    path: Path
    samples: int
    size: int
    sha256: str


def open_dataset(
    database: Path | str,
    name: str | None = None,
    *,
    root: Path | str | None = None,
    offsets: Path | str | None = None,
) -> DatasetReader:
    """Open a dataset for reading. Neither the database nor the shards are changed.

    Args:
        database: a tol-db database, at the schema of this version.
        name: of the dataset; None where there is only one.
        root: where its shards lie; None: where the database has them.
        offsets: a folder in which offsets of samples are kept between processes; None: only in memory.

    Raises:
        InputMissing, NotADatabase, SchemaError: as :func:`tol_db.db.engine.open_database`.
        UsageError: no such dataset.
    """
    return DatasetReader(
        Path(database),
        name,
        Path(root) if root is not None else None,
        OffsetCache(Path(offsets) if offsets is not None else None),
    )


class DatasetReader:
    """A dataset that is read; made by :func:`open_dataset`.

    Only complete shards are read. No transaction stays open between two samples, so a run may write meanwhile;
    what it completes after an iteration has begun may not be in it. A reader can be pickled: a worker of a data
    loader then opens the database for itself.

    Attributes:
        name: of the dataset; root: where its shards lie.
    """

    def __init__(self, database: Path, name: str | None, root: Path | None, cache: OffsetCache) -> None:
        self._database = open_database(database, readonly=True)
        self._cache = cache
        with self._database.read() as conn:
            self._dataset = load_dataset(conn, name)
        if root is not None:
            self._dataset = replace(self._dataset, output_root=root.absolute())
        self.name, self.root = self._dataset.name, self._dataset.output_root

    def __reduce__(self) -> tuple[object, ...]:
        return DatasetReader, (self._database.path, self.name, self.root, OffsetCache(self._cache.folder))

    @property
    def splits(self) -> tuple[SplitPlace, ...]:
        """The splits by name, as they are now."""
        sql = """SELECT s.name, d.written, (SELECT count(*) FROM shard h WHERE h.dataset_id = d.dataset_id
                        AND h.split_id = d.split_id AND h.state IN ('complete', 'verified')),
                        d.planned - d.written - d.left_out
                 FROM dataset_split d JOIN split s ON s.id = d.split_id WHERE d.dataset_id = ? ORDER BY s.name"""
        with self._database.read() as conn:
            return tuple(SplitPlace(*row) for row in query(conn, sql, (self._dataset.id,)))

    def shards(self, split: str) -> list[ShardPlace]:
        """The complete shards of a split by file name.

        Raises:
            UsageError: no such split.
        """
        known = [place.name for place in self.splits]
        if split not in known:
            raise UsageError(f"dataset {self.name!r} has no split {split!r}", hint=f"splits: {', '.join(known)}")
        with self._database.read() as conn:
            return self._shards(conn, "p.name = ?2", split)

    def records(self, split: str) -> Iterator[Record]:
        """What the database knows of the samples of a split, in the order of the shards; no file is read.

        Raises:
            UsageError: no such split.
        """
        for shard in self.shards(split):
            yield from (record for record, _ in self._records(shard))

    def images(self, split: str) -> Iterator[Sample]:
        """The samples of a split, in the order of the shards; each shard is read once, from its start on.

        Raises:
            UsageError: no such split.
            InputMissing: a shard or the whole root is not there.
            InputError: a shard is not what the database says.
            OSError: the storage failed.
        """
        for shard in self.shards(split):
            records = self._records(shard)
            with self._opened(shard.path) as file:
                for record, given in records:
                    sizes = text_sizes(record.label, given)
                    head = file.read(sizes.before + BLOCK)
                    size = picture_size(head[sizes.before :], record.treeoflife_id)
                    if size is None:
                        raise not_as_planned(shard.path, record.treeoflife_id)
                    yield take_apart(record, head + file.read(padded(size) + sizes.after))

    def load_sample(self, treeoflife_id: str, split: str | None = None) -> Sample:
        """One sample, without reading the rest of its shard.

        Args:
            treeoflife_id: its id, hyphens or not.
            split: which of its splits; None: the first by name in which it is written (the bytes are the same).

        Raises:
            UsageError: it is no id, or not of an image that is written in the dataset; the message says what
                became of it.
            InputMissing, InputError, OSError: as :meth:`images`.
        """
        shard, record = self._find(treeoflife_id, split)
        offsets = self._offsets(shard)
        begin, end = offsets[record.position], offsets[record.position + 1]
        with self._opened(shard.path) as file:
            file.seek(begin)
            return take_apart(record, file.read(end - begin))

    def _find(self, treeoflife_id: str, split: str | None) -> tuple[ShardPlace, Record]:
        """The shard of a written image, and its record."""
        blob = uuid_blob(treeoflife_id)
        if blob is None:
            raise UsageError(f"{treeoflife_id!r} is not a TreeOfLife id")
        with self._database.read() as conn:
            places = list(query(conn, _PLACES_OF, (self._dataset.id, blob)))
            places = [place for place in places if split in (None, place[0])]
            for _, shard_id, position, outcome, given, *ranks in places:
                if outcome == Outcome.WRITTEN:
                    (shard,) = self._shards(conn, "h.id = ?2", shard_id)
                    at = int(scalar(conn, _BEFORE, (shard_id, position)))
                    label = Lineage.of(ranks)
                    key, shown = uuid_text(blob), common(label, given)
                    return shard, Record(key, shard.split, shard.path, at, label, shown)
        told = ", ".join(f"{name}: {Outcome(outcome).label}" for name, _, _, outcome, *_ in places)
        raise UsageError(
            f"{treeoflife_id} is not written in dataset {self.name!r}{f', split {split!r}' if split else ''}"
            f"{f' ({told})' if told else ''}",
            hint=f"`tol-db report image {treeoflife_id}` says what is known of it",
        )

    def _shards(self, conn: sa.Connection, where: str, value: object) -> list[ShardPlace]:
        size = self._dataset.recipe.size
        rows = query(conn, _SHARDS.format(where=where), (self._dataset.id, value))
        return [
            ShardPlace(
                id,
                split,
                number,
                self.root / output_root.shard_path(size, split, ordinal),
                written,
                size_,
                sha.hex(),
            )
            for id, split, number, ordinal, written, size_, sha in rows
        ]

    def _records(self, shard: ShardPlace) -> list[tuple[Record, str]]:
        """The records of a shard in order, each with the common name as its source gave it."""
        with self._database.read() as conn:
            labels = {id: (Lineage.of(ranks), given) for id, given, *ranks in query(conn, _LABELS, (shard.id,))}
            shown = {id: common(lineage, given) for id, (lineage, given) in labels.items()}
            rows = list(query(conn, _RECORDS, (shard.id,)))
        return [
            (Record(uuid_text(blob), shard.split, shard.path, at, labels[id][0], shown[id]), labels[id][1])
            for at, (blob, id) in enumerate(rows)
        ]

    def _offsets(self, shard: ShardPlace) -> Offsets:
        def find() -> Offsets:
            self._require(shard.path)
            records = self._records(shard)
            sizes = [(record.treeoflife_id, text_sizes(record.label, given)) for record, given in records]
            return find_offsets(shard.path, sizes)

        return self._cache.get(shard.sha256, shard.samples, find)

    def _require(self, path: Path) -> None:
        if not path.exists():
            output_root.require(self.root, self._dataset.marker)
            raise missing(path)

    def _opened(self, path: Path) -> BinaryIO:
        self._require(path)
        return path.open("rb", buffering=1 << 20)
