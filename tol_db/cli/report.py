"""``tol-db report status | summary | image | audit | page | treemap``."""

from __future__ import annotations

import csv
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from tol_db.cli.options import as_json, db_settings, opened
from tol_db.errors import TolDbError, UsageError
from tol_db.settings import Settings

if TYPE_CHECKING:
    from tol_db.audit.runner import Audit, AuditResult
    from tol_db.db.engine import Database

json_option = click.option("--json", "json_", is_flag=True, help="JSON instead of text.")


@click.group()
def report() -> None:
    """Where things stand: datasets, sources, one image, audits."""


@report.command()
@click.option("--dataset", "name", help="Only this dataset.  [all]")
@click.option("--check", is_flag=True, help="Count also what takes a while at millions of images.")
@json_option
@db_settings
def status(settings: Settings, name: str | None, check: bool, json_: bool) -> None:
    """Say where each dataset stands, how fast it goes, what failed, and what to run next.

    \b
    Example:
      tol-db report status
      tol-db report status --dataset tol --check
    """
    from tol_db.report.status import status as look
    from tol_db.report.status_text import status_text
    from tol_db.report.tables import terminal_width

    found = look(opened(settings, readonly=True), name, check=check)
    click.echo(as_json(found) if json_ else status_text(found, terminal_width()))


@report.command()
@json_option
@db_settings
def summary(settings: Settings, json_: bool) -> None:
    """Count images, labels, ranks, splits, blacklists, containers and licences by source.

    \b
    Example:
      tol-db report summary
    """
    from tol_db.report.summary import summarise, summary_text
    from tol_db.report.tables import terminal_width

    found = summarise(opened(settings, readonly=True))
    click.echo(as_json(found) if json_ else summary_text(found, terminal_width()))


@report.command()
@click.argument("key", metavar="ID")
@json_option
@db_settings
def image(settings: Settings, key: str, json_: bool) -> None:
    """Tell everything about one image: where it lies, its label, its licence, and what became of it.

    ID is a TreeOfLife id, EOL's CONTENT_PAGE (or the old file name that begins with it), or a file name.

    \b
    Example:
      tol-db report image 4fc66dc8-8d28-4e78-bdb0-2db44ebd7496
      tol-db report image 4696417_6319736
    """
    from tol_db.report.image import image_text, look_up

    found = look_up(opened(settings, readonly=True), key)
    click.echo(as_json(found) if json_ else "\n\n".join(map(image_text, found)))


@report.command()
@click.argument("names", metavar="[NAME]...", nargs=-1)
@click.option("--all", "all_", is_flag=True, help="Every audit.")
@json_option
@click.option("--csv", "csv_", is_flag=True, help="The rows of one audit as CSV.")
@click.option(
    "--limit", type=click.IntRange(0), help="Rows shown of each; 0: only the count.  [20, with --csv all]"
)
@db_settings
def audit(
    settings: Settings, names: tuple[str, ...], all_: bool, json_: bool, csv_: bool, limit: int | None
) -> None:
    """Ask the database questions; without a NAME, list them. Exits 1 when one that must be empty is not.

    \b
    Example:
      tol-db report audit
      tol-db report audit images_without_file --limit 5
      tol-db report audit unplanned_images --csv > unplanned.csv
      tol-db report audit --all --limit 0
    """
    from tol_db.audit.runner import find, load

    audits = load() if all_ else [find(name) for name in dict.fromkeys(names)]
    if not audits:
        _list_audits(load(), json_)
        return
    if csv_ and (json_ or len(audits) > 1):
        raise UsageError("--csv takes one audit, and no --json", hint="name one audit, or leave out --csv")
    database = opened(settings, readonly=True)
    if csv_:
        faults = [audits[0].name] if _print_csv(database, audits[0], limit) else []
    else:
        faults = _print_audits(database, audits, 20 if limit is None else limit, json_)
    if faults:
        raise TolDbError(f"{settings.database}: must be empty and is not: {', '.join(faults)}")


def _list_audits(audits: list[Audit], json_: bool) -> None:
    if json_:
        click.echo(as_json(audits))
        return
    from tol_db.report.tables import table, terminal_width

    rows = [(audit.name, "must" if audit.must_be_empty else "", audit.answers) for audit in audits]
    click.echo(table(("audit", "empty", "answers"), rows, terminal_width()))


def _print_audits(database: Database, audits: list[Audit], limit: int, json_: bool) -> list[str]:
    """Run and print audits; the names of those that must be empty and are not."""
    from tol_db.audit.runner import run
    from tol_db.progress import track

    results = []
    with track("audits", len(audits), "audits") as tracker:
        for audit in audits:
            with database.read() as conn:
                results.append(run(conn, audit, limit))
            tracker.advance()
            if not json_:
                _print_audit(results[-1])
    if json_:
        click.echo(as_json(results))
    return [result.audit.name for result in results if result.is_fault]


def _print_audit(result: AuditResult) -> None:
    from tol_db.report.tables import indented, table, terminal_width

    fault = ", must be empty" if result.is_fault else ""
    click.echo(f"{result.audit.name}: {result.audit.title}: {result.total:,} rows{fault}")
    if result.rows:
        width = terminal_width()
        click.echo(indented(table(result.columns, result.rows, None if width is None else width - 2)))
    hidden = result.total - len(result.rows)
    if hidden and result.rows:
        click.echo(f"  … and {hidden:,} more (--limit, --csv)")


def _print_csv(database: Database, audit: Audit, limit: int | None) -> bool:
    """Stream the rows of an audit; whether they are a fault."""
    from tol_db.audit.runner import stream

    with database.read() as conn:
        answer = stream(conn, audit)
        writer = csv.writer(sys.stdout, lineterminator="\n")
        writer.writerow(answer.columns)
        total = 0
        for total, row in enumerate(answer.rows, 1):
            if limit is not None and total > limit:
                break
            writer.writerow(row)
    return total > 0 and audit.must_be_empty


@report.command()
@click.option(
    "-o", "--output", type=click.Path(path_type=Path), required=True, help="The HTML file; replaced if it is there."
)
@click.option("--dataset", "names", multiple=True, help="Only these datasets.  [all]")
@click.option(
    "--samples", type=click.IntRange(0, 40), default=8, show_default=True, help="Pictures of each kingdom."
)
@click.option("--seed", type=int, default=0, show_default=True, help="Draws the pictures.")
@click.option(
    "--audit-seconds",
    type=click.FloatRange(0),
    default=15.0,
    show_default=True,
    help="Time for all audits together; those that need more are marked.",
)
@db_settings
def page(
    settings: Settings, output: Path, names: tuple[str, ...], samples: int, seed: int, audit_seconds: float
) -> None:
    """Write one self-contained HTML page: state, outcomes, treemap, coverage, licences, audits, samples.

    It needs no network and no other file; it can be mailed, or opened from a disk years from now.

    \b
    Example:
      tol-db report page -o report.html
      tol-db report page -o report.html --dataset tol --seed 7
    """
    from tol_db.progress import amount
    from tol_db.report.page.gather import Wishes
    from tol_db.report.page.page import write_page

    wishes = Wishes(names, seed=seed, per_kingdom=samples, audit_seconds=audit_seconds)
    made = write_page(opened(settings, readonly=True), output, wishes)
    click.echo(f"{click.format_filename(output)}: {amount(made.bytes, 'bytes')}")
    if made.unreadable:
        click.echo(f"warning: {made.unreadable:,} shards could not be read for the contact sheet", err=True)


@report.command()
@click.option(
    "-o", "--output", type=click.Path(path_type=Path), required=True, help="FILE.svg, FILE.png or FILE.pdf."
)
@click.option(
    "--by", type=click.Choice(["images", "taxa"]), default="images", show_default=True, help="What areas stand for."
)
@click.option("--dataset", help="What is written in a split of this dataset.  [all images of the database]")
@click.option("--split", help="Which split of it.")
@click.option("--width", type=click.FloatRange(40, 2000), default=180, show_default=True, help="In mm.")
@click.option("--height", type=click.FloatRange(30, 2000), default=120, show_default=True, help="In mm.")
@click.option("--dpi", type=click.IntRange(50, 1200), default=300, show_default=True, help="Of a PNG.")
@db_settings
def treemap(
    settings: Settings,
    output: Path,
    by: str,
    dataset: str | None,
    split: str | None,
    width: float,
    height: float,
    dpi: int,
) -> None:
    """Write the treemap of names, kingdom to family, as a figure for papers.

    SVG needs nothing else; PNG and PDF need the extra [plots]. The same counts give the same bytes.

    \b
    Example:
      tol-db report treemap -o treemap.svg
      tol-db report treemap -o treemap.pdf --by taxa --dataset tol --split train
    """
    from tol_db.report.page.treemap_file import Figure, write_treemap

    figure = Figure(by=by, width=width, height=height, dpi=dpi, dataset=dataset, split=split)
    made = write_treemap(opened(settings, readonly=True), output, figure)
    click.echo(f"{click.format_filename(output)}: {made.of}, {made.total:,} {by}")
