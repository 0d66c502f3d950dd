"""How fast the last run over a dataset was."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa

from tol_db.db.bulk import query

RUN_GAP = 600.0
"""Seconds without any attempt that part two runs."""


@dataclass(frozen=True, slots=True)
class Pace:
    """How fast the last run was.

    A run is a series of attempts without ten minutes between the end of one and the start of the next.

    Attributes:
        images: in the shards that it completed, written or left out.
        seconds: in which any of its attempts worked, pauses left out; at least 1. An attempt that was killed worked
            until its last completed shard.
        per_second: images a second, over all its processes.
        remaining_seconds: what is pending, at this pace.
    """

    images: int
    seconds: float
    per_second: float
    remaining_seconds: float


@dataclass(frozen=True, slots=True)
class Run:
    """The last run; images: in the shards that it completed, by the id of their split."""

    seconds: float
    images: dict[int, int]

    def pace(self, pending: int) -> Pace | None:
        """Its pace, with so many images pending; None where it completed nothing."""
        images = sum(self.images.values())
        if not images:
            return None
        return Pace(images, self.seconds, images / self.seconds, pending * self.seconds / images)

    def rate(self, split: int) -> float | None:
        """Images of a split a second; None where it did none."""
        return self.images[split] / self.seconds if self.images.get(split) else None


_ATTEMPTS = """
SELECT a.id, a.started_at, max(coalesce(a.ended_at, a.started_at), coalesce(max(h.completed_at), ''))
FROM attempt a
LEFT JOIN shard h ON h.dataset_id = a.dataset_id AND h.attempt_id = a.id AND h.state IN ('complete', 'verified')
WHERE a.dataset_id = ? GROUP BY a.id ORDER BY 3 DESC"""

_DONE = """
SELECT attempt_id, split_id, sum(planned) FROM shard
WHERE dataset_id = ? AND attempt_id IS NOT NULL AND state IN ('complete', 'verified') GROUP BY 1, 2"""


def last_run(conn: sa.Connection, dataset: int) -> Run | None:
    """The last run over a dataset, or None where nothing of it was ever tried."""
    begin: datetime | None = None
    seconds = 0.0
    attempts = set()
    for attempt, start, end in query(conn, _ATTEMPTS, (dataset,)):
        started, ended = time_of(start), time_of(end)
        if begin is not None and (begin - ended).total_seconds() > RUN_GAP:
            break
        worked_until = ended if begin is None else min(ended, begin)  # what overlaps counts once
        seconds += max(0.0, (worked_until - started).total_seconds())
        begin = started if begin is None else min(begin, started)
        attempts.add(attempt)
    if begin is None:
        return None
    images: dict[int, int] = {}
    for attempt, split, planned in query(conn, _DONE, (dataset,)):
        if attempt in attempts:
            images[split] = images.get(split, 0) + planned
    return Run(max(1.0, seconds), images)


def time_of(timestamp: str) -> datetime:
    """A time as the database writes it."""
    return datetime.fromisoformat(timestamp.replace("Z", "+00:00"))
