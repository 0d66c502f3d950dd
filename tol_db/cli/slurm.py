"""``tol-db slurm submit | status | cancel | task``."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from tol_db.cli.findings import few, print_findings
from tol_db.cli.options import NumberRange, as_json, db_settings, opened
from tol_db.errors import LeaseHeld, TolDbError, UsageError
from tol_db.settings import Settings

if TYPE_CHECKING:
    from materialize.slurm.submit import SubmitReport

dataset_option = click.option("--dataset", "name", help="Which dataset.  [the only one]")
json_option = click.option("--json", "json_", is_flag=True, help="JSON instead of text.")


@click.group()
def slurm() -> None:
    """Write a dataset on a cluster: submit array jobs, see where they stand, cancel them."""


@slurm.command()
@dataset_option
@click.option("--account", help="Whom the jobs are charged to.")
@click.option("--partition", help="Where they run.")
@click.option("--time", metavar="HH:MM:SS", help="Wall time of each job.  [default: 08:00:00]")
@click.option("--cpus", type=click.IntRange(1, 1024), help="Cores of an array task.  [default: 8]")
@click.option("--mem", metavar="SIZE", help="Memory of each job.  [default: 8G]")
@click.option(
    "--task-minutes",
    type=click.FloatRange(0, min_open=True),
    metavar="M",
    help="How long a task is meant to take.  [default: half of --time]",
)
@click.option(
    "--rate",
    type=click.FloatRange(0, min_open=True),
    metavar="IMAGES_PER_SECOND_PER_CORE",
    help="How fast a core is.  [default: as earlier attempts, else 40]",
)
@click.option("--throttle", type=click.IntRange(1), metavar="N", help="At most so many tasks at once.")
@click.option(
    "--requeues",
    type=click.IntRange(0),
    metavar="N",
    help="How often a task whose time is over asks to be started again.  [default: 3]",
)
@click.option("--setup", metavar="LINES", help="Shell lines before tol-db: module load …, conda activate ….")
@click.option(
    "--sbatch-option", "sbatch_options", multiple=True, metavar="OPTION", help="For all jobs: --qos=x (repeat)."
)
@click.option(
    "--local-dir",
    metavar="DIR",
    help="Folder on the disk of each node.  [default: $SLURM_TMPDIR, else $TMPDIR, else /tmp]",
)
@click.option(
    "--verify-shards",
    type=click.IntRange(1),
    metavar="N",
    help="Shards that one task checks afterwards; where there are no more, one job does.  [default: 500]",
)
@click.option("--no-verify", is_flag=True, help="Do not check the shards afterwards.")
@click.option("--no-collect", is_flag=True, help="Only the arrays; `tol-db collect` later, by hand.")
@click.option(
    "--take-over", is_flag=True, help="Also submit what arrays on another cluster have not written; they are over."
)
@click.option("--dry-run", is_flag=True, help="Print the scripts; change nothing.")
@json_option
@db_settings
def submit(
    settings: Settings,
    /,
    name: str | None,
    no_verify: bool,
    no_collect: bool,
    take_over: bool,
    dry_run: bool,
    json_: bool,
    **given: Any,
) -> None:
    """Submit what is pending as array jobs, and after them collect, verify and report.

    Run it again at any time: what is written is entered first, and what jobs in the queue will write is not
    submitted twice; what arrays on another cluster may be writing is left out, too. Each array task copies a
    snapshot of its rows to its node and writes shards and receipts; none of them opens the database. Options that
    are not given come from TOL_DB_SLURM_… in the environment, then from [slurm] in tol-db.toml.

    \b
    Examples:
      tol-db slurm submit --dataset tol --account mylab --time 12:00:00 --cpus 16 --mem 16G
      tol-db slurm submit --dataset tol --throttle 20 --sbatch-option=--qos=long
      tol-db slurm submit --dataset tol --dry-run
    """
    from materialize.slurm.submit import Wishes
    from materialize.slurm.submit import submit as run

    wished = {key: value for key, value in given.items() if value not in (None, ())}
    report = run(
        opened(settings, readonly=dry_run),
        name,
        replace(settings.slurm, **wished),
        config=settings.config,
        wishes=Wishes(verify=not no_verify, collecting=not no_collect, taking_over=take_over),
        dry_run=dry_run,
        on_wait=_print_waiting,
    )
    for warning in report.warnings:
        click.echo(f"warning: {warning}", err=True)
    click.echo(as_json(report)) if json_ else _print_submitted(report, dry_run)


def _print_waiting(held: LeaseHeld) -> None:
    click.echo(f"waiting: {held}", err=True)


def _print_submitted(report: SubmitReport, dry_run: bool) -> None:
    if dry_run:
        for job in report.jobs:
            click.echo(f"# ---- {job.kind}\n{job.script}")
    if report.in_jobs:
        click.echo(f"{report.in_jobs} work units are in jobs already")
    if not report.pending:
        click.echo("nothing is pending")
    elif not report.tasks:
        click.echo("nothing to submit")
    else:
        units = sum(map(len, report.tasks))
        source = "as measured" if report.is_measured else "as told or assumed"
        would = "would be " if dry_run else ""
        click.echo(
            f"dataset {report.dataset}: {units} work units in {len(report.tasks)} tasks {would}submitted "
            f"({report.rate:.3g} images/s and core, {source})"
        )
    for job in () if dry_run else report.jobs:
        tasks = f", {job.tasks} tasks" if job.kind == "array" or job.tasks > 1 else ""
        click.echo(f"{job.kind} job {job.job}{tasks}")
    if report.jobs and not dry_run:
        click.echo(f"next: tol-db slurm status --dataset {report.dataset}")


@slurm.command()
@dataset_option
@click.option(
    "--log-lines",
    type=click.IntRange(0),
    default=5,
    show_default=True,
    help="Last lines of each failed task's log.",
)
@json_option
@db_settings
def status(settings: Settings, name: str | None, log_lines: int, json_: bool) -> None:
    """Say where the jobs of a dataset stand: units and shards, jobs, failed tasks with their logs, what is next.

    Where SLURM does not answer, what the database and the folder of the receipts tell is told all the same.

    \b
    Examples:
      tol-db slurm status --dataset tol
      tol-db slurm status --dataset tol --log-lines 20
    """
    from materialize.slurm.status import status as look
    from tol_db.cli.slurm_text import slurm_text

    found = look(opened(settings, readonly=True), name, log_lines=log_lines)
    click.echo(as_json(found) if json_ else slurm_text(found))


@slurm.command()
@dataset_option
@click.option("--yes", is_flag=True, help="Do not ask.")
@db_settings
def cancel(settings: Settings, name: str | None, yes: bool) -> None:
    """End all jobs of a dataset that are in the queue or running; what is complete is kept.

    Those of the cluster of this host: a number of another one would be a stranger's job here. Exit code 1 where
    all that is left is on another cluster.

    \b
    Example:
      tol-db slurm cancel --dataset tol --yes
    """
    from materialize.slurm.cancel import cancel as run
    from materialize.slurm.jobs import told_jobs

    def confirm(ids: list[str]) -> bool:
        if yes:
            return True
        if not sys.stdin.isatty():
            raise UsageError(f"jobs {few(list(map(int, ids)))} would be ended", hint="say so with --yes")
        return click.confirm(f"end jobs {', '.join(ids)}?")

    done = run(opened(settings), name, confirm)
    if done.jobs:
        click.echo(f"ended jobs {', '.join(done.jobs)}")
    else:
        click.echo("no job was ended")
    if done.elsewhere:
        left = f"job {told_jobs(done.elsewhere)} may be in the queue there; this is cluster {done.cluster}"
        hint = "run `tol-db slurm cancel` on a login node of that cluster"
        if not done.jobs:
            raise TolDbError(left, hint=hint)
        click.echo(f"left alone: {left}: {hint}", err=True)
    if done.jobs:
        click.echo("next: tol-db collect, then tol-db slurm submit for what is left")


_offset = click.option(
    "--offset", type=click.IntRange(0), default=0, show_default=True, help="Added to SLURM_ARRAY_TASK_ID."
)
_requeues = click.option(
    "--requeues",
    type=click.IntRange(0),
    default=0,
    show_default=True,
    metavar="N",
    help="Ask to be started again at the time limit, at most so many times.",
)


@slurm.command()
@click.argument("snapshot", metavar="SNAPSHOT", type=click.Path(path_type=Path))
@click.option("--dataset", "name", help="Of a copy of a database with several.  [the only one]")
@click.option("--units", type=NumberRange(), help="These work units.  [default: those of this task]")
@click.option(
    "--units-per-task",
    type=click.IntRange(1),
    default=1,
    show_default=True,
    metavar="N",
    help="Of a copy of a database: task T takes units T×N to T×N+N-1.",
)
@_offset
@_requeues
@click.option("--workers", type=click.IntRange(1, 1024), help="Processes.  [default: $SLURM_CPUS_PER_TASK]")
@click.option(
    "--local-dir",
    type=click.Path(path_type=Path),
    help="Folder on this node's disk.  [default: $SLURM_TMPDIR, else $TMPDIR, else /tmp]",
)
@json_option
@db_settings
def task(settings: Settings, /, snapshot: Path, name: str | None, json_: bool, **given: Any) -> None:
    """Run one task of an array: what slurm/materialize.sbatch runs on a node.

    SNAPSHOT is the file that `tol-db slurm submit` made, or a copy by `tol-db backup`. It is copied to the
    node and checked; shards and receipts are written, and no database is opened. At the time limit (SIGUSR1)
    the task stops cleanly and has itself requeued; SIGTERM ends it. Started again, it goes on with what its
    receipts lack. `tol-db collect` enters what it wrote.

    \b
    Examples:
      tol-db slurm task /blue/lab/shards/_snapshots/mine.sqlite --requeues 3
      tol-db slurm task copy.sqlite --units 0-9 --workers 16 --local-dir /scratch/local
    """
    from materialize.slurm.task import run_task
    from tol_db.cli.materialize import tell
    from tol_db.settings import usable_cores

    report = run_task(
        snapshot,
        workers=given.pop("workers") or usable_cores(),
        dataset=name,
        image_timeout=settings.image_timeout,
        say=lambda text: click.echo(text, err=True),
        on_findings=print_findings,
        **given,
    )
    tell(report, json_)


@slurm.command("verify-task")
@click.argument("source", metavar="SNAPSHOT", type=click.Path(path_type=Path))
@click.option("--dataset", "name", help="Of a copy of a database with several.  [the only one]")
@click.option("--deep", is_flag=True, help="Also compare every byte and text, and decode every picture.")
@click.option("--shards", type=NumberRange(), help="These shard numbers.  [default: those of this task]")
@click.option(
    "--shards-per-task",
    type=click.IntRange(1),
    default=100,
    show_default=True,
    metavar="N",
    help="Of a copy of a database: task T checks shards T×N to T×N+N-1.",
)
@_offset
@_requeues
@click.option("--workers", type=click.IntRange(1, 1024), help="Processes.  [default: $SLURM_CPUS_PER_TASK]")
@click.option(
    "--local-dir",
    type=click.Path(path_type=Path),
    help="Folder on this node's disk.  [default: $SLURM_TMPDIR, else $TMPDIR, else /tmp]",
)
@json_option
@db_settings
def verify_task(settings: Settings, /, source: Path, name: str | None, json_: bool, **given: Any) -> None:
    """Check the shards of one task of an array: what slurm/verify.sbatch runs on a node.

    SNAPSHOT is the order verify-….json that `tol-db slurm submit` left, or a copy by `tol-db backup`. It is copied
    to the node; a result per shard is left under the output root, and no database is opened. `tol-db collect`
    enters the results. Started again, it goes on where it was. Exit code 1 when something is wrong.

    \b
    Examples:
      tol-db slurm verify-task /blue/lab/shards/_snapshots/verify-0f3a.json --requeues 3
      tol-db slurm verify-task copy.sqlite --shards 0-99 --deep --workers 16
    """
    from materialize.slurm.task import verify_task as run
    from tol_db.cli.verify import failure, print_going_on, print_report
    from tol_db.settings import usable_cores

    report = run(
        source,
        workers=given.pop("workers") or usable_cores(),
        dataset=name,
        say=lambda text: click.echo(text, err=True),
        on_going_on=print_going_on,
        **given,
    )
    click.echo(as_json(report)) if json_ else print_report(report)
    if not report.is_good:
        raise failure(report, is_entered=False)
