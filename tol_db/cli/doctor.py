"""``tol-db doctor``."""

from __future__ import annotations

import click

from tol_db.cli.options import as_json, db_settings
from tol_db.errors import TolDbError
from tol_db.settings import Settings


@click.command()
@click.option("--json", "json_", is_flag=True, help="JSON instead of text.")
@db_settings
def doctor(settings: Settings, json_: bool) -> None:
    """Check the database file, its schema, and every invariant. Changes nothing.

    A line for each check: ok, info, warning or broken. Exits 1 when something is broken. At ten million
    images it takes a few minutes.

    \b
    Examples:
      tol-db doctor
      tol-db --db /data/tol.sqlite doctor --json
    """
    from tol_db.doctor import examine

    diagnosis = examine(settings.database)
    if json_:
        click.echo(as_json(diagnosis))
    else:
        longest = max(len(check.name) for check in diagnosis.checks)
        for check in diagnosis.checks:
            click.echo(f"{check.verdict:<7}  {check.name:<{longest}}  {check.detail}")
            for row in check.rows:
                click.echo(f"{'':9}{row}")
            if check.hint:
                click.echo(f"{'':9}hint: {check.hint}")
    if diagnosis.broken:
        names = ", ".join(check.name for check in diagnosis.broken)
        raise TolDbError(f"{settings.database}: broken: {names}")
