"""What a task of an array runs: its units from a copy of the snapshot, into shards and receipts alone."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from materialize import cluster
from materialize.detached import write_receipts
from materialize.pool import RunReport
from materialize.reconcile import Findings
from materialize.slurm.node_copy import copied, local_folder
from materialize.slurm.snapshot import read_tasks
from materialize.stop import Stop, stop_signals
from tol_db.db.engine import open_database
from tol_db.errors import InputError, Interrupted, TolDbError, UsageError
from tol_db.settings import IMAGE_TIMEOUT


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

    The database is not opened, whatever the environment names: the copy of the snapshot is all that is read.

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
    here = Here.of()
    with stop_signals() as stop:
        try:
            with copied(snapshot, local_folder(local_dir), stop.check) as copy:
                chosen = units if units is not None else _units(copy, here, units_per_task, offset)
                again = f", restart {here.restarts}" if here.restarts else ""
                say(f"task {here.job or 'by hand'}{again}: {len(chosen)} work units, {workers} workers")
                return write_receipts(
                    open_database(copy, readonly=True),
                    dataset,
                    workers=workers,
                    image_timeout=image_timeout,
                    units=chosen,
                    on_findings=on_findings,
                    stop=stop,
                )
        except Interrupted as err:
            # the copy is gone by now: what SLURM sends next ends this process at once
            told, is_requeued = _after(stop, here, requeues, str(err))
            hint = None if is_requeued else "`tol-db slurm submit` submits what is left"
            raise Interrupted(told, hint=hint) from None


def _units(copy: Path, here: Here, units_per_task: int, offset: int) -> range | frozenset[int]:
    if here.number is None:
        raise UsageError("this is no task of an array: SLURM_ARRAY_TASK_ID is not set", hint="name --units A-B")
    number = offset + here.number
    tasks = read_tasks(copy)
    if tasks is None:
        return range(number * units_per_task, (number + 1) * units_per_task)
    if number not in tasks:
        raise InputError(
            f"the snapshot has {len(tasks)} tasks, and none with number {number}",
            hint="the array and its snapshot do not belong together: run `tol-db slurm submit` again",
        )
    return frozenset(tasks[number])


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
