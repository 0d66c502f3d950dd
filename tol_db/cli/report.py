"""``tol-db report status | summary | image | audit | duplicates | labels | licences | page | treemap``."""

from __future__ import annotations

import click

from tol_db.cli.audit import audit
from tol_db.cli.options import as_json, db_settings, opened
from tol_db.cli.report_page import page, treemap
from tol_db.errors import UsageError
from tol_db.settings import Settings

json_option = click.option("--json", "json_", is_flag=True, help="JSON instead of text.")


@click.group()
def report() -> None:
    """Where things stand: datasets, sources, one image, audits, duplicates, licences."""


report.add_command(audit)
report.add_command(page)
report.add_command(treemap)


@report.command()
@click.option("--dataset", "name", help="Only this dataset.  [all]")
@click.option("--check", is_flag=True, help="Count also what takes a while at millions of images.")
@click.option(
    "--watch", is_flag=True, help="Look again and again until all is written; Ctrl-C ends it, too. Piped: lines."
)
@click.option("--interval", type=click.FloatRange(0.1), help="With --watch: seconds between two looks.  [2]")
@json_option
@db_settings
def status(
    settings: Settings, name: str | None, check: bool, watch: bool, interval: float | None, json_: bool
) -> None:
    """Say where each dataset stands, how fast it goes, what failed, and what to run next.

    With --watch a terminal shows a bar for each split, in place; a pipe or file gets a line for each split whenever
    something has changed, and with --json the whole status on a line.

    \b
    Examples:
      tol-db report status
      tol-db report status --dataset tol --check
      tol-db report status --watch --interval 10
    """
    from tol_db.report.status import status as look
    from tol_db.report.status_text import status_text
    from tol_db.report.tables import terminal_width

    if check and watch:
        raise UsageError("--check takes a while, --watch looks often", hint="leave out one of them")
    if interval is not None and not watch:
        raise UsageError("--interval is for --watch", hint="add --watch, or leave out --interval")
    database = opened(settings, readonly=True)
    if watch:
        from tol_db.cli.watch import watch_status

        watch_status(database, name, 2.0 if interval is None else interval, json_=json_)
        return
    found = look(database, name, check=check)
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
    Examples:
      tol-db report image cbab4707-cf8e-4eab-a293-2325e5783c1b
      tol-db report image 11634452_3480003
    """
    from tol_db.report.image import image_text, look_up
    from tol_db.report.tables import terminal_width

    found, width = look_up(opened(settings, readonly=True), key), terminal_width()
    click.echo(as_json(found) if json_ else "\n\n".join(image_text(each, width) for each in found))


@report.command()
@click.option("--dataset", "name", help="Only this dataset.  [all]")
@click.option(
    "--limit", type=click.IntRange(0), default=10, show_default=True, help="Groups shown of each, the largest."
)
@json_option
@db_settings
def duplicates(settings: Settings, name: str | None, limit: int, json_: bool) -> None:
    """Count pictures that stand under several ids, within each split and in several, by the bytes that were read.

    \b
    Examples:
      tol-db report duplicates
      tol-db report duplicates --dataset tol --limit 0
    """
    from tol_db.report.duplicates import duplicates as count
    from tol_db.report.duplicates import duplicates_text
    from tol_db.report.tables import terminal_width

    found = count(opened(settings, readonly=True), name, limit=limit)
    click.echo(as_json(found) if json_ else duplicates_text(found, terminal_width()))


@report.command()
@click.option("--taxonomy", metavar="NAME[@VERSION]", help="Whose labels.  [the last that `tol-db label` used]")
@click.option("--list", "listed", metavar="STATE", help="List the labels of a state, such as unresolved.")
@click.option("--limit", type=click.IntRange(0), help="Labels listed.  [20, with --csv all]")
@click.option("--csv", "csv_", is_flag=True, help="The counts, or with --list the labels, as CSV.")
@json_option
@db_settings
def labels(
    settings: Settings, taxonomy: str | None, listed: str | None, limit: int | None, csv_: bool, json_: bool
) -> None:
    """Compare published labels with those of a taxonomy: labels and images by what became of them.

    STATE is what became of a label (same, filled, moved, renamed, conflicting, unresolved, ambiguous) or of its
    name (matched, synonym, homonym-resolved, unmatched).

    \b
    Examples:
      tol-db report labels
      tol-db report labels --list conflicting
      tol-db report labels --list unresolved --csv > unresolved.csv
    """
    from tol_db.cli.report_labels import print_labels

    if csv_ and json_:
        raise UsageError("--csv and --json at once", hint="leave one out")
    print_labels(opened(settings, readonly=True), taxonomy, listed, limit, csv_=csv_, json_=json_)


@report.command()
@click.option("--dataset", "name", help="What the shards of this dataset hold.  [the members of all splits]")
@json_option
@db_settings
def licences(settings: Settings, name: str | None, json_: bool) -> None:
    """Count the licences of each split, and in it of each source; and the images that have none of their own.

    \b
    Examples:
      tol-db report licences
      tol-db report licences --dataset tol --json
    """
    from tol_db.report.licences import licences as count
    from tol_db.report.licences import licences_text
    from tol_db.report.tables import terminal_width

    found = count(opened(settings, readonly=True), name)
    click.echo(as_json(found) if json_ else licences_text(found, terminal_width()))
