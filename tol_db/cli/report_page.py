"""``tol-db report page | treemap``."""

from __future__ import annotations

from pathlib import Path

import click

from tol_db.cli.options import db_settings, opened
from tol_db.settings import Settings


@click.command()
@click.option(
    "-o", "--output", type=click.Path(path_type=Path), required=True, help="The HTML file; replaced if it is there."
)
@click.option("--dataset", "names", multiple=True, help="Only these datasets.  [all]")
@click.option(
    "--samples", type=click.IntRange(0, 40), default=8, show_default=True, help="Pictures of each kingdom."
)
@click.option("--seed", type=int, default=0, show_default=True, help="Draws the pictures.")
@click.option(
    "--audit-seconds",
    type=click.FloatRange(0),
    default=15.0,
    show_default=True,
    help="Time for all audits together; those that need more are marked.",
)
@db_settings
def page(
    settings: Settings, output: Path, names: tuple[str, ...], samples: int, seed: int, audit_seconds: float
) -> None:
    """Write one self-contained HTML page: state, outcomes, treemap, coverage, licences, audits, samples.

    It needs no network and no other file; it can be mailed, or opened from a disk years from now.

    \b
    Examples:
      tol-db report page -o report.html
      tol-db report page -o report.html --dataset tol --seed 7
    """
    from tol_db.progress import amount
    from tol_db.report.page.gather import Wishes
    from tol_db.report.page.page import write_page

    wishes = Wishes(names, seed=seed, per_kingdom=samples, audit_seconds=audit_seconds)
    made = write_page(opened(settings, readonly=True), output, wishes)
    click.echo(f"{click.format_filename(output)}: {amount(made.bytes, 'bytes')}")
    if made.unreadable:
        click.echo(f"warning: {made.unreadable:,} shards could not be read for the contact sheet", err=True)


@click.command()
@click.option(
    "-o", "--output", type=click.Path(path_type=Path), required=True, help="FILE.svg, FILE.png or FILE.pdf."
)
@click.option(
    "--by", type=click.Choice(["images", "taxa"]), default="images", show_default=True, help="What areas stand for."
)
@click.option("--dataset", help="What is written in a split of this dataset.  [all images of the database]")
@click.option("--split", help="Which split of it.")
@click.option("--width", type=click.FloatRange(40, 2000), default=180, show_default=True, help="In mm.")
@click.option("--height", type=click.FloatRange(30, 2000), default=120, show_default=True, help="In mm.")
@click.option("--dpi", type=click.IntRange(50, 1200), default=300, show_default=True, help="Of a PNG.")
@db_settings
def treemap(
    settings: Settings,
    output: Path,
    by: str,
    dataset: str | None,
    split: str | None,
    width: float,
    height: float,
    dpi: int,
) -> None:
    """Write the treemap of names, kingdom to family, as a figure for papers.

    SVG needs nothing else; PNG and PDF need the extra [plots]. The same counts give the same bytes.

    \b
    Examples:
      tol-db report treemap -o treemap.svg
      tol-db report treemap -o treemap.pdf --by taxa --dataset tol --split train
    """
    from tol_db.report.page.treemap_file import Figure, write_treemap

    figure = Figure(by=by, width=width, height=height, dpi=dpi, dataset=dataset, split=split)
    made = write_treemap(opened(settings, readonly=True), output, figure)
    click.echo(f"{click.format_filename(output)}: {made.of}, {made.total:,} {by}")
