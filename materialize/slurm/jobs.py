"""What was handed to SLURM, as the table ``submission`` remembers it, joined with what SLURM still lists.

A job number is one of a cluster, and of no other; a cluster that was set up anew counts from 1 again. So each job
has a name that no other job has, and what bears a number of ours and not its name is a stranger's. A job is written
down under its name before it is submitted: one whose number was never heard is found by that.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import sqlalchemy as sa

from materialize import cluster
from materialize.cluster import Job
from materialize.dataset import Dataset, load_dataset
from materialize.slurm.snapshot import read_tasks, snapshot_path
from tol_db.db.bulk import changes, query, scalar, utc_now
from tol_db.db.engine import Database
from tol_db.errors import InputError, InputMissing, LeaseHeld, TolDbError

KINDS = ("array", "collect", "verify", "report")
NO_NUMBER = "0"
"""The number of a job that sbatch has not told yet; no job has it."""


@dataclass(frozen=True, slots=True)
class Submission:
    """A job that was submitted, or was about to be.

    Attributes:
        id: of its row.
        kind: one of :data:`KINDS`.
        job: its number, or :data:`NO_NUMBER`.
        first_unit, last_unit: of an array over work units.
        sha256: of the snapshot of an array, hex.
        cluster: whose number it is; None: not known (it was submitted by an earlier version).
        name: of the job; None as ``cluster``.
        ended_at: when its cluster was first seen not to list it any more.
    """

    id: int
    kind: str
    job: str
    first_unit: int | None
    last_unit: int | None
    sha256: str | None
    submitted_at: str
    cluster: str | None
    name: str | None
    ended_at: str | None

    def is_this(self, job: Job) -> bool:
        """Whether a job with our number is ours."""
        return job.name == self.name if self.name is not None else job.name.startswith("tol-")


@dataclass(frozen=True, slots=True)
class Listing:
    """The jobs of a dataset as this host's cluster lists them.

    Attributes:
        cluster: its name.
        known: all submissions, oldest first; numbers that were lost are found again.
        jobs: id of a submission → its tasks that are not over; only of those that have any.
        elsewhere: submissions on other clusters that are not known to be over; those are not asked.
    """

    cluster: str
    known: tuple[Submission, ...]
    jobs: Mapping[int, Sequence[Job]]
    elsewhere: tuple[Submission, ...]

    @property
    def live(self) -> list[Submission]:
        """What is listed, oldest first."""
        return [submission for submission in self.known if submission.id in self.jobs]


def submissions(conn: sa.Connection, dataset: Dataset) -> list[Submission]:
    """All that were ever submitted for a dataset, oldest first."""
    sql = """SELECT id, kind, slurm_job_id, first_unit, last_unit, nullif(lower(hex(snapshot_sha256)), ''),
                    submitted_at, cluster, job_name, ended_at
             FROM submission WHERE dataset_id = ? ORDER BY id"""
    return [Submission(*row) for row in query(conn, sql, (dataset.id,))]


def new_name(dataset: Dataset, kind: str) -> str:
    """A name for a job that no other job has."""
    plain = "".join(c if c.isascii() and (c.isalnum() or c in "._-") else "-" for c in dataset.name)
    return f"tol-{plain[:40]}-{kind}-{secrets.token_hex(6)}"


def intend(
    db: Database,
    dataset: Dataset,
    kind: str,
    name: str,
    cluster_name: str,
    script: str,
    units: Sequence[int] = (),
    sha256: str | None = None,
) -> int:
    """Write a job down that is about to be submitted; the id of its row."""
    with db.write() as conn:
        changes(
            conn,
            """INSERT INTO submission (dataset_id, kind, slurm_job_id, first_unit, last_unit, snapshot_sha256,
                                       script, submitted_at, cluster, job_name)
               VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)""",
            (
                *(dataset.id, kind, NO_NUMBER, min(units, default=None), max(units, default=None)),
                *(bytes.fromhex(sha256) if sha256 else None, script, utc_now(), cluster_name or None, name),
            ),
        )
        return int(scalar(conn, "SELECT last_insert_rowid()"))


def remember(db: Database, row: int, job: str, cluster_name: str | None = None) -> None:
    """Enter the number of a job that was submitted, and its cluster where that is another one than was thought."""
    with db.write() as conn:
        sql = "UPDATE submission SET slurm_job_id = ?, cluster = coalesce(?, cluster) WHERE id = ?"
        changes(conn, sql, (job, cluster_name, row))


def forget(db: Database, row: int) -> None:
    """Remove a job that sbatch refused."""
    with db.write() as conn:
        changes(conn, "DELETE FROM submission WHERE id = ?", (row,))


def listed(known: Sequence[Submission], *, is_patient: bool = True) -> Listing:
    """Look up what SLURM lists of these.

    Raises:
        InputMissing: no SLURM here. ControllerSilent: it does not answer.
    """
    here = cluster.name(is_patient=is_patient)
    ours = [s for s in known if s.cluster in (None, here)]
    elsewhere = tuple(s for s in known if s.cluster not in (None, here) and s.ended_at is None)
    numbers = {s.job for s in ours if s.job != NO_NUMBER}
    lost = {s.name: s for s in ours if s.job == NO_NUMBER and s.name is not None}
    found: dict[int, list[Job]] = {}
    for job in cluster.jobs(numbers, is_patient=is_patient):
        for submission in ours:
            if submission.job == job.id and submission.is_this(job):
                found.setdefault(submission.id, []).append(job)
    for job in cluster.named(lost.keys() - {None}, is_patient=is_patient) if lost else ():
        if job.name in lost:
            found.setdefault(lost[job.name].id, []).append(job)
    told = (replace(s, job=found[s.id][0].id) if s.id in found else s for s in known)
    return Listing(here, tuple(told), found, elsewhere)


def enter_listing(db: Database, listing: Listing) -> None:
    """Write down which numbers were found again, and which jobs of this cluster are over."""
    with db.write() as conn:
        now = utc_now()
        for submission in listing.known:
            sql = "UPDATE submission SET slurm_job_id = ? WHERE id = ? AND slurm_job_id <> ?"
            changes(conn, sql, (submission.job, submission.id, submission.job))
            is_ours = submission.cluster in (None, listing.cluster)
            if is_ours and submission.id not in listing.jobs and submission.ended_at is None:
                changes(conn, "UPDATE submission SET ended_at = ? WHERE id = ?", (now, submission.id))


def require_no_arrays(db: Database, name: str | None) -> None:
    """Refuse to change a plan while array tasks wait that would write by the one that they have a copy of.

    Where this host has no SLURM, where the controller is silent, or of jobs on another cluster, nothing can be
    told: tasks leave files of another plan alone, and say so.

    Raises:
        LeaseHeld: SLURM lists arrays of the dataset.
    """
    if not cluster.is_here():
        return
    with db.read() as conn:
        dataset = load_dataset(conn, name)
        arrays = [s for s in submissions(conn, dataset) if s.kind == "array"]
    try:
        live = listed(arrays).live if arrays else []
    except TolDbError:
        return
    if live:
        raise LeaseHeld(
            f"{dataset.name!r}: SLURM lists array {', '.join(s.job for s in live)} that writes by the plan it has",
            hint=f"wait for it, or `tol-db slurm cancel --dataset {dataset.name}`, then run again",
        )


def tasks_of_array(dataset: Dataset, array: Submission) -> dict[int, tuple[int, ...]] | None:
    """Task, as it is numbered in this array → its work units; None where the snapshot is gone."""
    assert array.sha256 is not None
    try:
        tasks = read_tasks(snapshot_path(dataset.output_root, array.sha256)) or {}
    except (InputMissing, InputError):
        return None
    ours = {n: units for n, units in tasks.items() if units[0] >= (array.first_unit or 0)}
    offset = min(ours, default=0)
    last = array.last_unit or 0
    return {number - offset: units for number, units in ours.items() if units[-1] <= last}


def units_in_jobs(dataset: Dataset, listing: Listing) -> dict[int, Job]:
    """Work unit → the task that SLURM lists for it."""
    found: dict[int, Job] = {}
    for array in listing.live:
        if array.kind != "array":
            continue
        tasks = tasks_of_array(dataset, array)
        for job in listing.jobs[array.id]:
            if tasks is None or job.task is None:  # the safe side: all that it may be writing
                units: Sequence[int] = _range_of(array)
            else:
                units = tasks.get(job.task, ())
            found.update(dict.fromkeys(units, job))
    return found


def units_elsewhere(dataset: Dataset, elsewhere: Sequence[Submission]) -> dict[int, Submission]:
    """Work unit → the array on another cluster that may be writing it."""
    found: dict[int, Submission] = {}
    for array in elsewhere:
        if array.kind == "array":
            tasks = tasks_of_array(dataset, array)
            units = _range_of(array) if tasks is None else [unit for task in tasks.values() for unit in task]
            found.update(dict.fromkeys(units, array))
    return found


def told_jobs(jobs: Sequence[Submission]) -> str:
    """``12, 13 of cluster north``: jobs of other clusters."""
    by_cluster: dict[str, list[str]] = {}
    for submission in jobs:
        number = submission.job if submission.job != NO_NUMBER else submission.name or "?"
        by_cluster.setdefault(submission.cluster or "?", []).append(number)
    return "; ".join(f"{', '.join(numbers)} of cluster {where}" for where, numbers in by_cluster.items())


def _range_of(array: Submission) -> range:
    return range(array.first_unit or 0, (array.last_unit or 0) + 1)
