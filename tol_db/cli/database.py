"""``tol-db init``, ``upgrade``, ``backup``."""

from __future__ import annotations

from pathlib import Path

import click

from tol_db import progress
from tol_db.cli.options import db_settings
from tol_db.settings import Settings


@click.command()
@db_settings
def init(settings: Settings) -> None:
    """Make a new, empty database at the current schema.

    \b
    Example:
      tol-db init
      tol-db --db /local/disk/tol.sqlite init
    """
    from tol_db.db import migrate

    migrate.init(settings.database)
    click.echo(f"{settings.database}: a new database; next: tol-db ingest tol10m DIR")


@click.command()
@click.option("--to", metavar="REVISION", help="Another revision than the current, older ones too.")
@db_settings
def upgrade(settings: Settings, to: str | None) -> None:
    """Move a database to this version's schema. Make a backup first.

    \b
    Example:
      tol-db upgrade
    """
    from tol_db.db import migrate

    before, after = migrate.upgrade(settings.database, to)
    if before == after:
        click.echo(f"{settings.database}: schema {after} already")
    else:
        click.echo(f"{settings.database}: moved from schema {before} to {after}")


@click.command()
@click.argument("file", type=click.Path(path_type=Path))
@db_settings
def backup(settings: Settings, file: Path) -> None:
    """Copy the database to FILE, also while it is in use; the copy is checked.

    \b
    Example:
      tol-db backup tol-2026-01-31.sqlite
    """
    from tol_db.db import migrate
    from tol_db.db.engine import revision_of

    revision = revision_of(settings.database)
    with progress.track("copying", unit="pages") as tracker:
        done = 0

        def on_pages(pages: int, total: int) -> None:
            nonlocal done
            tracker.expect(total)
            tracker.advance(pages - done)
            done = pages

        migrate.backup(settings.database, file, on_pages)
    click.echo(f"{file}: schema {revision}, {file.stat().st_size:,} bytes")
