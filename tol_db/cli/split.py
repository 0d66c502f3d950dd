"""``tol-db split``."""

from __future__ import annotations

from typing import Literal

import click

from tol_db.cli.options import db_settings, opened
from tol_db.settings import Settings


@click.command()
@click.argument("name", metavar="NAME")
@click.option("--fraction", type=float, help="The share of images that it takes, such as 0.05.")
@click.option("--except", "complement_of", metavar="OTHER", help="Take all that split OTHER left.")
@click.option("--within", metavar="PARENT", help="Draw from the images of this split only.  [all images]")
@click.option("--seed", type=int, default=17, show_default=True, help="Of --fraction.")
@click.option(
    "--by",
    type=click.Choice(["image", "taxon"]),
    default="image",
    show_default=True,
    help="Draw single images, or whole species: all images of one lineage on one side.",
)
@db_settings
def split(
    settings: Settings,
    name: str,
    fraction: float | None,
    complement_of: str | None,
    within: str | None,
    seed: int,
    by: Literal["image", "taxon"],
) -> None:
    """Make split NAME by a stored policy.

    Who is in follows from the seed, the name and the image's id (or lineage) alone: not from the order of
    images, and nobody moves when images are added. Images that are ingested later are judged by the same
    policy. A split that exists is never made anew.

    \b
    Examples:
      tol-db split val --fraction 0.05
      tol-db split train --except val
      tol-db split train_small --fraction 0.1 --within train
      tol-db split unseen_species --fraction 0.05 --by taxon
    """
    from tol_db.split import make_split

    result = make_split(
        opened(settings),
        name,
        fraction=fraction,
        complement_of=complement_of,
        within=within,
        seed=seed,
        by=by,
    )
    for line in result.describe():
        click.echo(line)
