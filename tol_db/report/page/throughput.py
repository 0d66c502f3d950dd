"""How fast shards were completed, over the time in which somebody worked. Pure but for one query."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

import sqlalchemy as sa

from tol_db.db.bulk import query
from tol_db.report.pace import RUN_GAP

BUCKETS = 90
"""Bars of a plot, about."""
_STEPS: Final = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400, 21600, 43200, 86400)


@dataclass(frozen=True, slots=True)
class Work:
    """A shard as it was written; seconds since 1970."""

    begin: float
    end: float
    images: int


@dataclass(frozen=True, slots=True)
class Run:
    """A time in which shards were written without a gap of ten minutes.

    Attributes:
        begin, end: seconds since 1970.
        images: written or left out; shards: completed.
        rates: images a second in each interval of ``Throughput.step`` seconds from ``begin`` on.
    """

    begin: float
    end: float
    images: int
    shards: int
    rates: tuple[float, ...]

    @property
    def per_second(self) -> float:
        return self.images / max(1.0, self.end - self.begin)


@dataclass(frozen=True, slots=True)
class Throughput:
    """Runs in order of time; ``step``: seconds that a rate is the mean of."""

    dataset: str
    step: int
    runs: tuple[Run, ...]


# where receipts were collected long after, the end of the attempt is when a shard was complete
_SHARDS: Final = """
SELECT strftime('%s', min(h.completed_at, coalesce(a.ended_at, h.completed_at))), coalesce(h.seconds, 0), h.planned
FROM shard h LEFT JOIN attempt a ON a.id = h.attempt_id
WHERE h.dataset_id = (SELECT id FROM dataset WHERE name = ?) AND h.state IN ('complete', 'verified')
  AND h.completed_at IS NOT NULL"""


def throughput(conn: sa.Connection, dataset: str) -> Throughput:
    """The pace of the shards that are complete today; no runs where there is none."""
    rows = query(conn, _SHARDS, (dataset,))
    works = [
        Work(float(end) - max(1.0, seconds), float(end), images) for end, seconds, images in rows if end is not None
    ]
    return paced(dataset, works)


def paced(dataset: str, works: Sequence[Work]) -> Throughput:
    """The images of each shard spread evenly over the time that it took."""
    groups = list(_runs(sorted(works, key=lambda work: (work.begin, work.end))))
    active = sum(max(work.end for work in group) - group[0].begin for group in groups)
    step = next((step for step in _STEPS if active <= step * BUCKETS), _STEPS[-1])
    return Throughput(dataset, step, tuple(_run(group, step) for group in groups))


def _runs(works: Sequence[Work]) -> Iterator[list[Work]]:
    group: list[Work] = []
    end = 0.0
    for work in works:
        if group and work.begin - end > RUN_GAP:
            yield group
            group = []
        group.append(work)
        end = max(end, work.end) if len(group) > 1 else work.end
    if group:
        yield group


def _run(works: Sequence[Work], step: int) -> Run:
    begin, end = works[0].begin, max(work.end for work in works)
    done = [0.0] * max(1, -int(-(end - begin) // step))
    for work in works:
        first, last = int((work.begin - begin) // step), int((work.end - begin) // step)
        for index in range(first, min(last, len(done) - 1) + 1):
            low, high = begin + index * step, begin + (index + 1) * step
            share = (min(high, work.end) - max(low, work.begin)) / (work.end - work.begin)
            done[index] += work.images * max(0.0, share)
    # the last interval may be a short one
    lengths = [min(step, end - begin - index * step) for index in range(len(done))]
    rates = tuple(images / max(1.0, length) for images, length in zip(done, lengths, strict=True))
    return Run(begin, end, sum(work.images for work in works), len(works), rates)


def moment(seconds: float) -> str:
    """``2026-01-31 12:00 UTC``."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M UTC")
