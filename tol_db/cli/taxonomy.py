"""``tol-db taxonomy``: one taxonomy out of many, and what it says."""

from __future__ import annotations

from pathlib import Path

import click

from tol_db.cli import LazyGroup
from tol_db.cli.options import as_json, db_settings, opened
from tol_db.settings import Settings

_LAZY = {
    "resolve": ("tol_db.cli.taxonomy_resolve:resolve", "Find the taxa that names mean."),
    "report": ("tol_db.cli.taxonomy_report:report", "Figures, and lists of what was decided."),
    "diff": ("tol_db.cli.taxonomy_report:diff", "How two versions differ."),
    "explain": ("tol_db.cli.taxonomy_report:explain", "Why a taxon stands where it stands."),
    "lineage": ("tol_db.cli.taxonomy_report:lineage", "The ancestors of a taxon."),
}


@click.group(cls=LazyGroup, lazy=_LAZY)
def taxonomy() -> None:
    """Assemble taxonomies by priority; ask what became of names.

    \b
    Examples:
      tol-db ingest taxonomy ncbi taxdump.tar.gz --name ncbi --priority 1
      tol-db ingest taxonomy darwin-core backbone.zip --name gbif --priority 2
      tol-db taxonomy assemble tol
      tol-db taxonomy explain "Fritillaria"
    """


@taxonomy.command(short_help="Make one taxonomy of the sources.")
@click.argument("name")
@click.option(
    "--source",
    "sources",
    multiple=True,
    help="NAME or NAME@VERSION, the one heard first before the others; repeat.  [all, by priority]",
)
@click.option(
    "--separation",
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    help="Folder of a tree of major groups, in interim format.  [the one that comes with tol-db]",
)
@click.option("--previous", help="An assembled taxonomy, or a folder in interim format, whose ids go on.")
@click.option(
    "--curation",
    "curated",
    multiple=True,
    type=click.Path(path_type=Path, dir_okay=False),
    help="A file of instructions; repeat.  docs/assembly.md tells its form.",
)
@click.option("--json", "json_", is_flag=True, help="JSON instead of text.")
@db_settings
def assemble(
    settings: Settings,
    name: str,
    sources: tuple[str, ...],
    separation: Path | None,
    previous: str | None,
    curated: tuple[Path, ...],
    json_: bool,
) -> None:
    """Assemble the source taxonomies into NAME, by priority.

    The same inputs give the same taxonomy, and are then not stored again. Actions of a curation file: rename,
    synonym, not-synonym, prune, move, fold, merge, flag, align, never-align.

    \b
    Examples:
      tol-db taxonomy assemble tol
      tol-db taxonomy assemble tol --source ncbi --source gbif --previous tol --curation mend.tsv
    """
    from tol_db import progress
    from tol_db.ingest.assembly import assemble_taxonomy

    result = assemble_taxonomy(
        opened(settings),
        name,
        sources=sources,
        separation=separation,
        previous=previous,
        curated=curated,
        say=progress.say,
    )
    click.echo(as_json(result) if json_ else "\n".join(result.describe()))


@taxonomy.command(short_help="Write a taxonomy in interim format.")
@click.argument("name")
@click.argument("folder", metavar="DIR", type=click.Path(path_type=Path, file_okay=False))
@click.option(
    "--format", "format_", type=click.Choice(["interim"]), default="interim", show_default=True, help="How."
)
@db_settings
def export(settings: Settings, name: str, folder: Path, format_: str) -> None:
    """Write taxonomy NAME (or NAME@VERSION) into DIR: taxonomy.tsv, synonyms.tsv, forwards.tsv, about.json.

    \b
    Example:
      tol-db taxonomy export tol tol-taxonomy --format interim
    """
    from tol_db.export.taxonomy import export_interim

    made = export_interim(opened(settings, readonly=True), name, folder)
    click.echo(
        f"{made.taxonomy} → {click.format_filename(made.folder)}: {made.taxa:,} taxa, {made.synonyms:,} synonyms, "
        f"{made.forwards:,} forwards"
    )


@taxonomy.command("list", short_help="The taxonomies of the database.")
@click.option("--json", "json_", is_flag=True, help="JSON instead of text.")
@db_settings
def list_(settings: Settings, json_: bool) -> None:
    """List the taxonomies of the database, sources by priority.

    \b
    Example:
      tol-db taxonomy list
    """
    from tol_db.report.tables import table, terminal_width
    from tol_db.report.taxonomy import taxonomies

    found = taxonomies(opened(settings, readonly=True))
    if json_:
        click.echo(as_json(found))
        return
    rows = [
        (t.name, t.version, t.kind, t.priority, t.taxa, ", ".join(t.rules or t.inputs), t.created_at) for t in found
    ]
    columns = ("name", "version", "kind", "priority", "taxa", "rules or inputs", "made")
    click.echo(
        table(columns, rows, terminal_width()) if rows else "no taxonomy; `tol-db ingest taxonomy` reads one"
    )


@taxonomy.command(short_help="Remove old versions.")
@click.argument("name", metavar="NAME[@VERSION]")
@click.option(
    "--keep",
    type=click.IntRange(0),
    default=1,
    show_default=True,
    help="Newest versions to keep; not with @VERSION.",
)
@db_settings
def prune(settings: Settings, name: str, keep: int) -> None:
    """Remove old versions of a taxonomy, or the one version that is named.

    A version that an assembled taxonomy was made of stays until that one is pruned.

    \b
    Examples:
      tol-db taxonomy prune tol
      tol-db taxonomy prune gbif@2023-08-28
    """
    from tol_db.ingest.taxonomy_prune import prune_versions

    for line in prune_versions(opened(settings), name, keep):
        click.echo(line)
