"""Where each dataset stands, how fast it goes, what failed, and what to run next.

The counters come from the small tables (``shard``, ``dataset_split``). What only the big ones know is counted
when that is a matter of a moment, or when it is asked for.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa

from materialize.dataset import load_dataset
from materialize.lease import STALE_SECONDS
from tol_db.audit.runner import find
from tol_db.audit.runner import run as ask
from tol_db.db.base import Outcome, ShardState
from tol_db.db.bulk import query, scalar
from tol_db.db.engine import Database
from tol_db.report.pace import Pace, last_run, time_of

QUICK_ROWS = 500_000
"""Rows that a status reads at most without being asked to: half a second."""
LAST_FAILURES = 5


@dataclass(frozen=True, slots=True)
class Count:
    """How many images have an outcome; ``name`` is the outcome's."""

    name: str
    images: int


@dataclass(frozen=True, slots=True)
class StateCount:
    """How many shards are in a state, and how many images are planned into them."""

    state: str
    shards: int
    images: int


@dataclass(frozen=True, slots=True)
class SplitStatus:
    """A split of a dataset.

    Attributes:
        shards: by state, states without a shard left out.
        members: images of the split when it was planned; members = planned + excluded.
        planned, written, left_out, pending: images in shards; planned is the sum of the others.
        excluded: images that the plan left out.
        unplanned: how many members the split has more than when it was planned.
        left_out_by: by outcome; None where it was not counted.
        excluded_by: by reason; None where it was not counted.
        stale_shards: would be planned otherwise today; None where it was not counted.
        bytes: of the complete shards.
        per_second: images a second in the last run, over all its processes; None where it did none of the split.
        remaining_seconds: what is pending, at this pace, but no longer than all splits take; None without a pace.
    """

    name: str
    shards: tuple[StateCount, ...]
    members: int
    planned: int
    written: int
    left_out: int
    pending: int
    excluded: int
    unplanned: int
    left_out_by: tuple[Count, ...] | None
    excluded_by: tuple[Count, ...] | None
    stale_shards: int | None
    bytes: int
    per_second: float | None
    remaining_seconds: float | None


@dataclass(frozen=True, slots=True)
class Failure:
    """A work unit whose last try failed or never told its end."""

    unit: int
    host: str
    slurm_job: str | None
    ended_at: str | None
    ending: str
    detail: str | None


@dataclass(frozen=True, slots=True)
class Worker:
    """Who holds the lease; ``alive``: it gave a sign of life within the last minutes."""

    host: str
    pid: int
    slurm_job: str | None
    since: str
    alive: bool


@dataclass(frozen=True, slots=True)
class DatasetStatus:
    """A dataset; ``next`` are commands, the most useful first."""

    name: str
    recipe: str
    order: str
    output_root: str
    planned_at: str
    splits: tuple[SplitStatus, ...]
    worker: Worker | None
    pace: Pace | None
    failures: tuple[Failure, ...]
    next: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Status:
    """All datasets by name; ``next`` is what to run where there is none."""

    datasets: tuple[DatasetStatus, ...]
    next: tuple[str, ...]


def status(db: Database, name: str | None = None, *, check: bool = False) -> Status:
    """Where the datasets stand.

    Args:
        db: the database.
        name: of one dataset; None for all.
        check: count also what takes a while at millions of images (stale shards, outcomes, reasons).

    Raises:
        UsageError: no such dataset.
    """
    with db.read() as conn:
        return status_of(conn, name, check=check)


def status_of(conn: sa.Connection, name: str | None = None, *, check: bool = False) -> Status:
    """As :func:`status`, within a transaction that the caller has begun."""
    if name is not None:
        load_dataset(conn, name)
    names = [row[0] for row in query(conn, "SELECT name FROM dataset ORDER BY name")]
    stale = _stale_shards(conn, check) if names else {}
    chosen = [n for n in names if name in (None, n)]
    datasets = tuple(_dataset(conn, n, stale, check) for n in chosen)
    return Status(datasets, () if names else (_first_step(conn),))


def _first_step(conn: sa.Connection) -> str:
    if not scalar(conn, "SELECT EXISTS (SELECT 1 FROM image)"):
        return "tol-db ingest tol10m DIR"
    splits = [row[0] for row in query(conn, "SELECT name FROM split ORDER BY name")]
    if not splits:
        return "tol-db split NAME --fraction 0.05"
    return "tol-db plan OUT --dataset NAME " + " ".join(f"--split {split}" for split in splits)


def _dataset(
    conn: sa.Connection, name: str, stale: dict[tuple[str, str], int] | None, check: bool
) -> DatasetStatus:
    sql = """SELECT d.id, r.name, d.image_order, d.output_root, d.planned_at
             FROM dataset d JOIN recipe r ON r.id = d.recipe_id WHERE d.name = ?"""
    id, recipe, order, root, planned_at = next(query(conn, sql, (name,)))
    left_out, excluded, added = _left_out(conn, id, check), _excluded(conn, id, check), _added(conn, id)
    rows = list(
        query(
            conn,
            """SELECT s.id, s.name, t.members, t.planned, t.written, t.left_out, t.excluded
               FROM dataset_split t JOIN split s ON s.id = t.split_id WHERE t.dataset_id = ? ORDER BY s.name""",
            (id,),
        )
    )
    run = last_run(conn, id)
    pace = None if run is None else run.pace(sum(row[3] - row[4] - row[5] for row in rows))
    splits = tuple(
        replace(
            _with_pace(_split(conn, id, row), pace, None if run is None else run.rate(row[0])),
            unplanned=added.get(row[0], 0),
            left_out_by=None if left_out is None else tuple(left_out.get(row[0], ())),
            excluded_by=None if excluded is None else tuple(excluded.get(row[0], ())),
            stale_shards=None if stale is None else stale.get((name, row[1]), 0),
        )
        for row in rows
    )
    worker, failures = _worker(conn, id), _failures(conn, id)
    return DatasetStatus(
        name=name,
        recipe=recipe,
        order=order,
        output_root=root,
        planned_at=planned_at,
        splits=splits,
        worker=worker,
        pace=pace,
        failures=failures,
        next=_next_steps(name, splits, worker),
    )


Breakdown = dict[int, list[Count]]
"""Split id → images by outcome, the most frequent first."""


def _split(conn: sa.Connection, dataset: int, row: tuple[Any, ...]) -> SplitStatus:
    """What the small tables say of a split; the rest is filled in by the caller."""
    id, name, members, planned, written, left_out, excluded = row
    states = query(
        conn,
        """SELECT state, count(*), sum(planned), coalesce(sum(bytes), 0) FROM shard
           WHERE dataset_id = ? AND split_id = ? GROUP BY state""",
        (dataset, id),
    )
    found = {state: counts for state, *counts in states}
    return SplitStatus(
        name=name,
        shards=tuple(StateCount(s.value, *found[s.value][:2]) for s in ShardState if s.value in found),
        members=members,
        planned=planned,
        written=written,
        left_out=left_out,
        pending=planned - written - left_out,
        excluded=excluded,
        unplanned=0,
        left_out_by=None,
        excluded_by=None,
        stale_shards=None,
        bytes=sum(counts[2] for counts in found.values()),
        per_second=None,
        remaining_seconds=None,
    )


def _with_pace(split: SplitStatus, pace: Pace | None, rate: float | None) -> SplitStatus:
    """With how fast it goes: its splits are written together, so none takes longer than all of them."""
    if pace is None:
        return split
    rest = pace.remaining_seconds if rate is None else min(split.pending / rate, pace.remaining_seconds)
    return replace(split, per_second=rate, remaining_seconds=rest if split.pending else 0.0)


def _added(conn: sa.Connection, dataset: int) -> dict[int, int]:
    """Split id → how many members it has more than when it was planned; none where all have as many."""
    planned = dict(query(conn, "SELECT split_id, members FROM dataset_split WHERE dataset_id = ?", (dataset,)))
    one = "SELECT count(*) FROM split_member WHERE split_id = ?"
    others = [row[0] for row in query(conn, "SELECT id FROM split") if row[0] not in planned]
    # a count of the whole table looks only at its page headers: 0.03 s for ten million rows, by split 0.4 s
    total = scalar(conn, "SELECT count(*) FROM split_member") - sum(scalar(conn, one, (id,)) for id in others)
    if total == sum(planned.values()):
        return {}
    return {id: max(0, scalar(conn, one, (id,)) - members) for id, members in planned.items()}


def _stale_shards(conn: sa.Connection, check: bool) -> dict[tuple[str, str], int] | None:
    """(dataset, split) → shards that would be planned otherwise today."""
    if not check and scalar(conn, "SELECT coalesce(sum(planned), 0) FROM shard") > QUICK_ROWS:
        return None
    found: dict[tuple[str, str], int] = {}
    for dataset, split, *_ in ask(conn, find("stale_shards")).rows:
        found[dataset, split] = found.get((dataset, split), 0) + 1
    return found


def _left_out(conn: sa.Connection, dataset: int, check: bool) -> Breakdown | None:
    """Outcomes of what was left out when it was read, from the shards that left something out."""
    rows = "SELECT coalesce(sum(planned), 0) FROM shard WHERE dataset_id = ? AND left_out > 0"
    if not check and scalar(conn, rows, (dataset,)) > QUICK_ROWS:
        return None
    return _breakdown(
        conn,
        """SELECT h.split_id, m.outcome_id, count(*)
           FROM shard h CROSS JOIN shard_image m ON m.shard_id = h.id
           WHERE h.dataset_id = ? AND h.left_out > 0 AND m.outcome_id > 1 GROUP BY 1, 2""",
        dataset,
    )


def _excluded(conn: sa.Connection, dataset: int, check: bool) -> Breakdown | None:
    rows = "SELECT coalesce(sum(excluded), 0) FROM dataset_split WHERE dataset_id = ?"
    if not check and scalar(conn, rows, (dataset,)) > QUICK_ROWS:
        return None
    return _breakdown(
        conn,
        "SELECT split_id, outcome_id, count(*) FROM exclusion WHERE dataset_id = ? GROUP BY 1, 2",
        dataset,
    )


def _breakdown(conn: sa.Connection, sql: str, dataset: int) -> Breakdown:
    found: Breakdown = {}
    for split, outcome, images in query(conn, sql, (dataset,)):
        found.setdefault(split, []).append(Count(Outcome(outcome).label, images))
    for counts in found.values():
        counts.sort(key=lambda count: (-count.images, count.name))
    return found


def _worker(conn: sa.Connection, dataset: int) -> Worker | None:
    sql = "SELECT host, pid, slurm_job_id, acquired_at, heartbeat_at FROM lease WHERE dataset_id = ?"
    for host, pid, job, since, heartbeat in query(conn, sql, (dataset,)):
        silent = (datetime.now(UTC) - time_of(heartbeat)).total_seconds()
        return Worker(host, pid, job, since, silent < STALE_SECONDS)
    return None


def _failures(conn: sa.Connection, dataset: int) -> tuple[Failure, ...]:
    """Units that are not complete and whose last try failed, the latest first."""
    sql = """
        SELECT u.number, a.host, a.slurm_job_id, a.ended_at, a.ending, a.detail
        FROM (SELECT max(id) AS id FROM attempt WHERE dataset_id = ?1 GROUP BY work_unit_id) AS l
        JOIN attempt a ON a.id = l.id
        JOIN work_unit u ON u.id = a.work_unit_id
        WHERE a.ending IN ('failed', 'lost') AND EXISTS (
            SELECT 1 FROM shard h WHERE h.work_unit_id = u.id AND h.state NOT IN ('complete', 'verified'))
        ORDER BY a.id DESC LIMIT ?2"""
    return tuple(Failure(*row) for row in query(conn, sql, (dataset, LAST_FAILURES)))


def _next_steps(name: str, splits: Sequence[SplitStatus], worker: Worker | None) -> tuple[str, ...]:
    steps = []
    if any(split.stale_shards for split in splits):
        steps.append(f"tol-db plan --dataset {name} --refresh")
    if any(split.unplanned for split in splits):
        steps.append(f"tol-db plan --dataset {name} --extend")
    if any(split.pending for split in splits) and not (worker and worker.alive):
        steps.append(f"tol-db materialize --dataset {name}")
    if not steps and not worker:
        steps += [f"tol-db export sizes --dataset {name}", f"tol-db export catalog --dataset {name} -o catalog.csv"]
    return tuple(steps)
