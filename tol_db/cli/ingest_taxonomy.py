"""``tol-db ingest taxonomy``: a taxonomy as it was published."""

from __future__ import annotations

from pathlib import Path

import click

from tol_db.cli.options import db_settings, opened
from tol_db.errors import UsageError
from tol_db.ingest.taxonomy import ingest_taxonomy
from tol_db.settings import Settings
from tol_db.taxonomy.formats import FORMATS, RULES


@click.command()
@click.argument("format_name", metavar="FORMAT", type=click.Choice(list(FORMATS)))
@click.argument("path", metavar="PATH", type=click.Path(path_type=Path))
@click.option("--name", required=True, metavar="IDSPACE", help="What its ids are prefixed with: ncbi, gbif, …")
@click.option("--priority", required=True, type=click.IntRange(min=1), help="1 is heard first.")
@click.option("--rule", "rules", multiple=True, type=click.Choice(RULES), help="Instead of the format's (repeat).")
@click.option("--no-rules", is_flag=True, help="None of the format's rules.")
@click.option(
    "--release", "--version", "release", metavar="TEXT", help="Its version.  [default: 1, 2, … as content changes]"
)
@db_settings
def taxonomy(
    settings: Settings,
    format_name: str,
    path: Path,
    name: str,
    priority: int,
    rules: tuple[str, ...],
    no_rules: bool,
    release: str | None,
) -> None:
    """Read a taxonomy as it was published, to be assembled with others.

    FORMAT is interim, ncbi, darwin-core, coldp, itis, eol or newick; PATH a folder, an archive (.zip, .tar.gz) or
    a file. What is wrong in it is listed and kept with the taxonomy; parents in a circle, and ids that contradict
    each other, are refused. Reading changed content makes a new version; the old one stays until it is pruned.

    \b
    Examples:
      tol-db ingest taxonomy ncbi taxdump.tar.gz --name ncbi --priority 1
      tol-db ingest taxonomy darwin-core backbone.zip --name gbif --priority 2 --release 2023-08-28
      tol-db ingest taxonomy interim ./mine --name mine --priority 3 --rule fold-sibling-homonyms
    """
    if rules and no_rules:
        raise UsageError("--rule and --no-rules contradict each other", hint="give one of them")
    chosen = () if no_rules else rules or None
    result = ingest_taxonomy(
        opened(settings), format_name, path, name=name, priority=priority, rules=chosen, release=release
    )
    for line in result.describe():
        click.echo(line)
