"""Hands what is pending to SLURM: arrays over work units, then collect, verify and report.

It can be run again at any time. First it enters the receipts that are there; what is then pending, and in no job
that SLURM lists, is submitted. It holds the dataset's lease while it works, so two of them do not meet.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import sqlalchemy as sa

from materialize import cluster, lease, root
from materialize.cluster import ControllerSilent
from materialize.collect import acquire, collect
from materialize.dataset import Dataset, load_dataset
from materialize.shard import cannot_write
from materialize.slurm.arrays import (
    DEFAULT_RATE,
    arrays_of,
    longest_seconds,
    measured_rate,
    tasks_of,
    wall_seconds,
)
from materialize.slurm.batch import LOGS, Follower, Work, array_script, followers, verify_tasks
from materialize.slurm.jobs import (
    Listing,
    Submission,
    enter_listing,
    forget,
    intend,
    listed,
    new_name,
    remember,
    submissions,
    told_jobs,
    units_elsewhere,
    units_in_jobs,
)
from materialize.slurm.places import require_safe, warnings
from materialize.slurm.snapshot import FOLDER, remove_old, snapshot_path, write_snapshot
from materialize.slurm.verification import Order, order_path, orders, snapshots_of_orders
from materialize.stop import Stop, stop_signals
from materialize.unit_rows import pending_units, unit_sizes
from tol_db.db.base import ShardState
from tol_db.db.bulk import query, scalar
from tol_db.db.engine import Database
from tol_db.errors import LeaseHeld, TolDbError
from tol_db.settings import SlurmSettings

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
        pending: work units that are to be written; of these ``in_jobs`` are in jobs of earlier submissions, and
            ``elsewhere`` in jobs of another cluster.
        tasks: the units of each task.
        rate: images a second and core that the tasks were cut by; ``is_measured``: by earlier attempts.
        snapshot: what the tasks read; None where there is nothing to submit, or in a dry run.
        jobs: in the order in which they run.
        warnings: what may go wrong, for the user.
    """

    dataset: str
    pending: int
    in_jobs: int
    elsewhere: int
    tasks: tuple[tuple[int, ...], ...]
    rate: float
    is_measured: bool
    snapshot: Path | None
    jobs: tuple[SubmittedJob, ...]
    warnings: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Wishes:
    """How to submit.

    Attributes:
        verify: check the shards after collecting them.
        collecting: collect (and verify, and report) after the arrays.
        taking_over: also submit what arrays on other clusters may be writing.
    """

    verify: bool = True
    collecting: bool = True
    taking_over: bool = False


@dataclass(frozen=True, slots=True)
class _Queue:
    """Where jobs are handed in and written down, for as long as the lease is ours."""

    db: Database
    dataset: Dataset
    cluster: str
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
        """Write a job down, submit it, and write its number down; this number."""
        self.check()
        name = new_name(self.dataset, kind)
        row = intend(self.db, self.dataset, kind, name, self.cluster, script, units, sha256)
        try:
            submitted = cluster.submit(script, name, options)
        except ControllerSilent:  # it may have got through: by its name it is found
            raise
        except TolDbError:
            forget(self.db, row)
            raise
        remember(self.db, row, submitted.job, submitted.cluster)
        return submitted.job


def submit(
    db: Database,
    name: str | None,
    settings: SlurmSettings,
    *,
    config: Path | None = None,
    wishes: Wishes = Wishes(),
    dry_run: bool = False,
    on_wait: Callable[[LeaseHeld], None] = lambda _held: None,
) -> SubmitReport:
    """Submit the pending units of a dataset.

    Args:
        name: of the dataset; None where there is only one.
        config: settings file that the jobs read too.
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
        return _submit(db, dataset, settings, config, limit, told, wishes, None)
    collect(db, dataset.name, wait=WAIT_SECONDS, on_wait=on_wait)
    with stop_signals() as stop:
        keeper = lease.Keeper(db, dataset, lease.here())
        acquire(keeper, stop, WAIT_SECONDS, on_wait)
        with keeper.released_at_the_end():
            with db.read() as conn:  # again: it may have been planned anew until the lease was ours
                dataset = load_dataset(conn, dataset.name)
            queue = _Queue(db, dataset, cluster.name(is_patient=True), keeper, stop)
            return _submit(db, dataset, settings, config, limit, told, wishes, queue)


def _submit(
    db: Database,
    dataset: Dataset,
    settings: SlurmSettings,
    config: Path | None,
    limit: int,
    told: list[str],
    wishes: Wishes,
    queue: _Queue | None,
) -> SubmitReport:
    """Without ``queue`` it is a dry run."""
    with db.read() as conn:
        known = submissions(conn, dataset)
        pending = sorted(pending_units(conn, dataset))
        sizes = unit_sizes(conn, dataset)
        measured = _measured(conn, dataset)
        checks = verify_tasks(_to_verify(conn, dataset), settings.verify_shards, limit)
    listing = listed(known)
    if queue is not None:
        enter_listing(db, listing)
    busy = units_in_jobs(dataset, listing)
    away = {} if wishes.taking_over else units_elsewhere(dataset, listing.elsewhere)
    away = {unit: array for unit, array in away.items() if unit in pending and unit not in busy}
    rate = settings.rate or measured or DEFAULT_RATE
    wall = wall_seconds(settings.time)
    minutes = settings.task_minutes or wall / 120  # half of the wall time: a rate is an estimate
    left = [unit for unit in pending if unit not in busy and unit not in away]
    tasks = tasks_of(left, sizes, rate * settings.cpus * minutes * 60, settings.cpus)
    told = told + _too_long(tasks, sizes, rate, settings, wall) + _left_out(away)
    live = [submission for submission in listing.live if submission.kind == "array"]
    order = order_path(dataset.output_root) if checks > 1 else None
    arrays = arrays_of(len(tasks), limit)
    work = Work(dataset, settings, db.path.absolute(), config, tasks, arrays, live, order, checks)
    follows = wishes.collecting and bool(tasks or _lacks_collect(listing))
    after = followers(work, verify=wishes.verify) if follows else []
    if queue is None:
        snapshot, made = None, _scripts_only(work, after)
    else:
        snapshot, made = _hand_over(queue, work, after, listing, sizes)
    return SubmitReport(
        dataset=dataset.name,
        pending=len(pending),
        in_jobs=sum(unit in busy for unit in pending),
        elsewhere=len(away),
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


def _to_verify(conn: sa.Connection, dataset: Dataset) -> int:
    """Shards that will be complete and unverified when all that is pending is written."""
    sql = "SELECT count(*) FROM shard WHERE dataset_id = ? AND state <> ?"
    return int(scalar(conn, sql, (dataset.id, ShardState.VERIFIED.value)))


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


def _left_out(away: Mapping[int, Submission]) -> list[str]:
    if not away:
        return []
    arrays = {array.id: array for array in away.values()}
    return [
        f"{len(away)} work units are left out: array {told_jobs(list(arrays.values()))} may be writing them, and "
        "cannot be asked from here. Submit or cancel there; where it is over, --take-over submits them here"
    ]


def _lacks_collect(listing: Listing) -> bool:
    """Whether arrays are in the queue that nobody will collect."""
    kinds = {submission.kind for submission in listing.live}
    return "array" in kinds and "collect" not in kinds


def _scripts_only(work: Work, after: Sequence[Follower]) -> list[SubmittedJob]:
    path = snapshot_path(work.dataset.output_root, "SHA256")
    arrays = [SubmittedJob("array", None, a.tasks, array_script(work, a, path)) for a in work.arrays]
    return arrays + [SubmittedJob(each.kind, None, each.tasks, each.script) for each in after]


def _hand_over(
    queue: _Queue, work: Work, after: Sequence[Follower], listing: Listing, sizes: Mapping[int, int]
) -> tuple[Path | None, list[SubmittedJob]]:
    """Write the snapshot and call sbatch; each job is written down before it is submitted."""
    _make_folders(work)
    if not listing.jobs and not listing.elsewhere:
        for old in orders(work.dataset.output_root):
            old.unlink(missing_ok=True)
    made: list[SubmittedJob] = []
    before = [array.job for array in work.live]
    path: Path | None = None
    if work.tasks:
        snapshot = write_snapshot(
            queue.db, work.dataset, work.tasks, sizes, check=queue.stop.check, between_parts=queue.check
        )
        path = snapshot.path
        for array in work.arrays:
            script = array_script(work, array, path)
            units = [unit for task in work.tasks[array.offset : array.offset + array.tasks] for unit in task]
            job = queue.add("array", script, units=units, sha256=snapshot.sha256)
            made.append(SubmittedJob("array", job, array.tasks, script))
            before.append(job)
    if work.order is not None and any(each.tasks > 1 for each in after):
        Order(work.order, work.dataset.uuid, work.verify_tasks).write()
    for each in after:
        waits = (f"--dependency=afterany:{':'.join(before)}", "--kill-on-invalid-dep=yes")
        job = queue.add(each.kind, each.script, waits)
        made.append(SubmittedJob(each.kind, job, each.tasks, each.script))
        before = [job]
    _remove_old(work.dataset.output_root, listing, {path.stem} if path is not None else set())
    return path, made


def _make_folders(work: Work) -> None:
    for name in (LOGS, FOLDER):
        folder = work.dataset.output_root / name
        try:
            folder.mkdir(exist_ok=True)
        except OSError as err:
            raise cannot_write(folder, err) from err


def _remove_old(output_root: Path, listing: Listing, new: Collection[str]) -> None:
    """Remove the snapshots that no job needs any more."""
    waiting = (*listing.live, *listing.elsewhere)
    remove_old(output_root, {s.sha256 for s in waiting if s.sha256} | snapshots_of_orders(output_root) | set(new))
