"""``tol-db materialize``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from tol_db.cli.findings import few, print_findings
from tol_db.cli.options import NumberRange, as_json, db_settings, opened
from tol_db.errors import TolDbError, UsageError, printed
from tol_db.progress import duration
from tol_db.settings import Settings

if TYPE_CHECKING:
    from materialize.pool import RunReport


@click.command()
@click.option("--dataset", "name", help="Which dataset.  [the only one]")
@click.option("--workers", type=click.IntRange(1, 1024), help="Processes.  [default: $TOL_DB_WORKERS, else cores]")
@click.option("--shards", type=NumberRange(), help="Only these shard numbers.")
@click.option("--units", type=NumberRange(), help="Only these work units.")
@click.option("--retry", multiple=True, metavar="OUTCOME", help="Try images with this outcome again (repeat).")
@click.option(
    "--image-timeout",
    type=click.FloatRange(0, min_open=True),
    metavar="SECONDS",
    help="Give up on an image whose decoding takes longer.  [default: $TOL_DB_IMAGE_TIMEOUT, else 120]",
)
@click.option(
    "--receipts-only",
    is_flag=True,
    help="Only read the database; `tol-db collect` enters what was written, here or elsewhere.",
)
@click.option("--json", "json_", is_flag=True, help="JSON instead of text.")
@db_settings
def materialize(
    settings: Settings,
    name: str | None,
    workers: int | None,
    shards: range | None,
    units: range | None,
    retry: tuple[str, ...],
    image_timeout: float | None,
    receipts_only: bool,
    json_: bool,
) -> None:
    """Write the shards that are pending.

    Run it again after any interruption: it goes on where it was. What a crash left behind is put right
    first. Ctrl-C and SIGTERM stop it cleanly with exit code 75.

    With --receipts-only the database (or a copy of it) is only read: any number of such runs may work on a
    dataset at once, on any machine that sees its output root, and `tol-db collect` enters their shards.

    \b
    Examples:
      tol-db materialize --dataset tol --workers 16
      tol-db materialize --dataset tol --units 0-9
      tol-db materialize --dataset tol --retry decode_error
      tol-db --db snapshot.sqlite materialize --dataset tol --receipts-only --units 10-19
    """
    from materialize.detached import write_receipts
    from materialize.run import materialize as run

    if receipts_only and retry:
        raise UsageError("--retry changes the database, and --receipts-only only reads it")
    workers, image_timeout = workers or settings.workers, image_timeout or settings.image_timeout
    if receipts_only:
        report = write_receipts(
            opened(settings, readonly=True),
            name,
            workers=workers,
            image_timeout=image_timeout,
            shards=shards,
            units=units,
            on_findings=print_findings,
        )
    else:
        report = run(
            opened(settings),
            name,
            workers=workers,
            image_timeout=image_timeout,
            shards=shards,
            units=units,
            retry=retry,
            on_findings=print_findings,
        )
    tell(report, json_)


def tell(report: RunReport, json_: bool) -> None:
    """Print what a run did; units that failed become the error that the process exits with."""
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


def _print_report(report: RunReport) -> None:
    if report.reopened:
        click.echo(f"{len(report.reopened)} shards opened again: {few(report.reopened)}")
    if not report.units:
        click.echo("nothing is pending")
        return
    rate = report.images / report.seconds if report.seconds else 0.0
    click.echo(
        f"wrote {report.shards} shards with {report.images:,} samples in {duration(report.seconds)} ({rate:,.1f}/s)"
    )
    for outcome, number in sorted(report.left_out.items()):
        click.echo(f"  left out: {outcome} {number:,}")
    for key, how in sorted(report.convicted.items()):
        click.echo(f"  image {key}: {how}")
    for failure in report.failures:
        click.echo(f"  failed: work unit {failure.unit}: {printed(failure.message)}", err=True)
