"""Prints what ``tol-db report labels`` found."""

from __future__ import annotations

import csv
import sys

import click

from tol_db.cli.options import as_json
from tol_db.db.engine import Database
from tol_db.report.labels import compare, comparison_text, label_rows, listed_labels, listed_text
from tol_db.report.tables import terminal_width


def print_labels(
    database: Database,
    taxonomy: str | None,
    listed: str | None,
    limit: int | None,
    *,
    csv_: bool,
    json_: bool,
) -> None:
    """Counts of all states, or the labels of one."""
    if csv_:
        writer = csv.writer(sys.stdout, lineterminator="\n")
        for row in label_rows(database, taxonomy, listed, limit):
            writer.writerow(row)
    elif listed is None:
        found = compare(database, taxonomy)
        click.echo(as_json(found) if json_ else comparison_text(found, terminal_width()))
    else:
        labels = list(listed_labels(database, taxonomy, listed, 20 if limit is None else limit))
        click.echo(as_json(labels) if json_ else listed_text(labels, terminal_width()))
