"""Which images of a dataset an export tells of: those written, those to be written, or those foreseen."""

from __future__ import annotations

import enum
from dataclasses import dataclass

import sqlalchemy as sa

from materialize.dataset import Dataset
from tol_db.db.bulk import query


class Scope(enum.Enum):
    """How much of a dataset is meant."""

    WRITTEN = "written"
    """What is in complete shards."""
    PLANNED = "planned"
    """That, and what is planned and not written yet."""
    PREDICTED = "predicted"
    """Every image that has a label and a file, whatever became of it, and also what a blacklist keeps out."""


_PLACES = """SELECT m.image_id, m.label_id FROM shard h JOIN shard_image m ON m.shard_id = h.id
WHERE h.dataset_id = ?1 AND h.split_id = ?2"""
_BLACKLISTED = """SELECT x.image_id, i.label_id FROM exclusion x JOIN image i ON i.id = x.image_id
WHERE x.dataset_id = ?1 AND x.split_id = ?2 AND x.outcome_id IN (2, 3)
  AND i.label_id IS NOT NULL AND i.member_index IS NOT NULL"""

MEMBERS = {
    Scope.WRITTEN: f"{_PLACES} AND m.outcome_id = 1",
    Scope.PLANNED: f"{_PLACES} AND m.outcome_id < 2",
    Scope.PREDICTED: f"{_PLACES} UNION ALL {_BLACKLISTED}",
}
"""SELECT of (image_id, label_id) of a dataset (?1) and split (?2); the label is the one pinned in the shard."""

_EXPECTED = {
    Scope.WRITTEN: "d.written",
    Scope.PLANNED: "d.planned - d.left_out",
    Scope.PREDICTED: "d.members",
}


@dataclass(frozen=True, slots=True)
class SplitScope:
    """A split of a dataset.

    Attributes:
        expected: how many images are about to be told of; for ``PREDICTED`` at most.
    """

    id: int
    name: str
    expected: int


def splits_in(conn: sa.Connection, dataset: Dataset, scope: Scope) -> list[SplitScope]:
    """The splits of a dataset by name."""
    sql = f"""SELECT s.id, s.name, {_EXPECTED[scope]} FROM dataset_split d JOIN split s ON s.id = d.split_id
              WHERE d.dataset_id = ? ORDER BY s.name"""  # noqa: S608
    return [SplitScope(*row) for row in query(conn, sql, (dataset.id,))]
