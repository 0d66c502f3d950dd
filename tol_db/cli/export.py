"""``tol-db export catalog | parquet | licences | wids | sizes | croissant | card | names | manifest``."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from tol_db.cli.options import db_settings, opened
from tol_db.settings import Settings
from tol_db.taxonomy.ranks import RANKS

_DATASET = click.option("--dataset", "name", help="Which dataset.  [the only one]")
_OUTPUT = click.option(
    "-o", "--output", type=click.Path(path_type=Path), help="The file; - or none: standard output."
)
_PENDING = click.option("--include-pending", is_flag=True, help="Also images that are planned and not written yet.")
_PREDICTED = click.option(
    "--predicted",
    is_flag=True,
    help="All images with a label and a file, whatever became of them, and those that blacklists keep out.",
)


def _catalog_options(command: Callable[..., None]) -> Callable[..., None]:
    options = (
        *(_DATASET, _OUTPUT, _PENDING, _PREDICTED),
        click.option(
            "--provenance", is_flag=True, help="Also how each label was obtained, and the published label."
        ),
    )
    for option in reversed(options):
        command = option(command)
    return command


def _target(output: Path | None) -> Path | None:
    return None if output is None or str(output) == "-" else output


def _told(target: Path | None, what: str, pending: int = 0) -> None:
    """Say what was written, unless it went to standard output, and what is not in it."""
    if target is not None:
        click.echo(f"{click.format_filename(target)}: {what}")
    if pending:
        click.echo(f"warning: {pending:,} images are still pending and not in it", err=True)


@click.group()
def export() -> None:
    """Files for other tools. Each can be made again, byte for byte."""


@export.command()
@_catalog_options
@db_settings
def catalog(settings: Settings, /, name: str | None, output: Path | None, **which: bool) -> None:
    """Write the catalog: one row per image and split, in the columns of the published catalog.csv.

    --predicted adds class_index, the place of the image's ranks in `export names --predicted`.

    \b
    Examples:
      tol-db export catalog --dataset tol -o catalog.csv
      tol-db export catalog --dataset tol --predicted -o predicted-catalog.csv
      tol-db export catalog --dataset tol --provenance | head
    """
    from tol_db.export.catalog import export_catalog

    _write_catalog(export_catalog, settings, name, output, which)


@export.command()
@_catalog_options
@db_settings
def parquet(settings: Settings, /, name: str | None, output: Path | None, **which: bool) -> None:
    """Write the catalog as Parquet (needs the extra: pip install 'tol-db[parquet]').

    \b
    Example:
      tol-db export parquet --dataset tol --provenance -o catalog.parquet
    """
    from tol_db.export.parquet import export_parquet

    _write_catalog(export_parquet, settings, name, output, which)


def _write_catalog(
    write: Callable[..., Any], settings: Settings, name: str | None, output: Path | None, which: dict[str, bool]
) -> None:
    target = _target(output)
    summary = write(opened(settings, readonly=True), name, target, **which)
    all_of_it = which["include_pending"] or which["predicted"]
    _told(target, f"{summary.rows:,} rows", 0 if all_of_it else summary.pending)


@export.command()
@_DATASET
@_OUTPUT
@click.option("--notice", is_flag=True, help="A text for people: sources, licences, and owners with their images.")
@db_settings
def licences(settings: Settings, name: str | None, output: Path | None, notice: bool) -> None:
    """Write under which licence each image stands and whose it is, in the columns of the published licenses.csv.

    \b
    Examples:
      tol-db export licences --dataset tol -o licences.csv
      tol-db export licences --dataset tol --notice -o NOTICE
    """
    from tol_db.export.licences import export_licences, export_notice

    target, database = _target(output), opened(settings, readonly=True)
    if notice:
        summary = export_notice(database, name, target)
        _told(target, f"{summary.rows:,} owners", summary.pending)
    else:
        summary = export_licences(database, name, target)
        _told(target, f"{summary.rows:,} rows", summary.pending)


@export.command()
@_DATASET
@db_settings
def wids(settings: Settings, name: str | None) -> None:
    """Write wids-index.json beside the shards of each split: random access for wids.

    \b
    Example:
      tol-db export wids --dataset tol
    """
    from tol_db.export.wids import export_wids

    for file in export_wids(opened(settings, readonly=True), name):
        click.echo(f"{file.path}: {file.samples:,} samples in {file.shards} shards")


@export.command()
@_DATASET
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


@export.command()
@_DATASET
@_OUTPUT
@click.option("--url", help="Where the output root is published.  [addresses relative to the file]")
@click.option("--version", default="1.0.0", show_default=True, help="Of the publication: MAJOR.MINOR.PATCH.")
@db_settings
def croissant(settings: Settings, name: str | None, output: Path | None, url: str | None, version: str) -> None:
    """Describe the dataset for machines: Croissant JSON-LD, with the sha256 of every shard.

    \b
    Examples:
      tol-db export croissant --dataset tol -o /data/shards/croissant.json
      tol-db export croissant --dataset tol --url https://example.org/tol --version 1.2.0
    """
    from tol_db.export.croissant import export_croissant

    target = _target(output)
    summary = export_croissant(opened(settings, readonly=True), name, target, url=url, version=version)
    _told(target, f"{summary.shards:,} shards", summary.pending)


@export.command()
@_DATASET
@_OUTPUT
@click.option("--title", help="For people.  [the dataset's name]")
@db_settings
def card(settings: Settings, name: str | None, output: Path | None, title: str | None) -> None:
    """Write the dataset card for the Hugging Face hub; it belongs into the output root as README.md.

    \b
    Example:
      tol-db export card --dataset tol --title "TreeOfLife-10M" -o /data/shards/README.md
    """
    from tol_db.export.card import export_card

    target = _target(output)
    summary = export_card(opened(settings, readonly=True), name, target, title=title)
    _told(target, f"{summary.splits} splits", summary.pending)


@export.command()
@_DATASET
@_OUTPUT
@_PENDING
@_PREDICTED
@click.option("--split", "splits", multiple=True, help="Only classes of this split (repeat).  [all]")
@click.option("--rank", type=click.Choice(RANKS), help="Only classes that have a name at this rank.")
@db_settings
def names(
    settings: Settings,
    name: str | None,
    output: Path | None,
    include_pending: bool,
    predicted: bool,
    splits: tuple[str, ...],
    rank: str | None,
) -> None:
    """Write the class list: [[seven ranks], common name] for each distinct taxon, as BioCLIP's txt_emb names.

    \b
    Examples:
      tol-db export names --dataset tol -o txt_emb_names.json
      tol-db export names --dataset tol --split val --rank species -o val_species.json
    """
    from tol_db.export.catalog import scope_of
    from tol_db.export.names import export_names

    target = _target(output)
    scope = scope_of(include_pending=include_pending, predicted=predicted)
    summary = export_names(opened(settings, readonly=True), name, target, scope=scope, splits=splits, rank=rank)
    _told(target, f"{summary.classes:,} classes")


@export.command()
@_DATASET
@_OUTPUT
@db_settings
def manifest(settings: Settings, name: str | None, output: Path | None) -> None:
    """Write manifest.json, the file to cite: digests of recipe and plan, files read, the sha256 of every shard.

    \b
    Example:
      tol-db export manifest --dataset tol -o manifest.json
    """
    from tol_db.export.manifest import export_manifest

    target = _target(output)
    summary = export_manifest(opened(settings, readonly=True), name, target)
    _told(target, f"{summary.shards:,} shards, {summary.samples:,} samples", summary.pending)
