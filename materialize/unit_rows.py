"""Loads the rows of one work unit: a range of the clustered table, and nothing else."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import groupby
from pathlib import Path

import sqlalchemy as sa

from materialize.containers import Wanted
from materialize.dataset import Dataset
from materialize.ledger import UNFINISHED
from materialize.order import reading_order
from materialize.root import shard_path
from materialize.unit import ContainerTask, ImageTask, LabelText, Place, ShardTask, UnitTask
from tol_db.db.bulk import query, scalar, uuid_text
from tol_db.errors import InputError, InputMissing, RecipeChanged
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
    unit_id = next(query(conn, "SELECT id FROM work_unit WHERE dataset_id = ? AND number = ?", (dataset.id, unit)))[
        0
    ]
    wanted = frozenset(shards)
    rows = [row for row in query(conn, PLACES, (unit_id, min(shards), max(shards))) if row[7] in wanted]
    lost = sum(row[2] is None or row[4] is None for row in rows)
    if lost:
        raise InputError(
            f"work unit {unit}: {lost} planned images have no file any more",
            hint=f"bring the files back and run `tol-db ingest containers`, "
            f"or leave them out: `tol-db plan --dataset {dataset.name} --refresh`",
        )
    if dataset.order == "shuffled":
        rows.sort(key=lambda row: (row[7], row[8]))
    else:
        ranks = {id: rank for rank, id in enumerate(_container_order(conn, {row[2] for row in rows}))}
        rows.sort(key=lambda row: (ranks[row[2]], row[4], row[0]))
    return UnitTask(
        dataset=dataset.uuid,
        number=unit,
        shards=tasks,
        labels=_labels(conn, {row[9] for row in rows}),
        containers=tuple(_containers(conn, rows)),
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


def _container_order(conn: sa.Connection, ids: set[int]) -> list[int]:
    sql = """SELECT c.kind, s.key, c.path, c.id
             FROM container c JOIN source s ON s.id = c.source_id WHERE c.id = ?"""
    rows = [next(query(conn, sql, (id,))) for id in ids]
    rows.sort(key=lambda row: reading_order(*row[:3]))
    return [row[3] for row in rows]


def _labels(conn: sa.Connection, ids: set[int]) -> dict[int, LabelText]:
    sql = """SELECT kingdom, phylum, class, "order", family, genus, species, common_name
             FROM label WHERE id = ?"""
    found = {}
    for id in ids:
        *ranks, common = next(query(conn, sql, (id,)))
        found[id] = LabelText(Lineage.of(ranks), common)
    return found


def _containers(conn: sa.Connection, rows: list[tuple[object, ...]]) -> Iterable[ContainerTask]:
    for container, inside in groupby(rows, key=lambda row: row[2]):
        path, kind, size, mtime_ns, root = next(
            query(
                conn,
                """SELECT c.path, c.kind, c.bytes, c.mtime_ns, s.root
                   FROM container c JOIN source s ON s.id = c.source_id WHERE c.id = ?""",
                (container,),
            )
        )
        if root is None:
            raise InputMissing(f"{path}: its source has no folder", hint="run `tol-db ingest containers DIR`")
        archive = kind != "directory"
        yield ContainerTask(
            Path(root) / path,
            kind,
            size if archive else None,
            mtime_ns if archive else None,
            tuple(_images(inside)),
        )


def _images(rows: Iterable[tuple[object, ...]]) -> Iterable[ImageTask]:
    for _, group in groupby(rows, key=lambda row: row[0]):
        same = list(group)
        _, blob, _, member, index, offset, size, *_ = same[0]
        assert isinstance(blob, bytes)
        key = uuid_text(blob)
        places = tuple(Place(*row[7:10]) for row in same)  # type: ignore[arg-type]
        yield ImageTask(key, Wanted(index, member or f"{key}.jpg", offset, size), places)  # type: ignore[arg-type]
