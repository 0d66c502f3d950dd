"""Which rows go into a snapshot: all that loading the units of its tasks, or checking their shards, needs."""

from __future__ import annotations

import enum
import sqlite3
from pathlib import Path

from materialize.ledger import UNFINISHED
from tol_db.db.base import Outcome
from tol_db.db.engine import reading_uri


class Purpose(enum.Enum):
    """What tasks do: write the pending shards of work units, or check shards."""

    WRITE = "write"
    VERIFY = "verify"


_UNFINISHED = ", ".join(f"'{state}'" for state in UNFINISHED)

_HEAD = (
    ("alembic_version", ""),
    ("outcome", ""),
    ("source", ""),
    ("split", ""),
    ("dataset", "WHERE id = ?1"),
    ("recipe", "WHERE id IN (SELECT recipe_id FROM main.dataset)"),
)
_LABELS = ("label", "WHERE id IN (SELECT label_id FROM main.shard_image) ORDER BY id")

# in this order: each takes what those before it name; the pluses keep SQLite to the index by unit, or by number
_ROWS = {
    Purpose.WRITE: (
        *_HEAD,
        ("work_unit", "WHERE dataset_id = ?1 AND number IN (SELECT unit FROM main.slurm_task)"),
        (
            "shard",
            f"""WHERE work_unit_id IN (SELECT id FROM main.work_unit) AND +dataset_id = ?1
                AND +state IN ({_UNFINISHED}) ORDER BY id""",  # noqa: S608
        ),
        ("shard_image", "WHERE shard_id IN (SELECT id FROM main.shard) ORDER BY shard_id, position"),
        ("image", "WHERE id IN (SELECT image_id FROM main.shard_image) ORDER BY id"),
        ("container", "WHERE id IN (SELECT container_id FROM main.image) ORDER BY id"),
        _LABELS,
    ),
    Purpose.VERIFY: (
        *_HEAD,
        ("shard", "WHERE dataset_id = ?1 AND number IN (SELECT unit FROM main.slurm_task) ORDER BY id"),
        (
            "shard_image",
            f"""WHERE shard_id IN (SELECT id FROM main.shard) AND outcome_id = {int(Outcome.WRITTEN)}
                ORDER BY shard_id, position""",  # noqa: S608
        ),
        ("image", "WHERE id IN (SELECT image_id FROM main.shard_image) ORDER BY id"),
        _LABELS,
        ("verification", "WHERE 0"),  # the results of tasks are files
    ),
}


def copy_rows(connection: sqlite3.Connection, source: Path, dataset: int, purpose: Purpose) -> None:
    """Fill a new database that has the table ``slurm_task`` with what its tasks need, in one transaction.

    Args:
        connection: to the new database.
        source: the database; it is only read.
        dataset: id.
    """
    run = connection.execute
    run("ATTACH ? AS origin", (reading_uri(source),))
    run("BEGIN")
    names = [name for name, _ in _ROWS[purpose]]
    marks = ", ".join("?" * len(names))
    # the index by unit is the one that loading a unit needs; the others would only make the copies larger
    for (made,) in run(
        f"""SELECT sql FROM origin.sqlite_schema WHERE sql IS NOT NULL AND (type = 'table' AND name IN ({marks})
            OR name = 'ix_shard_work_unit_id') ORDER BY type DESC""",  # noqa: S608
        names,
    ).fetchall():
        run(made)
    for name, which in _ROWS[purpose]:
        sql = f'INSERT INTO main."{name}" SELECT * FROM origin."{name}" {which}'  # noqa: S608
        run(sql, (dataset,) if "?1" in which else ())
    run("COMMIT")
    run("DETACH origin")
