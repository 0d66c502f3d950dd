"""Hands what is pending to SLURM: arrays over work units, then collect, verify and report.

It can be run again at any time. First it enters the receipts that are there; what is then pending, and in no job
that SLURM lists, is submitted. It holds the dataset's lease while it works, so two of them do not meet.
"""

from __future__ import annotations

import secrets
import shutil
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import sqlalchemy as sa

from materialize import cluster, lease, root
from materialize.cluster import Job
from materialize.collect import acquire, collect
from materialize.dataset import Dataset, load_dataset
from materialize.shard import cannot_write
from materialize.slurm import scripts
from materialize.slurm.arrays import (
    DEFAULT_RATE,
    Array,
    array_option,
    arrays_of,
    longest_seconds,
    measured_rate,
    tasks_of,
    wall_seconds,
    warning_seconds,
)
from materialize.slurm.jobs import Submission, listed, remember, submissions, units_in_jobs
from materialize.slurm.places import require_safe, warnings
from materialize.slurm.snapshot import remove_old, snapshot_path, write_snapshot
from materialize.stop import Stop, stop_signals
from materialize.unit_rows import pending_units, unit_sizes
from tol_db.db.bulk import query
from tol_db.db.engine import Database
from tol_db.errors import LeaseHeld
from tol_db.settings import SlurmSettings

LOGS = "_logs"
WAIT_SECONDS = 60.0
"""How long another run that holds the dataset is waited for."""


@dataclass(frozen=True, slots=True)
class SubmittedJob:
    """A job of a submission.

    Attributes:
        kind: ``array``, ``collect``, ``verify`` or ``report``.
        job: its number; None in a dry run.
        tasks: of an array.
        script: what sbatch was given.
    """

    kind: str
    job: str | None
    tasks: int
    script: str


@dataclass(frozen=True, slots=True)
class SubmitReport:
    """What was submitted.

    Attributes:
        pending: work units that are to be written; of these ``in_jobs`` are in jobs of earlier submissions.
        tasks: the units of each task.
        rate: images a second and core that the tasks were cut by; ``is_measured``: by earlier attempts.
        snapshot: what the tasks read; None where there is nothing to submit, or in a dry run.
        jobs: in the order in which they run.
        warnings: what may go wrong, for the user.
    """

    dataset: str
    pending: int
    in_jobs: int
    tasks: tuple[tuple[int, ...], ...]
    rate: float
    is_measured: bool
    snapshot: Path | None
    jobs: tuple[SubmittedJob, ...]
    warnings: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Work:
    """What is to be submitted, before anything is."""

    dataset: Dataset
    settings: SlurmSettings
    database: Path
    config: Path | None
    tasks: list[tuple[int, ...]]
    arrays: list[Array]
    live: list[str]


@dataclass(frozen=True, slots=True)
class _Queue:
    """Where jobs are handed in and written down, for as long as the lease is ours."""

    db: Database
    dataset: Dataset
    keeper: lease.Keeper
    stop: Stop

    def check(self) -> None:
        """Raises: Interrupted, by a signal; LeaseHeld: another run took the dataset over."""
        self.stop.check()
        self.keeper.beat()

    def add(
        self,
        kind: str,
        script: str,
        options: Sequence[str] = (),
        units: Sequence[int] = (),
        sha256: str | None = None,
    ) -> str:
        """Submit a job and write it down; its number."""
        self.check()
        job = cluster.submit(script, _job_name(self.dataset, kind), options)
        remember(self.db, self.dataset, kind, job, script, units, sha256)
        return job


def submit(
    db: Database,
    name: str | None,
    settings: SlurmSettings,
    *,
    config: Path | None = None,
    verify: bool = True,
    collecting: bool = True,
    dry_run: bool = False,
    on_wait: Callable[[LeaseHeld], None] = lambda _held: None,
) -> SubmitReport:
    """Submit the pending units of a dataset.

    Args:
        name: of the dataset; None where there is only one.
        config: settings file that the jobs read too.
        verify: check the shards after collecting them.
        collecting: collect (and verify, and report) after the arrays.
        dry_run: only say what would be submitted.
        on_wait: called once, when another run is waited for.

    Raises:
        InputMissing: no SLURM here. ControllerSilent: it does not answer. TolDbError: sbatch refuses.
        InputError: the database is in write-ahead mode on a network file system.
        LeaseHeld: another run works on the dataset.
        OutputNotMounted, CannotWrite
    """
    require_safe(db.path)
    limit = cluster.max_array_size()  # asked first: without SLURM nothing is changed
    with db.read() as conn:
        dataset = load_dataset(conn, name)
    told = warnings(db.path, dataset.output_root)
    if dry_run:
        root.require(dataset.output_root, dataset.marker)
        return _submit(db, dataset, settings, config, limit, told, verify, collecting, None)
    collect(db, dataset.name, wait=WAIT_SECONDS, on_wait=on_wait)
    with stop_signals() as stop:
        keeper = lease.Keeper(db, dataset, lease.here())
        acquire(keeper, stop, WAIT_SECONDS, on_wait)
        with keeper.released_at_the_end():
            with db.read() as conn:  # again: it may have been planned anew until the lease was ours
                dataset = load_dataset(conn, dataset.name)
            queue = _Queue(db, dataset, keeper, stop)
            return _submit(db, dataset, settings, config, limit, told, verify, collecting, queue)


def _submit(
    db: Database,
    dataset: Dataset,
    settings: SlurmSettings,
    config: Path | None,
    limit: int,
    told: list[str],
    verify: bool,
    collecting: bool,
    queue: _Queue | None,
) -> SubmitReport:
    """Without ``queue`` it is a dry run."""
    with db.read() as conn:
        known = submissions(conn, dataset)
        pending = sorted(pending_units(conn, dataset))
        sizes = unit_sizes(conn, dataset)
        measured = _measured(conn, dataset)
    jobs = listed(known)
    busy = units_in_jobs(dataset, known, jobs)
    rate = settings.rate or measured or DEFAULT_RATE
    wall = wall_seconds(settings.time)
    minutes = settings.task_minutes or wall / 120  # half of the wall time: a rate is an estimate
    tasks = tasks_of(
        [unit for unit in pending if unit not in busy], sizes, rate * settings.cpus * minutes * 60, settings.cpus
    )
    told = told + _too_long(tasks, sizes, rate, settings, wall)
    live = [s.job for s in known if s.kind == "array" and s.job in jobs]
    work = _Work(dataset, settings, db.path.absolute(), config, tasks, arrays_of(len(tasks), limit), live)
    follows = collecting and bool(tasks or _lacks_collect(known, jobs))
    kinds = (["collect", "verify", "report"] if verify else ["collect", "report"]) if follows else []
    if queue is None:
        snapshot, made = None, _scripts_only(work, kinds)
    else:
        snapshot, made = _hand_over(queue, work, kinds)
        needed = {s.sha256 for s in known if s.sha256 and s.job in jobs}
        remove_old(dataset.output_root, needed | ({snapshot.stem} if snapshot else set()))
    return SubmitReport(
        dataset=dataset.name,
        pending=len(pending),
        in_jobs=sum(unit in busy for unit in pending),
        tasks=tuple(tasks),
        rate=rate,
        is_measured=settings.rate is None and measured is not None,
        snapshot=snapshot,
        jobs=tuple(made),
        warnings=tuple(told),
    )


def _measured(conn: sa.Connection, dataset: Dataset) -> float | None:
    sql = """SELECT u.images, (julianday(a.ended_at) - julianday(a.started_at)) * 86400
             FROM attempt a JOIN work_unit u ON u.id = a.work_unit_id
             WHERE a.dataset_id = ? AND a.ending = 'done' ORDER BY a.id DESC LIMIT 200"""
    return measured_rate(query(conn, sql, (dataset.id,)))


def _too_long(
    tasks: Sequence[Sequence[int]], sizes: Mapping[int, int], rate: float, settings: SlurmSettings, wall: int
) -> list[str]:
    longest = max((longest_seconds(task, sizes, rate, settings.cpus) for task in tasks), default=0.0)
    if longest <= wall:
        return []
    return [
        f"a task may take {longest / 3600:.1f} h at {rate:.3g} images/s and core, and --time is {settings.time}: "
        "what is complete then is kept, and the task goes on where it is started again (--requeues)"
    ]


def _lacks_collect(known: Sequence[Submission], jobs: Mapping[str, list[Job]]) -> bool:
    """Whether arrays are in the queue that nobody will collect."""
    kinds = {s.kind for s in known if s.job in jobs}
    return "array" in kinds and "collect" not in kinds


def _scripts_only(work: _Work, kinds: Sequence[str]) -> list[SubmittedJob]:
    path = snapshot_path(work.dataset.output_root, "SHA256")
    arrays = [SubmittedJob("array", None, a.tasks, _array_script(work, a, path)) for a in work.arrays]
    return arrays + [SubmittedJob(kind, None, 1, _follower_script(work, kind)) for kind in kinds]


def _hand_over(queue: _Queue, work: _Work, kinds: Sequence[str]) -> tuple[Path | None, list[SubmittedJob]]:
    """Write the snapshot and call sbatch; each job is written down before the next one is submitted."""
    logs = work.dataset.output_root / LOGS
    try:
        logs.mkdir(exist_ok=True)
    except OSError as err:
        raise cannot_write(logs, err) from err
    made: list[SubmittedJob] = []
    before = list(work.live)
    path = None
    if work.tasks:
        snapshot = write_snapshot(queue.db, work.dataset, work.tasks, queue.stop.check)
        path = snapshot.path
        for array in work.arrays:
            script = _array_script(work, array, path)
            units = [unit for task in work.tasks[array.offset : array.offset + array.tasks] for unit in task]
            job = queue.add("array", script, units=units, sha256=snapshot.sha256)
            made.append(SubmittedJob("array", job, array.tasks, script))
            before.append(job)
    for kind in kinds:
        script = _follower_script(work, kind)
        job = queue.add(kind, script, (f"--dependency=afterany:{':'.join(before)}", "--kill-on-invalid-dep=yes"))
        made.append(SubmittedJob(kind, job, 1, script))
        before = [job]
    return path, made


def _job_name(dataset: Dataset, kind: str) -> str:
    """No other job has it: by this name a job is found whose sbatch did not come back."""
    plain = "".join(c if c.isascii() and (c.isalnum() or c in "._-") else "-" for c in dataset.name)
    return f"tol-{plain[:40]}-{kind}-{secrets.token_hex(3)}"


def _array_script(work: _Work, array: Array, snapshot: Path) -> str:
    settings = work.settings
    options = _options(work, "array") | {
        "--array": array_option(array, settings.throttle, len(work.arrays)),
        "--cpus-per-task": str(settings.cpus),
    }
    values = _values(work) | {
        "TOL_DB_SLURM_SNAPSHOT": str(snapshot),
        "TOL_DB_SLURM_DATASET": work.dataset.name,
        "TOL_DB_SLURM_OFFSET": str(array.offset),
        "TOL_DB_SLURM_REQUEUES": str(settings.requeues),
    }
    if settings.local_dir:
        values["TOL_DB_SLURM_LOCAL_DIR"] = settings.local_dir
    return scripts.render("materialize", options, values, settings.sbatch_options)


def _follower_script(work: _Work, kind: str) -> str:
    cpus = work.settings.cpus if kind == "verify" else 1
    values = _values(work) | {"TOL_DB": str(work.database), "TOL_DB_SLURM_DATASET": work.dataset.name}
    options = _options(work, kind) | {"--cpus-per-task": str(cpus)}
    return scripts.render(kind, options, values, work.settings.sbatch_options)


def _options(work: _Work, kind: str) -> dict[str, str | None]:
    settings = work.settings
    signal = "USR1" if kind == "array" else "TERM"  # only an array task asks to be started again
    options: dict[str, str | None] = {
        "--time": settings.time,
        "--mem": settings.mem,
        "--signal": f"B:{signal}@{warning_seconds(wall_seconds(settings.time))}",
        "--output": scripts.log_pattern(work.dataset.output_root / LOGS, kind),
        "--chdir": str(work.dataset.output_root),  # a settings file where the user stands now is not read by chance
    }
    named = {"--account": settings.account, "--partition": settings.partition}
    return {option: value for option, value in named.items() if value} | options


def _values(work: _Work) -> dict[str, str]:
    """What all jobs get: where tol-db is, and the settings file."""
    values = {}
    command = Path(sys.executable).with_name("tol-db")
    found = command if command.is_file() else shutil.which("tol-db")
    if found:
        values["TOL_DB_SLURM_BIN"] = str(Path(found).parent)
    if work.settings.setup:
        values["TOL_DB_SLURM_SETUP"] = work.settings.setup
    if work.config is not None:
        values["TOL_DB_CONFIG"] = str(work.config.absolute())
    return values
