"""Where the jobs of a dataset stand: the database, the receipts and SLURM's queue side by side."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import sqlalchemy as sa

from materialize import cluster, root
from materialize.cluster import Ended, Job
from materialize.dataset import Dataset, load_dataset
from materialize.receipt import receipts_of
from materialize.slurm.batch import LOGS
from materialize.slurm.jobs import (
    NO_NUMBER,
    Listing,
    Submission,
    listed,
    submissions,
    tasks_of_array,
    units_elsewhere,
    units_in_jobs,
)
from materialize.slurm.scripts import log_path
from materialize.unit_rows import digests_and_paths, pending_units
from tol_db.db.base import ShardState
from tol_db.db.bulk import query, scalar
from tol_db.db.engine import Database
from tol_db.errors import TolDbError

RUNNING = frozenset({"RUNNING", "COMPLETING", "SUSPENDED", "STOPPED", "SIGNALING", "STAGE_OUT", "CONFIGURING"})
_TAIL_BYTES = 64 * 1024


@dataclass(frozen=True, slots=True)
class Units:
    """Work units by where they stand; they add up to ``total``.

    Attributes:
        done: all their shards are in the database.
        written: have left receipts and files that `collect` enters.
        running, queued: in tasks that SLURM lists.
        elsewhere: in arrays on another cluster, which may be over: they cannot be asked from here.
        idle: to be written, and in no job.
        unknown: to be written, and in a job or not: SLURM did not say.
    """

    total: int
    done: int
    written: int
    running: int
    queued: int
    elsewhere: int
    idle: int
    unknown: int


@dataclass(frozen=True, slots=True)
class JobStatus:
    """A job that SLURM lists.

    Attributes:
        running, queued: its tasks.
        reason: why it does not run, as squeue says; empty where it does.
    """

    kind: str
    job: str
    submitted_at: str
    running: int
    queued: int
    reason: str


@dataclass(frozen=True, slots=True)
class FailedTask:
    """A task that is over and has left units unwritten.

    Attributes:
        task: ``12_3``.
        units: what it has left.
        state, exit_code: by accounting; None where there is none.
        detail: what the last attempt at one of these units told.
        log: where it logged; tail: the last lines of that.
    """

    task: str
    units: tuple[int, ...]
    state: str | None
    exit_code: str | None
    detail: str | None
    log: Path
    tail: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class SlurmStatus:
    """Where a dataset stands.

    Attributes:
        shards: state → how many.
        cluster: whose queue was looked into; None where it did not answer.
        elsewhere: jobs of other clusters that are not known to be over.
        silent: why SLURM was not asked or did not answer; None where it did.
        next: commands, the most useful first.
    """

    dataset: str
    output_root: Path
    shards: dict[str, int]
    units: Units
    cluster: str | None
    jobs: tuple[JobStatus, ...]
    elsewhere: tuple[Submission, ...]
    failed: tuple[FailedTask, ...]
    silent: str | None
    next: tuple[str, ...]


def status(db: Database, name: str | None, *, log_lines: int = 5) -> SlurmStatus:
    """Where the jobs of a dataset stand; nothing is changed.

    Args:
        name: of the dataset; None where there is only one.
        log_lines: how many lines of the log of a failed task.

    Raises:
        UsageError: no such dataset.
        OutputNotMounted: its root is not there.
    """
    with db.read() as conn:
        dataset = load_dataset(conn, name)
        root.require(dataset.output_root, dataset.marker)
        known = submissions(conn, dataset)
        pending = pending_units(conn, dataset)
        places = digests_and_paths(conn, dataset)
        total = int(scalar(conn, "SELECT count(*) FROM work_unit WHERE dataset_id = ?", (dataset.id,)))
        sql = "SELECT state, count(*) FROM shard WHERE dataset_id = ? GROUP BY state"
        counts = dict(query(conn, sql, (dataset.id,)))
    silent = None
    listing = Listing("", tuple(known), {}, ())
    try:
        listing = listed(known, is_patient=False)
    except TolDbError as err:
        silent = str(err)
    written = _written(dataset, pending, places)
    units, left = _units(dataset, total, pending, written, listing, is_silent=silent is not None)
    with db.read() as conn:
        failed = _failed(conn, dataset, listing, left, log_lines) if silent is None else ()
    shown = tuple(_job(s, listing.jobs[s.id]) for s in listing.live)
    return SlurmStatus(
        dataset=dataset.name,
        output_root=dataset.output_root,
        shards={state.value: counts[state.value] for state in ShardState if state.value in counts},
        units=units,
        cluster=listing.cluster or None,
        jobs=shown,
        elsewhere=listing.elsewhere,
        failed=failed,
        silent=silent,
        next=_next(dataset.name, units, shown, listing.elsewhere, silent),
    )


def _units(
    dataset: Dataset, total: int, pending: Collection[int], written: set[int], listing: Listing, *, is_silent: bool
) -> tuple[Units, set[int]]:
    """Where the units stand, and which are to be written and in no job."""
    busy = units_in_jobs(dataset, listing)
    running = {unit for unit in pending if unit in busy and busy[unit].state in RUNNING}
    left = {unit for unit in pending if unit not in busy and unit not in written}
    away = left & units_elsewhere(dataset, listing.elsewhere).keys()
    idle = left - away
    units = Units(
        total=total,
        done=total - len(pending),
        written=sum(unit in written and unit not in busy for unit in pending),
        running=len(running),
        queued=sum(unit in busy for unit in pending) - len(running),
        elsewhere=len(away),
        idle=0 if is_silent else len(idle),
        unknown=len(idle) if is_silent else 0,
    )
    return units, idle


def _written(
    dataset: Dataset, pending: Mapping[int, Sequence[int]], places: Mapping[int, tuple[bytes, Path]]
) -> set[int]:
    """Units whose shards all have a receipt and a file; whether they are right is for `collect` to say."""
    receipts = receipts_of(dataset.output_root)
    return {
        unit
        for unit, shards in pending.items()
        if all(n in receipts and (dataset.output_root / places[n][1]).exists() for n in shards)
    }


def _job(submission: Submission, tasks: Sequence[Job]) -> JobStatus:
    running = [task for task in tasks if task.state in RUNNING]
    waiting = [task for task in tasks if task.state not in RUNNING]
    reason = waiting[0].reason if waiting else ""
    return JobStatus(submission.kind, submission.job, submission.submitted_at, len(running), len(waiting), reason)


def _failed(
    conn: sa.Connection,
    dataset: Dataset,
    listing: Listing,
    left: set[int],
    log_lines: int,
) -> tuple[FailedTask, ...]:
    """Tasks of this cluster that are over and left units of theirs unwritten; of each the task that had it last."""
    found: list[tuple[Submission, int, tuple[int, ...]]] = []
    unclaimed = set(left)
    ours = (None, listing.cluster)
    arrays = [s for s in listing.known if s.kind == "array" and s.job != NO_NUMBER and s.cluster in ours]
    for array in reversed(arrays):
        alive = {job.task for job in listing.jobs.get(array.id, ())}
        for number, units in sorted((tasks_of_array(dataset, array) or {}).items()):
            lacking = unclaimed.intersection(units)
            if lacking and number not in alive:
                found.append((array, number, tuple(sorted(lacking))))
            unclaimed -= lacking
        if not unclaimed:
            break
    ended = cluster.accounting({array.job for array, _, _ in found})
    return tuple(_failed_task(conn, dataset, array, n, units, ended, log_lines) for array, n, units in found)


def _failed_task(
    conn: sa.Connection,
    dataset: Dataset,
    array: Submission,
    number: int,
    units: tuple[int, ...],
    ended: Mapping[str, Ended],
    log_lines: int,
) -> FailedTask:
    task = f"{array.job}_{number}"
    how = ended.get(task)
    if how is not None and array.name not in (None, how.name):
        how = None  # a number that was given out twice
    sql = """SELECT a.detail FROM attempt a JOIN work_unit u ON u.id = a.work_unit_id
             WHERE a.dataset_id = ? AND u.number = ? AND a.detail IS NOT NULL ORDER BY a.id DESC LIMIT 1"""
    log = log_path(dataset.output_root / LOGS, "array", array.job, number)
    return FailedTask(
        task=task,
        units=units,
        state=how.state if how else None,
        exit_code=how.exit_code if how else None,
        detail=scalar(conn, sql, (dataset.id, units[0])),
        log=log,
        tail=_tail(log, log_lines),
    )


def _tail(path: Path, lines: int) -> tuple[str, ...]:
    """The last lines of a file; none where it is not there."""
    try:
        with path.open("rb") as file:
            file.seek(max(0, path.stat().st_size - _TAIL_BYTES))
            text = file.read().decode("utf-8", "replace")
    except OSError:
        return ()
    return tuple(text.splitlines()[-lines:]) if lines else ()


def _next(
    name: str, units: Units, jobs: Sequence[JobStatus], elsewhere: Sequence[Submission], silent: str | None
) -> tuple[str, ...]:
    if silent is not None:
        return ("look again where `squeue` answers",) if units.done < units.total else ()
    follows = any(job.kind in ("array", "collect") for job in jobs)
    steps = []
    if units.written and not any(job.kind == "collect" for job in jobs):
        steps.append(f"tol-db collect --dataset {name}")
    if units.idle:
        steps.append(f"tol-db slurm submit --dataset {name}")
    if follows and not steps:
        steps.append(f"wait, then tol-db slurm status --dataset {name}")
    if units.elsewhere:
        clusters = ", ".join(sorted({s.cluster or "?" for s in elsewhere if s.kind == "array"}))
        steps.append(f"tol-db slurm status --dataset {name}, on a login node of {clusters}")
    if not steps and units.done == units.total:
        steps += [f"tol-db export sizes --dataset {name}", f"tol-db export catalog --dataset {name} -o catalog.csv"]
    return tuple(steps)
