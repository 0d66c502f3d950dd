"""The state of a dataset on a cluster, as text."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from materialize.slurm.arrays import told_numbers
from materialize.slurm.jobs import NO_NUMBER
from tol_db.errors import printed

if TYPE_CHECKING:
    from materialize.slurm.status import FailedTask, SlurmStatus

TASKS = 5
"""Failed tasks that are told as text; JSON has them all."""


def slurm_text(status: SlurmStatus) -> str:
    """Some lines for each thing that there is."""
    return "\n".join(_lines(status))


def _lines(status: SlurmStatus) -> Iterator[str]:
    yield f"dataset {status.dataset} in {status.output_root}"
    yield "  shards: " + (", ".join(f"{number:,} {state}" for state, number in status.shards.items()) or "none")
    units = status.units
    kinds = (
        (units.done, "done"),
        (units.written, "written and to be collected"),
        (units.running, "in running tasks"),
        (units.queued, "in queued tasks"),
        (units.elsewhere, "in jobs of another cluster"),
        (units.idle, "in no job"),
        (units.unknown, "in a job or in none: SLURM is silent"),
    )
    told = ", ".join(f"{number:,} {what}" for number, what in kinds if number)
    yield f"  work units: {units.total:,}" + (f": {told}" if told else "")
    if status.silent is not None:
        yield f"  jobs: unknown: {printed(status.silent)}"
    elif not status.jobs:
        yield f"  jobs: none in the queue of cluster {status.cluster}"
    for job in status.jobs:
        tasks = [
            f"{number} {what}" for number, what in ((job.running, "running"), (job.queued, "queued")) if number
        ]
        reason = f" ({printed(job.reason)})" if job.queued and job.reason else ""
        yield f"  {job.kind} job {job.job}: {', '.join(tasks)}{reason}, submitted {job.submitted_at}"
    for other in status.elsewhere:
        number = other.job if other.job != NO_NUMBER else other.name
        yield (
            f"  {other.kind} job {number} of cluster {other.cluster}, submitted {other.submitted_at}: "
            "it may be over, and cannot be asked from here"
        )
    for task in status.failed[:TASKS]:
        yield from _failed(task)
    if len(status.failed) > TASKS:
        yield f"  … and {len(status.failed) - TASKS} more tasks (--json)"
    for step in status.next:
        yield f"next: {step}"


def _failed(task: FailedTask) -> Iterator[str]:
    how = f" {task.state} {task.exit_code}" if task.state else ""
    yield f"  task {task.task} ended{how} without work units {told_numbers(task.units)}"
    if task.detail:
        yield f"    {printed(task.detail)}"
    yield f"    log: {task.log}" if task.tail else f"    log: none at {task.log}"
    yield from (f"    | {printed(line)}" for line in task.tail)
