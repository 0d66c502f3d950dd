"""``tol-db export catalog | sizes``."""

from __future__ import annotations

from pathlib import Path

import click

from tol_db.cli.options import db_settings, opened
from tol_db.settings import Settings


@click.group()
def export() -> None:
    """Files for other tools. Each can be made again, byte for byte."""


@export.command()
@click.option("--dataset", "name", help="Which dataset.  [the only one]")
@click.option("-o", "--output", type=click.Path(path_type=Path), help="The file.  [standard output]")
@click.option("--include-pending", is_flag=True, help="Also images that are planned and not written yet.")
@db_settings
def catalog(settings: Settings, name: str | None, output: Path | None, include_pending: bool) -> None:
    """Write the catalog: one row per image and split, in the columns of the published catalog.csv.

    \b
    Example:
      tol-db export catalog --dataset tol -o catalog.csv
    """
    from tol_db.export.catalog import export_catalog

    target = None if output is None or str(output) == "-" else output
    summary = export_catalog(opened(settings, readonly=True), name, target, include_pending=include_pending)
    if target is not None:
        click.echo(f"{click.format_filename(target)}: {summary.rows:,} rows")
    if summary.pending and not include_pending:
        click.echo(f"warning: {summary.pending:,} images are still pending and not in it", err=True)


@export.command()
@click.option("--dataset", "name", help="Which dataset.  [the only one]")
@db_settings
def sizes(settings: Settings, name: str | None) -> None:
    """Write sizes.json beside the shards of each split, where open_clip looks for it.

    \b
    Example:
      tol-db export sizes --dataset tol
    """
    from tol_db.export.sizes import export_sizes

    for file in export_sizes(opened(settings, readonly=True), name):
        click.echo(f"{file.path}: {file.samples:,} samples in {file.shards} shards")
