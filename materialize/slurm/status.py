"""Where the jobs of a dataset stand: the database, the receipts and SLURM's queue side by side."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import sqlalchemy as sa

from materialize import cluster, root
from materialize.cluster import Ended, Job
from materialize.dataset import Dataset, load_dataset
from materialize.receipt import receipts_of
from materialize.slurm.jobs import Submission, listed, submissions, tasks_of_array, units_in_jobs
from materialize.slurm.scripts import log_path
from materialize.slurm.submit import LOGS
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
        idle: to be written, and in no job.
    """

    total: int
    done: int
    written: int
    running: int
    queued: int
    idle: int


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
        silent: why SLURM was not asked or did not answer; None where it did.
        next: commands, the most useful first.
    """

    dataset: str
    output_root: Path
    shards: dict[str, int]
    units: Units
    jobs: tuple[JobStatus, ...]
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
    jobs: dict[str, list[Job]] = {}
    try:
        jobs = listed(known, is_patient=False)
    except TolDbError as err:
        silent = str(err)
    busy = units_in_jobs(dataset, known, jobs)
    written = _written(dataset, pending, places)
    left = {unit for unit in pending if unit not in busy and unit not in written}
    running = {unit for unit in pending if unit in busy and busy[unit].state in RUNNING}
    units = Units(
        total=total,
        done=total - len(pending),
        written=sum(unit in written and unit not in busy for unit in pending),
        running=len(running),
        queued=sum(unit in busy for unit in pending) - len(running),
        idle=len(left),
    )
    with db.read() as conn:
        failed = _failed(conn, dataset, known, left, jobs, log_lines) if silent is None else ()
    shown = tuple(_job(s, jobs[s.job]) for s in known if s.job in jobs)
    return SlurmStatus(
        dataset=dataset.name,
        output_root=dataset.output_root,
        shards={state.value: counts[state.value] for state in ShardState if state.value in counts},
        units=units,
        jobs=shown,
        failed=failed,
        silent=silent,
        next=_next(dataset.name, units, shown, silent),
    )


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
    known: Sequence[Submission],
    left: set[int],
    jobs: Mapping[str, Sequence[Job]],
    log_lines: int,
) -> tuple[FailedTask, ...]:
    """Tasks that are over and left units of theirs unwritten; of each unit the task that had it last."""
    found: list[tuple[Submission, int, tuple[int, ...]]] = []
    unclaimed = set(left)
    for array in reversed([s for s in known if s.kind == "array"]):
        alive = {job.task for job in jobs.get(array.job, ())}
        for number, units in sorted((tasks_of_array(dataset, array) or {}).items()):
            ours = unclaimed.intersection(units)
            if ours and number not in alive:
                found.append((array, number, tuple(sorted(ours))))
            unclaimed -= ours
        if not unclaimed:
            break
    ended = cluster.accounting({array.job for array, _, _ in found})
    return tuple(_failed_task(conn, dataset, array.job, n, units, ended, log_lines) for array, n, units in found)


def _failed_task(
    conn: sa.Connection,
    dataset: Dataset,
    job: str,
    number: int,
    units: tuple[int, ...],
    ended: Mapping[str, Ended],
    log_lines: int,
) -> FailedTask:
    task = f"{job}_{number}"
    how = ended.get(task)
    sql = """SELECT a.detail FROM attempt a JOIN work_unit u ON u.id = a.work_unit_id
             WHERE a.dataset_id = ? AND u.number = ? AND a.detail IS NOT NULL ORDER BY a.id DESC LIMIT 1"""
    log = log_path(dataset.output_root / LOGS, "array", job, number)
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


def _next(name: str, units: Units, jobs: Sequence[JobStatus], silent: str | None) -> tuple[str, ...]:
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
    if not steps and units.done == units.total:
        steps += [f"tol-db export sizes --dataset {name}", f"tol-db export catalog --dataset {name} -o catalog.csv"]
    return tuple(steps)
