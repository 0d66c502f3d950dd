"""``tol-db dataset list | move | remove``."""

from __future__ import annotations

from pathlib import Path

import click

from tol_db.cli.options import as_json, db_settings, opened
from tol_db.settings import Settings


@click.group()
def dataset() -> None:
    """List, move or remove datasets."""


@dataset.command("list")
@click.option("--json", "json_", is_flag=True, help="JSON instead of text.")
@db_settings
def list_(settings: Settings, json_: bool) -> None:
    """List the datasets.

    \b
    Example:
      tol-db dataset list
    """
    from tol_db import datasets

    lines = datasets.list_datasets(opened(settings, readonly=True))
    if json_:
        click.echo(as_json(lines))
        return
    if not lines:
        click.echo("no dataset is planned; next: tol-db plan OUT --dataset NAME --split SPLIT")
    for line in lines:
        click.echo(
            f"{line.name}: recipe {line.recipe}, splits {', '.join(line.splits)}, "
            f"{line.complete} of {line.shards} shards, {line.written:,} of {line.planned:,} images, "
            f"in {line.output_root}"
        )


@dataset.command()
@click.argument("name")
@click.argument("target", type=click.Path(path_type=Path))
@db_settings
def move(settings: Settings, name: str, target: Path) -> None:
    """Take the dataset NAME to the folder TARGET, or follow it there when it has been copied.

    \b
    Example:
      tol-db dataset move tol /blue/group/shards
    """
    from tol_db import datasets

    done = datasets.move(opened(settings), name, target)
    click.echo(f"{name}: {done}: {target.absolute()}")


@dataset.command()
@click.argument("name")
@click.option("--files", is_flag=True, help="Delete its shards too.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@db_settings
def remove(settings: Settings, name: str, files: bool, yes: bool) -> None:
    """Forget the dataset NAME: its plan and the status of its images. Its files stay unless --files.

    \b
    Example:
      tol-db dataset remove trial --files
    """
    from tol_db import datasets

    database = opened(settings)
    if not yes:
        click.confirm(f"remove dataset {name!r}{' and its shards' if files else ''}?", abort=True)
    removed = datasets.remove(database, name, files=files)
    click.echo(f"{name}: removed {removed.shards} shards with {removed.images:,} images from the database")
    if files:
        click.echo(f"  {removed.files} shard files deleted")
    for path in removed.left[:10]:
        click.echo(f"  left alone: {click.format_filename(path)}")
    if len(removed.left) > 10:
        click.echo(f"  … and {len(removed.left) - 10} more")
