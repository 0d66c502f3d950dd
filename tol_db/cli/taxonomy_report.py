"""``tol-db taxonomy report | diff | explain | lineage``."""

from __future__ import annotations

import csv
import sys

import click

from tol_db.cli.options import as_json, db_settings, opened
from tol_db.settings import Settings

_taxonomy = click.option("--taxonomy", help="NAME or NAME@VERSION.  [the newest assembled one]")
_json = click.option("--json", "json_", is_flag=True, help="JSON instead of text.")

_LISTS = (
    "conflicts",
    "absorbed",
    "ambiguous",
    "refused",
    "choices",
    "left-out",
    "homonyms",
    "findings",
    "curation",
    "retired-ids",
)


@click.command()
@_taxonomy
@click.option("--list", "which", type=click.Choice(_LISTS), help="The rows behind a figure.")
@click.option("--limit", type=click.IntRange(1), default=50, show_default=True, help="Rows of a list.")
@click.option("--all", "all_", is_flag=True, help="All rows of a list.")
@click.option("--csv", "csv_", is_flag=True, help="The list as CSV.")
@_json
@db_settings
def report(
    settings: Settings, taxonomy: str | None, which: str | None, limit: int, all_: bool, csv_: bool, json_: bool
) -> None:
    """Count what a taxonomy holds, what became of each source's taxa, and which heuristic decided how often.

    \b
    Examples:
      tol-db taxonomy report
      tol-db taxonomy report --list conflicts --csv --all > conflicts.csv
    """
    from tol_db.report import taxonomy as of
    from tol_db.report.tables import table, terminal_width

    db = opened(settings, readonly=True)
    if which is None:
        if csv_:
            raise click.UsageError("--csv goes with --list")
        found = of.report(db, taxonomy)
        click.echo(as_json(found) if json_ else of.report_text(found, terminal_width()))
        return
    rows = of.listed(db, taxonomy, which, None if all_ else limit)
    if json_:
        click.echo(as_json([dict(zip(rows.columns, row, strict=True)) for row in rows.rows]))
    elif csv_:
        writer = csv.writer(sys.stdout, lineterminator="\n")
        writer.writerow(rows.columns)
        writer.writerows(rows.rows)
    else:
        click.echo(table(rows.columns, rows.rows, terminal_width()) if rows.rows else "none")
    if len(rows.rows) < rows.total:
        click.echo(f"{len(rows.rows):,} of {rows.total:,}; --all shows all", err=True)


@click.command()
@click.argument("before", metavar="A")
@click.argument("after", metavar="B")
@click.option(
    "--limit", type=click.IntRange(0), default=20, show_default=True, help="Changes of each kind that are told."
)
@click.option("--all", "all_", is_flag=True, help="Tell all.")
@_json
@db_settings
def diff(settings: Settings, before: str, after: str, limit: int, all_: bool, json_: bool) -> None:
    """Compare taxonomies A and B (NAME or NAME@VERSION) by their ids; exit code 1 when they differ.

    \b
    Example:
      tol-db taxonomy diff tol@1 tol@2
    """
    from tol_db.report.tables import terminal_width
    from tol_db.report.taxonomy_diff import diff as compare
    from tol_db.report.taxonomy_diff import diff_text

    found = compare(opened(settings, readonly=True), before, after, None if all_ else limit)
    click.echo(as_json(found) if json_ else diff_text(found, terminal_width()))
    sys.exit(0 if found.is_empty else 1)


@click.command()
@click.argument("text", metavar="NAME|ID")
@_taxonomy
@_json
@db_settings
def explain(settings: Settings, text: str, taxonomy: str | None, json_: bool) -> None:
    """Tell where a taxon comes from, what its candidates were, and what decided.

    ID is one of the taxonomy, or one of its sources: ncbi:9606.

    \b
    Examples:
      tol-db taxonomy explain "Laelia rosea"
      tol-db taxonomy explain gbif:2435098
    """
    from tol_db.report.taxonomy_explain import explain as look
    from tol_db.report.taxonomy_explain import explanation_text

    found = look(opened(settings, readonly=True), text, taxonomy)
    click.echo(as_json(found) if json_ else explanation_text(found))


@click.command()
@click.argument("text", metavar="NAME|ID")
@_taxonomy
@_json
@db_settings
def lineage(settings: Settings, text: str, taxonomy: str | None, json_: bool) -> None:
    """Print the ancestors of a taxon, from the root down; of each homonym.

    \b
    Example:
      tol-db taxonomy lineage "Ficus variegata"
    """
    from tol_db.report.taxonomy_explain import lineage as look
    from tol_db.report.taxonomy_explain import lineage_text

    found = look(opened(settings, readonly=True), text, taxonomy)
    click.echo(as_json(found) if json_ else "\n\n".join(map(lineage_text, found)))
