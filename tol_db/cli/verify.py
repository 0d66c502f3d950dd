"""``tol-db verify``: of a dataset of ours, or of a folder of shards that somebody else made."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from tol_db.cli.findings import few
from tol_db.cli.options import NumberRange, as_json, db_settings, opened
from tol_db.errors import TolDbError, UsageError
from tol_db.progress import amount, duration
from tol_db.settings import Settings

if TYPE_CHECKING:
    from materialize.verify.check import GoingOn, VerifyReport
    from tol_db.db.engine import Database

LINES = 20
"""Findings that are told as text; JSON has them all."""


@click.command()
@click.argument("folder", metavar="[DIR]", required=False, type=click.Path(path_type=Path))
@click.option("--dataset", "name", help="Which dataset.  [the only one]")
@click.option("--deep", is_flag=True, help="Also compare every byte and text, and decode every picture.")
@click.option("--repair", "repairing", is_flag=True, help="Put bad and missing shards back to planned.")
@click.option("--shards", type=NumberRange(), help="Only these shard numbers.")
@click.option("--workers", type=click.IntRange(1, 1024), help="Processes.  [default: $TOL_DB_WORKERS, else cores]")
@click.option("--restart", is_flag=True, help="Begin anew instead of going on with an unfinished verification.")
@click.option("--results-only", is_flag=True, help="Only read the database (or a copy); leave a result per shard.")
@click.option("--collect-results", is_flag=True, help="Enter what --results-only has left; nothing is checked.")
@click.option("--no-decode", is_flag=True, help="Of a DIR: do not decode the pictures.")
@click.option(
    "--log",
    type=click.Path(path_type=Path),
    help="Of a DIR: append the result of each shard (JSON lines); shards that have one there are not read again.",
)
@click.option("--json", "json_", is_flag=True, help="JSON instead of text.")
@db_settings
def verify(
    settings: Settings,
    folder: Path | None,
    name: str | None,
    deep: bool,
    repairing: bool,
    shards: range | None,
    workers: int | None,
    restart: bool,
    results_only: bool,
    collect_results: bool,
    no_decode: bool,
    log: Path | None,
    json_: bool,
) -> None:
    """Check that the shards of a dataset are what the database says, or check the shards in a folder DIR.

    Of a dataset: each complete shard must be there, of the recorded size, a whole archive, with the planned
    samples in the planned order. With --deep also every byte, text and picture. A bad or missing shard is
    pending again: `tol-db materialize` sets its file aside and writes it anew. --repair sets the file aside at
    once, also of shards that were found bad earlier. Nothing is ever deleted.

    Of a dataset by many jobs at once: each runs --results-only over a range of --shards, with the database or a
    copy that `tol-db backup` made, and leaves small files under the output root; --collect-results (or
    `tol-db collect`) enters them, once or more often, where the shard's file is still the one that was checked.

    Of a DIR with shards of whatever origin (no database is needed): truncated and empty archives, incomplete
    samples, keys that come twice, names that lead elsewhere, pictures that cannot be decoded.

    Interrupted or killed, it goes on where it was when it is called again with the same level and --shards,
    or of a DIR with the same --log. Exit code 1 when something is wrong.

    \b
    Examples:
      tol-db verify --dataset tol
      tol-db verify --dataset tol --deep --workers 16
      tol-db verify --dataset tol --repair; tol-db materialize --dataset tol
      tol-db --db copy.sqlite verify --dataset tol --results-only --shards 0-499
      tol-db verify --dataset tol --collect-results
      tol-db verify /data/shards-of-others --log shards-of-others.jsonl
    """
    if folder is not None:
        _refuse("does not go with DIR", dataset=name is not None, repair=repairing, restart=restart)
        _refuse("does not go with --no-decode", deep=deep and no_decode)
        _refuse("does not go with DIR", shards=shards is not None)
        _refuse("does not go with DIR", results_only=results_only, collect_results=collect_results)
        from tol_db.cli.verify_folder import verify_folder

        verify_folder(settings, folder, workers=workers, decode=not no_decode, log=log, json_=json_)
        return
    _refuse("is for a DIR, not for a dataset", no_decode=no_decode, log=log is not None)
    if collect_results:
        _refuse("does not go with --collect-results", results_only=results_only, repair=repairing, deep=deep)
        _refuse("does not go with --collect-results", restart=restart, shards=shards is not None)
        _refuse("does not go with --collect-results", workers=workers is not None)
        _collect(opened(settings), name, json_)
        return
    _refuse("writes the database, and --results-only only reads it", repair=repairing and results_only)
    workers = workers or settings.workers
    if results_only:
        from materialize.verify.detached import leave_results

        report = leave_results(
            opened(settings, readonly=True),
            name,
            workers=workers,
            deep=deep,
            shards=shards,
            restart=restart,
            on_going_on=print_going_on,
        )
    else:
        from materialize.verify.check import verify as run

        report = run(
            opened(settings),
            name,
            workers=workers,
            deep=deep,
            repairing=repairing,
            shards=shards,
            restart=restart,
            on_going_on=print_going_on,
        )
    click.echo(as_json(report)) if json_ else print_report(report)
    if results_only and report.shards and not json_:
        click.echo("nothing was entered yet: `tol-db verify --collect-results` enters the results")
    if not report.is_good:
        raise failure(report, is_entered=not results_only)


def _collect(db: Database, name: str | None, json_: bool) -> None:
    from materialize.verify.enter import collect_results
    from tol_db.cli.verify_results import failure_of, print_entered, print_waiting

    entered = collect_results(db, name, on_wait=print_waiting)
    click.echo(as_json(entered)) if json_ else print_entered(entered)
    if not entered.is_good:
        raise failure_of(entered)


def _refuse(why: str, **given: bool) -> None:
    for option, is_given in given.items():
        if is_given:
            raise UsageError(f"--{option.replace('_', '-')} {why}", hint="see `tol-db verify --help`")


def print_going_on(going_on: GoingOn) -> None:
    click.echo(
        f"going on with the verification begun {going_on.begun_at}: "
        f"{going_on.checked:,} of {going_on.shards:,} shards were checked",
        err=True,
    )


def print_report(report: VerifyReport) -> None:
    rate = report.bytes / report.seconds if report.seconds else 0.0
    told = f"{amount(report.bytes, 'bytes')} in {duration(report.seconds)}, {amount(rate, 'bytes')}/s"
    click.echo(f"checked {report.shards:,} shards ({report.level} level; {told}): {report.good:,} are good")
    lines = [
        f"  {bad.verdict}: shard {bad.shard}, {bad.path}: {finding}"
        for bad in report.bad
        for finding in bad.findings
    ]
    lines += [
        f"  unreadable: shard {x.shard}, {x.path}: {x.why}; nothing is known of it" for x in report.unreadable
    ]
    lines += [f"  {x.state} since before: shard {x.shard}, {x.path}: {x.detail}" for x in report.bad_before]
    found = sum(bad.found for bad in report.bad) + len(report.unreadable) + len(report.bad_before)
    for line in lines[:LINES]:
        click.echo(line)
    if found > len(lines[:LINES]):
        click.echo(f"  … and {found - len(lines[:LINES]):,} more findings (--json has more)")
    _print_others(report)


def _print_others(report: VerifyReport) -> None:
    for state in ("planned", "stale"):
        numbers = [shard.shard for shard in report.not_complete if shard.state == state]
        if numbers:
            click.echo(f"not checked, {state}: {len(numbers):,} shards ({few(numbers)})")
    if report.repaired:
        click.echo(f"planned again: {len(report.repaired):,} shards ({few(report.repaired)})")
    for path in report.set_aside:
        click.echo(f"set aside: {path}")
    for path in report.strangers:
        click.echo(f"not recorded, left alone: {path}")


def failure(report: VerifyReport, *, is_entered: bool) -> TolDbError:
    missing = sum(bad.verdict == "missing" for bad in report.bad)
    counts = (
        (len(report.bad) - missing, "bad"),
        (missing, "missing"),
        (len(report.unreadable), "unreadable"),
        (len(report.bad_before), "bad or missing since before"),
    )
    told = ", ".join(f"{number:,} {what}" for number, what in counts if number)
    if report.bad and not is_entered:
        hint = "enter the results with `tol-db verify --collect-results`, then run `tol-db materialize`"
    elif report.bad or report.bad_before:
        hint = "run `tol-db materialize`: it writes the bad and missing ones anew"
    else:
        hint = "check the disk or mount, then run the same command again"
    return TolDbError(f"shards: {told}", hint=hint)
