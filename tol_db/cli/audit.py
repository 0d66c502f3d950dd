"""``tol-db report audit``."""

from __future__ import annotations

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


@click.command()
@click.argument("names", metavar="[NAME]...", nargs=-1)
@click.option("--all", "all_", is_flag=True, help="Every audit.")
@click.option("--json", "json_", is_flag=True, help="JSON instead of text.")
@click.option("--csv", "csv_", is_flag=True, help="The rows as CSV: of one audit, or of several with --output.")
@click.option(
    *("-o", "--output"),
    metavar="FOLDER",
    type=click.Path(path_type=Path),
    help="With --csv: a file NAME.csv for each audit in this folder.  [standard output]",
)
@click.option(
    "--limit", type=click.IntRange(0), help="Rows shown of each; 0: only the count.  [20, with --csv all]"
)
@db_settings
def audit(
    settings: Settings,
    names: tuple[str, ...],
    all_: bool,
    json_: bool,
    csv_: bool,
    output: Path | None,
    limit: int | None,
) -> None:
    """Ask the database questions; without a NAME, list them. Exits 1 when one that must be empty is not.

    \b
    Examples:
      tol-db report audit
      tol-db report audit images_without_file --limit 5
      tol-db report audit unplanned_images --csv > unplanned.csv
      tol-db report audit --all --csv --output audits
      tol-db report audit --all --limit 0
    """
    from tol_db.audit.runner import find, load

    audits = load() if all_ else [find(name) for name in dict.fromkeys(names)]
    _require_one_output(audits, json_, csv_, output)
    if not audits:
        _list_audits(load(), json_)
        return
    database = opened(settings, readonly=True)
    if output is not None:
        faults = _write_files(database, audits, output, limit)
    elif csv_:
        faults = _print_csv(database, audits[0], limit)
    else:
        faults = _print_audits(database, audits, 20 if limit is None else limit, json_)
    if faults:
        raise TolDbError(f"{settings.database}: must be empty and is not: {', '.join(faults)}")


def _require_one_output(audits: list[Audit], json_: bool, csv_: bool, output: Path | None) -> None:
    if csv_ and json_:
        raise UsageError("--csv and --json contradict each other", hint="leave out one of them")
    if output is not None and not csv_:
        raise UsageError("--output is for --csv", hint="add --csv, or leave out --output")
    if csv_ and not audits:
        raise UsageError("--csv, but of which audit?", hint="name audits, or add --all")
    if csv_ and output is None and len(audits) > 1:
        raise UsageError(
            "--csv to standard output takes one audit", hint="name one, or a folder for the files: --output FOLDER"
        )


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


def _print_csv(database: Database, audit: Audit, limit: int | None) -> list[str]:
    """Stream the rows of an audit; its name, if they are a fault."""
    from tol_db.audit.files import write_rows
    from tol_db.audit.runner import stream

    with database.read() as conn:
        found = write_rows(stream(conn, audit), sys.stdout, limit)
    return [audit.name] if found and audit.must_be_empty else []


def _write_files(database: Database, audits: list[Audit], folder: Path, limit: int | None) -> list[str]:
    """A file for each audit; the names of those that must be empty and are not."""
    from tol_db.audit.files import write_file
    from tol_db.progress import track

    faults = []
    with track("audits", len(audits), "audits") as tracker:
        for audit in audits:
            with database.read() as conn:
                found = write_file(conn, audit, folder, limit)
            if found and audit.must_be_empty:
                faults.append(audit.name)
            tracker.advance()
    click.echo(f"{len(audits):,} files in {folder}")
    return faults
