"""``tol-db materialize``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from tol_db.cli.options import NumberRange, as_json, db_settings, opened
from tol_db.errors import TolDbError
from tol_db.progress import duration
from tol_db.settings import Settings

if TYPE_CHECKING:
    from materialize.pool import RunReport
    from materialize.reconcile import Findings


@click.command()
@click.option("--dataset", "name", help="Which dataset.  [the only one]")
@click.option("--workers", type=click.IntRange(1, 1024), help="Processes.  [default: $TOL_DB_WORKERS, else cores]")
@click.option("--shards", type=NumberRange(), help="Only these shard numbers.")
@click.option("--units", type=NumberRange(), help="Only these work units.")
@click.option("--retry", multiple=True, metavar="OUTCOME", help="Try images with this outcome again (repeat).")
@click.option("--json", "json_", is_flag=True, help="JSON instead of text.")
@db_settings
def materialize(
    settings: Settings,
    name: str | None,
    workers: int | None,
    shards: range | None,
    units: range | None,
    retry: tuple[str, ...],
    json_: bool,
) -> None:
    """Write the shards that are pending.

    Run it again after any interruption: it goes on where it was. What a crash left behind is put right
    first. Ctrl-C and SIGTERM stop it cleanly with exit code 75.

    \b
    Examples:
      tol-db materialize --dataset tol --workers 16
      tol-db materialize --dataset tol --units 0-9
      tol-db materialize --dataset tol --retry decode_error
    """
    from materialize.run import materialize as run

    report = run(
        opened(settings),
        name,
        workers=workers or settings.workers,
        shards=shards,
        units=units,
        retry=retry,
        on_findings=_print_findings,
    )
    click.echo(as_json(report)) if json_ else _print_report(report)
    if report.failures:
        first = report.failures[0]
        failed = TolDbError(
            f"{len(report.failures)} work units failed; the first, unit {first.unit}: {first.message}",
            hint=first.hint or "run the same command again; `tol-db report status` lists them",
        )
        codes = {failure.exit_code for failure in report.failures}
        failed.exit_code = codes.pop() if len(codes) == 1 else 1
        raise failed


def _print_findings(findings: Findings) -> None:
    def say(text: str) -> None:
        click.echo(text, err=True)

    if findings.lost:
        say(f"an earlier run ended without a word: {findings.lost} attempts marked lost")
    if findings.partials:
        say(f"removed {findings.partials} partial files of dead attempts")
    if findings.adopted:
        say(f"adopted {len(findings.adopted)} shards that were whole and only lacked their record")
    for state, numbers in (("missing", findings.missing), ("bad", findings.bad)):
        if numbers:
            say(f"{len(numbers)} recorded shards are {state} and are written anew: {_few(numbers)}")
    for path in findings.set_aside:
        say(f"set aside: {path}")
    for path in findings.foreign:
        say(f"not ours, left alone: {path}")


def _few(numbers: list[int]) -> str:
    told = ", ".join(map(str, numbers[:10]))
    return told + (" …" if len(numbers) > 10 else "")


def _print_report(report: RunReport) -> None:
    if report.reopened:
        click.echo(f"{len(report.reopened)} shards opened again: {_few(report.reopened)}")
    if not report.units:
        click.echo("nothing is pending")
        return
    rate = report.images / report.seconds if report.seconds else 0.0
    click.echo(
        f"wrote {report.shards} shards with {report.images:,} samples in {duration(report.seconds)} ({rate:,.1f}/s)"
    )
    for outcome, number in sorted(report.left_out.items()):
        click.echo(f"  left out: {outcome} {number:,}")
    for failure in report.failures:
        click.echo(f"  failed: work unit {failure.unit}: {failure.message}", err=True)
