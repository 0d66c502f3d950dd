"""``tol-db label``."""

from __future__ import annotations

from typing import Literal

import click

from tol_db.cli.options import as_json, db_settings, opened
from tol_db.errors import UsageError
from tol_db.relabel import label_as_published, label_by_taxonomy
from tol_db.settings import Settings


@click.command()
@click.option(
    "--taxonomy", metavar="NAME[@VERSION]", help="Whose names to use.  [the assembled one that was made last]"
)
@click.option(
    "--language",
    "languages",
    metavar="CODE",
    multiple=True,
    help="Of common names, such as en; repeat it for a second choice.  [en]",
)
@click.option(
    "--vernaculars",
    type=click.Choice(["fill", "replace", "keep"]),
    default="fill",
    show_default=True,
    help="Take common names where none was published, wherever the taxonomy has one, or never.",
)
@click.option(
    "--conflicting",
    type=click.Choice(["keep", "replace"]),
    default="keep",
    show_default=True,
    help="What to do with labels that were published in another kingdom than their taxon's.",
)
@click.option("--published", is_flag=True, help="Go back to the published labels.")
@click.option("--json", "json_", is_flag=True, help="JSON instead of text.")
@db_settings
def label(
    settings: Settings,
    taxonomy: str | None,
    languages: tuple[str, ...],
    vernaculars: Literal["fill", "replace", "keep"],
    conflicting: str,
    published: bool,
    json_: bool,
) -> None:
    """Give images the labels of a taxonomy: empty ranks filled, synonyms replaced, homonyms told apart.

    Each published label is looked up with its lineage as context. What is ambiguous or not found keeps its
    published label and can be listed (`tol-db report labels`). Shards that were planned keep their labels until
    `tol-db plan --refresh`; splits that were drawn by taxon stay as they are.

    \b
    Examples:
      tol-db label
      tol-db label --taxonomy tol@2 --language de --language en
      tol-db label --published
    """
    if published and (taxonomy or languages):
        raise UsageError("--published takes no taxonomy", hint="leave out --taxonomy and --language")
    database = opened(settings)
    if published:
        result = label_as_published(database)
    else:
        result = label_by_taxonomy(
            database,
            taxonomy,
            languages=languages or ("en",),
            vernaculars=vernaculars,
            replace_conflicting=conflicting == "replace",
        )
    click.echo(as_json(result) if json_ else "\n".join(result.describe()))
