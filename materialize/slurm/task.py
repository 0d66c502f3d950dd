"""What a task of an array runs: its units from a copy of the snapshot, into shards and receipts; or its checks.

The database is not opened, whatever the environment names: the copy of the snapshot is all that is read.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from materialize import cluster
from materialize.detached import write_receipts
from materialize.pool import RunReport
from materialize.reconcile import Findings
from materialize.slurm.node_copy import copied, local_folder
from materialize.slurm.snapshot import read_parts, read_tasks
from materialize.slurm.verification import is_order, read_order
from materialize.stop import Stop, stop_signals
from materialize.verify.check import GoingOn, VerifyReport
from materialize.verify.detached import leave_results
from materialize.verify.shard import Level
from tol_db.db.engine import open_database
from tol_db.errors import InputError, Interrupted, TolDbError, UsageError
from tol_db.settings import IMAGE_TIMEOUT

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Here:
    """Which task of which array this process is, from what SLURM sets (sbatch(1)).

    Attributes:
        job: ``12_3``, or ``12`` where it is no array; None outside of SLURM.
        number: SLURM_ARRAY_TASK_ID, or None.
        restarts: how often it was requeued.
    """

    job: str | None
    number: int | None
    restarts: int

    @classmethod
    def of(cls, environ: dict[str, str] | os._Environ[str] = os.environ) -> Here:
        array, number = environ.get("SLURM_ARRAY_JOB_ID"), environ.get("SLURM_ARRAY_TASK_ID", "")
        restarts = environ.get("SLURM_RESTART_COUNT", "")
        is_task = array is not None and number.isdigit()
        return cls(
            job=f"{array}_{number}" if is_task else environ.get("SLURM_JOB_ID"),
            number=int(number) if is_task else None,
            restarts=int(restarts) if restarts.isdigit() else 0,
        )

    def told(self) -> str:
        """``task 12_3, restart 1``."""
        again = f", restart {self.restarts}" if self.restarts else ""
        return f"task {self.job or 'by hand'}{again}"


def run_task(
    snapshot: Path,
    *,
    workers: int,
    dataset: str | None = None,
    units: range | None = None,
    units_per_task: int = 1,
    offset: int = 0,
    requeues: int = 0,
    local_dir: Path | None = None,
    image_timeout: float = IMAGE_TIMEOUT,
    say: Callable[[str], None] = lambda _text: None,
    on_findings: Callable[[Findings], None] = lambda _findings: None,
) -> RunReport:
    """Write the units of a task that its receipts do not tell of.

    Args:
        snapshot: of `tol-db slurm submit`, which tells who takes which units; or a copy of a database.
        workers: processes.
        dataset: where a copy of a database has several.
        units: only these; else those of the task.
        units_per_task: of a copy of a database, which knows no tasks: task n takes the n-th so many units.
        offset: what is added to SLURM_ARRAY_TASK_ID.
        requeues: how often this task may ask to be started again when its time is over.
        local_dir: see :func:`materialize.slurm.node_copy.local_folder`.
        image_timeout, on_findings: as :func:`materialize.detached.write_receipts`.
        say: called with lines for the log.

    Raises:
        UsageError: no units are named, by nothing.
        InputError: the snapshot knows no such task, or the copy is another file.
        Interrupted: by a signal; what is complete is kept. The task may have been requeued.
        RecipeChanged, OutputNotMounted, CannotWrite, InputMissing: as :func:`write_receipts` and ``copied``.
    """

    def work(stop: Stop, here: Here) -> RunReport:
        asked = _Asked(here, units, units_per_task, offset, "units")
        with _rows(snapshot, local_folder(local_dir), asked, stop) as (copy, chosen):
            say(f"{here.told()}: {len(chosen)} work units, {workers} workers")
            return write_receipts(
                open_database(copy, readonly=True),
                dataset,
                workers=workers,
                image_timeout=image_timeout,
                units=chosen,
                on_findings=on_findings,
                stop=stop,
            )

    return _as_task(work, requeues, "`tol-db slurm submit` submits what is left")


def verify_task(
    source: Path,
    *,
    workers: int,
    dataset: str | None = None,
    deep: bool = False,
    shards: range | None = None,
    shards_per_task: int = 1,
    offset: int = 0,
    requeues: int = 0,
    local_dir: Path | None = None,
    say: Callable[[str], None] = lambda _text: None,
    on_going_on: Callable[[GoingOn], None] = lambda _going_on: None,
) -> VerifyReport:
    """Check the shards of a task and leave a result of each.

    Args:
        source: the order of `tol-db slurm submit`, a snapshot, or a copy of a database.
        deep: as :func:`materialize.verify.check.verify`.
        shards: only these; else those of the task.
        shards_per_task: as ``units_per_task`` of :func:`run_task`.
        workers, dataset, offset, requeues, local_dir, say: as :func:`run_task`.
        on_going_on: as :func:`materialize.verify.detached.leave_results`.

    Raises:
        UsageError, InputError, Interrupted, OutputNotMounted, CannotWrite, InputMissing: as :func:`run_task`.
    """

    def work(stop: Stop, here: Here) -> VerifyReport:
        order = read_order(source) if is_order(source) else None
        asked = _Asked(here, shards, shards_per_task, offset, "shards", order.tasks if order is not None else 0)
        snapshot = order.snapshot if order is not None else source
        with _rows(snapshot, local_folder(local_dir), asked, stop) as (copy, chosen):
            say(f"{here.told()}: {len(chosen)} shards, {workers} workers")
            if not chosen:
                return VerifyReport((Level.DEEP if deep else Level.DEFAULT).value)
            return leave_results(
                open_database(copy, readonly=True),
                dataset,
                workers=workers,
                deep=deep,
                shards=chosen,
                on_going_on=on_going_on,
                stop=stop,
            )

    return _as_task(work, requeues, "started again, it goes on where it was")


def _as_task(work: Callable[[Stop, Here], T], requeues: int, hint: str) -> T:
    """Run something as a task; where the time limit ends it, ask for another start."""
    here = Here.of()
    with stop_signals() as stop:
        try:
            return work(stop, here)
        except Interrupted as err:
            # the copy is gone by now: what SLURM sends next ends this process at once
            told, is_requeued = _after(stop, here, requeues, str(err))
            raise Interrupted(told, hint=None if is_requeued else hint) from None


@dataclass(frozen=True, slots=True)
class _Asked:
    """What a task is to do.

    Attributes:
        numbers: of units or shards, where they were named.
        per_task: how many of them a task of a copy of a database takes.
        offset: what is added to the number of the task.
        what: ``units`` or ``shards``.
        tasks: of an order, whose last tasks may have nothing to do.
    """

    here: Here
    numbers: range | None
    per_task: int
    offset: int
    what: str
    tasks: int = 0


@contextmanager
def _rows(snapshot: Path, folder: Path, asked: _Asked, stop: Stop) -> Iterator[tuple[Path, range | frozenset[int]]]:
    """A copy of the rows of a task on this node, and the numbers of its units or shards."""
    with copied(snapshot, folder, stop.check) as copy:
        tasks, parts = read_tasks(copy), read_parts(copy)
        chosen = asked.numbers if asked.numbers is not None else _numbers(tasks, asked)
        if not parts or not chosen:
            yield copy, chosen
            return
        part = _part_of(chosen, tasks or {}, parts, snapshot)
    with copied(part, folder, stop.check) as copy:
        yield copy, chosen


def _numbers(tasks: dict[int, tuple[int, ...]] | None, asked: _Asked) -> range | frozenset[int]:
    if asked.here.number is None:
        raise UsageError(
            "this is no task of an array: SLURM_ARRAY_TASK_ID is not set", hint=f"name --{asked.what} A-B"
        )
    number = asked.offset + asked.here.number
    if tasks is None:
        return range(number * asked.per_task, (number + 1) * asked.per_task)
    if number not in tasks:
        if number < asked.tasks:
            return range(0)
        raise InputError(
            f"the snapshot has {len(tasks)} tasks, and none with number {number}",
            hint="the array and its snapshot do not belong together: run `tol-db slurm submit` again",
        )
    return frozenset(tasks[number])


def _part_of(
    chosen: Collection[int], tasks: dict[int, tuple[int, ...]], parts: dict[int, str], snapshot: Path
) -> Path:
    """The one part in which these units or shards are."""
    found = {
        parts[task] for task, numbers in tasks.items() if task in parts and not set(numbers).isdisjoint(chosen)
    }
    if len(found) != 1:
        raise UsageError(
            f"{snapshot}: its rows are cut into parts, and what was named lies in {len(found)} of them",
            hint="name those of one task, or use a copy that `tol-db backup` made",
        )
    return snapshot.with_name(f"{found.pop()}.sqlite")


def _after(stop: Stop, here: Here, requeues: int, message: str) -> tuple[str, bool]:
    """Ask for another start where the time limit ended this one; what is told in any case, and whether it comes."""
    if stop.number != signal.SIGUSR1 or here.job is None:
        return message, False
    if here.restarts >= requeues:
        return f"{message}; this was start {here.restarts + 1}, and --requeues is {requeues}", False
    try:
        cluster.requeue(here.job)
    except TolDbError as err:
        return f"{message}; it could not be requeued: {err}", False
    return f"{message}; requeued", True
