"""Loads the rows of one work unit: a range of the clustered table, and nothing else."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import sqlalchemy as sa

from materialize.dataset import Dataset
from materialize.ledger import UNFINISHED
from materialize.order import reading_order
from materialize.root import shard_path
from materialize.seek_index import REMEDY, SeekIndex
from materialize.unit import ContainerTask, LabelText, ShardTask, UnitTask
from materialize.unit_images import PackedImages
from tol_db.db.bulk import query, scalar
from tol_db.errors import ContainerError, InputError, InputMissing, RecipeChanged
from tol_db.taxonomy.names import Lineage

_STATES = ", ".join(f"'{state}'" for state in UNFINISHED)

# ix_shard_work_unit_id, then the clustered range of shard_image, then image by rowid
PLACES = """
SELECT i.id, i.treeoflife_id, i.container_id, i.member, i.member_index, i.data_offset, i.bytes,
       h.number, m.position, m.label_id
FROM shard h
JOIN shard_image m ON m.shard_id = h.id
JOIN image i ON i.id = m.image_id
WHERE h.work_unit_id = ? AND h.number BETWEEN ? AND ?
"""

_SOURCE = "i.container_id, i.member_index, i.id"
_SHUFFLED = "h.number, m.position"

# the labels of the same range, each once, by rowid in order
LABELS = """
SELECT id, common_name, kingdom, phylum, class, "order", family, genus, species FROM label
WHERE id IN (SELECT m.label_id FROM shard h JOIN shard_image m ON m.shard_id = h.id
             WHERE h.work_unit_id = ? AND h.number BETWEEN ? AND ?)
"""


def pending_units(
    conn: sa.Connection, dataset: Dataset, shards: range | None = None, units: range | None = None
) -> dict[int, list[int]]:
    """Unit number → numbers of its shards that are to be written, in order; narrowed to the given ranges."""
    rows = query(
        conn,
        f"""SELECT u.number, h.number FROM shard h JOIN work_unit u ON u.id = h.work_unit_id
            WHERE h.dataset_id = ? AND h.state IN ({_STATES}) ORDER BY u.number, h.number""",  # noqa: S608
        (dataset.id,),
    )
    found: dict[int, list[int]] = {}
    for unit, shard in rows:
        if (shards is None or shard in shards) and (units is None or unit in units):
            found.setdefault(unit, []).append(shard)
    return found


def unit_sizes(conn: sa.Connection, dataset: Dataset) -> dict[int, int]:
    """Unit number → images that are read for it."""
    return dict(query(conn, "SELECT number, images FROM work_unit WHERE dataset_id = ?", (dataset.id,)))


def digests_and_paths(conn: sa.Connection, dataset: Dataset) -> dict[int, tuple[bytes, Path]]:
    """Shard number → its digest and its path relative to the root, of all that are to be written."""
    rows = query(
        conn,
        f"""SELECT h.number, h.digest, s.name, h.ordinal FROM shard h JOIN split s ON s.id = h.split_id
            WHERE h.dataset_id = ? AND h.state IN ({_STATES})""",  # noqa: S608
        (dataset.id,),
    )
    return {
        number: (digest, shard_path(dataset.recipe.size, split, ordinal)) for number, digest, split, ordinal in rows
    }


def load_unit(conn: sa.Connection, dataset: Dataset, unit: int, shards: Sequence[int]) -> UnitTask:
    """The rows of a unit, for the given shards of it.

    Raises:
        RecipeChanged: the dataset was planned anew with another recipe since ``dataset`` was loaded.
        InputError: an image has no file any more; InputMissing: a source's folder is not there.
    """
    sql = "SELECT r.digest FROM dataset d JOIN recipe r ON r.id = d.recipe_id WHERE d.id = ?"
    if scalar(conn, sql, (dataset.id,)) != dataset.recipe_digest:
        raise RecipeChanged(f"dataset {dataset.name!r} was planned anew meanwhile", hint="run again")
    tasks = tuple(_shards(conn, dataset, shards))
    unit_id = scalar(conn, "SELECT id FROM work_unit WHERE dataset_id = ? AND number = ?", (dataset.id, unit))
    where = (unit_id, min(shards), max(shards))
    containers = _containers(conn, dataset, where, frozenset(shards))
    if containers is None:
        lost = sum((row[2] is None or row[4] is None) and row[7] in shards for row in query(conn, PLACES, where))
        raise InputError(
            f"work unit {unit}: {lost} planned images have no file any more",
            hint=f"bring the files back and run `tol-db ingest containers`, "
            f"or leave them out: `tol-db plan --dataset {dataset.name} --refresh`",
        )
    return UnitTask(
        dataset=dataset.uuid,
        number=unit,
        shards=tasks,
        labels=_labels(conn, where),
        containers=tuple(containers),
    )


def _shards(conn: sa.Connection, dataset: Dataset, numbers: Iterable[int]) -> Iterable[ShardTask]:
    for number in numbers:
        name, ordinal, digest, planned = next(
            query(
                conn,
                """SELECT s.name, h.ordinal, h.digest, h.planned
                   FROM shard h JOIN split s ON s.id = h.split_id
                   WHERE h.dataset_id = ? AND h.number = ?""",
                (dataset.id, number),
            )
        )
        yield ShardTask(number, shard_path(dataset.recipe.size, name, ordinal), digest.hex(), planned)


def _containers(
    conn: sa.Connection, dataset: Dataset, where: tuple[int, int, int], shards: frozenset[int]
) -> list[ContainerTask] | None:
    """What is read, in order; None where an image has no file any more.

    SQLite sorts, so that no list of all rows is ever in memory.
    """
    order = _SHUFFLED if dataset.order == "shuffled" else _SOURCE
    found: list[tuple[int, PackedImages]] = []
    last_container = last_image = None
    for id, blob, container, member, index, offset, size, shard, position, label in query(
        conn, f"{PLACES} ORDER BY {order}", where
    ):
        if shard not in shards:
            continue
        if container is None or index is None:
            return None
        if container != last_container:
            found.append((container, PackedImages()))
            last_container, last_image = container, None
        images = found[-1][1]
        if id != last_image:
            images.add(blob, member, index, offset, size)
            last_image = id
        images.place(shard, position, label)
    files = {id: _container(conn, id) for id, _ in found}
    if dataset.order != "shuffled":
        found.sort(key=lambda pair: files[pair[0]].order)
    in_order = dataset.order != "shuffled"
    tasks = {id: file.task(in_order=in_order) for id, file in files.items()}  # a shuffled unit has each many times
    return [replace(tasks[id], images=images) for id, images in found]


@dataclass(frozen=True, slots=True)
class _Container:
    """A row of ``container``, with the folder of its source."""

    path: str
    kind: str
    size: int | None
    mtime_ns: int | None
    root: str | None
    source: str
    seek_index: bytes | None

    @property
    def order(self) -> tuple[bool, str, list[tuple[int, int, str]]]:
        return reading_order(self.kind, self.source, self.path)

    def task(self, *, in_order: bool) -> ContainerTask:
        """Without its images."""
        if self.root is None:
            raise InputMissing(f"{self.path}: its source has no folder", hint="run `tol-db ingest containers DIR`")
        archive = self.kind != "directory"
        root = Path(self.root)
        index = SeekIndex.of(self.seek_index, root)
        if self.kind == "tar_gz" and index is None and not in_order:
            raise ContainerError(
                root / self.path,
                None,
                "it has no seek index (any more), and a shuffled dataset reads single members of it",
                hint=REMEDY,
            )
        return ContainerTask(
            root / self.path,
            self.kind,
            self.size if archive else None,
            self.mtime_ns if archive else None,
            (),
            index,
            in_order,
        )


def _container(conn: sa.Connection, id: int) -> _Container:
    sql = """SELECT c.path, c.kind, c.bytes, c.mtime_ns, s.root, s.key, c.seek_index
             FROM container c JOIN source s ON s.id = c.source_id WHERE c.id = ?"""
    return _Container(*next(query(conn, sql, (id,))))


def _labels(conn: sa.Connection, where: tuple[int, int, int]) -> dict[int, LabelText]:
    """The labels of a unit; a name that many have is kept once."""
    names: dict[str, str] = {}
    once = names.setdefault
    return {
        id: LabelText(Lineage.of([once(name, name) for name in ranks]), once(common, common))
        for id, common, *ranks in query(conn, LABELS, where)
    }
