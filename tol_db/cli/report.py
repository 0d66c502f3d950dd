"""``tol-db report status | summary | image | audit``."""

from __future__ import annotations

import click

from tol_db.cli.audit import audit
from tol_db.cli.options import as_json, db_settings, opened
from tol_db.settings import Settings

json_option = click.option("--json", "json_", is_flag=True, help="JSON instead of text.")


@click.group()
def report() -> None:
    """Where things stand: datasets, sources, one image, audits."""


report.add_command(audit)


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
