"""``tol-db init | upgrade | backup``."""

from __future__ import annotations

from pathlib import Path

import click

from tol_db import progress
from tol_db.cli.options import db_settings
from tol_db.settings import Settings


@click.command()
@db_settings
def init(settings: Settings) -> None:
    """Make a new, empty database.

    \b
    Examples:
      tol-db init
      tol-db --db /data/tol.sqlite init
    """
    from tol_db.db import migrate

    migrate.init(settings.database)
    click.echo(f"{settings.database}: made; next: tol-db ingest tol10m DIR")


@click.command()
@click.option("--to", metavar="REVISION", help="Another schema revision, older or newer.  [the newest]")
@db_settings
def upgrade(settings: Settings, to: str | None) -> None:
    """Move the database to this version's schema; all of it or nothing.

    While a run works on a dataset of it, nothing is moved and the exit code is 75.

    \b
    Examples:
      tol-db backup before.sqlite
      tol-db upgrade
    """
    from tol_db.db import migrate

    before, after = migrate.upgrade(settings.database, to)
    if before == after:
        click.echo(f"{settings.database}: schema {after} already")
    else:
        click.echo(f"{settings.database}: schema moved from {before} to {after}")


@click.command()
@click.argument("target", metavar="FILE", type=click.Path(path_type=Path))
@db_settings
def backup(settings: Settings, target: Path) -> None:
    """Copy the database to FILE, also while a run writes to it; the copy is checked.

    \b
    Example:
      tol-db backup /backup/tol-2026-03-01.sqlite
    """
    from tol_db.db import migrate

    with progress.track("copying", unit="pages") as tracker:
        copied = 0

        def advance(done: int, total: int) -> None:
            nonlocal copied
            tracker.expect(total)
            tracker.advance(done - copied)
            copied = done

        migrate.backup(settings.database, target, advance)
    click.echo(f"{settings.database}: copied to {target} ({progress.amount(target.stat().st_size, 'bytes')})")
