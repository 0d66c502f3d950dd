"""What was handed to SLURM, as the table ``submission`` remembers it, joined with what SLURM still lists."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import sqlalchemy as sa

from materialize import cluster
from materialize.cluster import Job
from materialize.dataset import Dataset, load_dataset
from materialize.slurm.snapshot import read_tasks, snapshot_path
from tol_db.db.bulk import changes, query, utc_now
from tol_db.db.engine import Database
from tol_db.errors import InputError, InputMissing, LeaseHeld, TolDbError

KINDS = ("array", "collect", "verify", "report")


@dataclass(frozen=True, slots=True)
class Submission:
    """A job that was submitted.

    Attributes:
        kind: one of :data:`KINDS`.
        job: its number.
        first_unit, last_unit: of an array.
        sha256: of the snapshot of an array, hex.
    """

    kind: str
    job: str
    first_unit: int | None
    last_unit: int | None
    sha256: str | None
    submitted_at: str


def submissions(conn: sa.Connection, dataset: Dataset) -> list[Submission]:
    """All that were ever submitted for a dataset, oldest first."""
    sql = """SELECT kind, slurm_job_id, first_unit, last_unit, lower(hex(snapshot_sha256)), submitted_at
             FROM submission WHERE dataset_id = ? ORDER BY id"""
    rows = query(conn, sql, (dataset.id,))
    return [Submission(kind, job, first, last, sha or None, at) for kind, job, first, last, sha, at in rows]


def remember(
    db: Database, dataset: Dataset, kind: str, job: str, script: str, units: Sequence[int], sha256: str | None
) -> None:
    """Enter a job that was just submitted."""
    with db.write() as conn:
        changes(
            conn,
            """INSERT INTO submission (dataset_id, kind, slurm_job_id, first_unit, last_unit, snapshot_sha256,
                                       script, submitted_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?)""",
            (
                *(dataset.id, kind, job, min(units, default=None), max(units, default=None)),
                *(bytes.fromhex(sha256) if sha256 else None, script, utc_now()),
            ),
        )


def listed(all_of_them: Sequence[Submission], *, is_patient: bool = True) -> dict[str, list[Job]]:
    """Job number → what SLURM lists of it, of those that it lists at all.

    Raises:
        InputMissing: no SLURM here. ControllerSilent: it does not answer.
    """
    found: dict[str, list[Job]] = {}
    ids = {submission.job for submission in all_of_them}
    for job in cluster.jobs(ids, is_patient=is_patient):
        if job.id in ids:
            found.setdefault(job.id, []).append(job)
    return found


def require_no_arrays(db: Database, name: str | None) -> None:
    """Refuse to change a plan while array tasks wait that would write by the one that they have a copy of.

    Where this host has no SLURM, or the controller is silent, nothing can be told: tasks leave files of another
    plan alone, and say so.

    Raises:
        LeaseHeld: SLURM lists arrays of the dataset.
    """
    if not cluster.is_here():
        return
    with db.read() as conn:
        dataset = load_dataset(conn, name)
        arrays = [s for s in submissions(conn, dataset) if s.kind == "array"]
    try:
        jobs = listed(arrays) if arrays else {}
    except TolDbError:
        return
    if jobs:
        raise LeaseHeld(
            f"{dataset.name!r}: SLURM lists array {', '.join(sorted(jobs))} that writes by the plan as it is",
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


def units_in_jobs(dataset: Dataset, arrays: Sequence[Submission], jobs: dict[str, list[Job]]) -> dict[int, Job]:
    """Work unit → the task that SLURM lists for it."""
    found: dict[int, Job] = {}
    for array in arrays:
        if array.kind != "array" or array.job not in jobs:
            continue
        tasks = tasks_of_array(dataset, array)
        for job in jobs[array.job]:
            if tasks is None or job.task is None:  # the safe side: all that it may be writing
                units: Sequence[int] = range(array.first_unit or 0, (array.last_unit or 0) + 1)
            else:
                units = tasks.get(job.task, ())
            found.update(dict.fromkeys(units, job))
    return found
