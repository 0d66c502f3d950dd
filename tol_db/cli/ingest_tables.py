"""``tol-db ingest labels|licences|split|blacklist``: names, licences, and who is in or out."""

from __future__ import annotations

from pathlib import Path

import click

from tol_db.cli.options import db_settings, opened
from tol_db.ingest.blacklist_file import ingest_blacklist
from tol_db.ingest.files import SOURCES
from tol_db.ingest.labels import ingest_lookup
from tol_db.ingest.licences import ingest_licences
from tol_db.ingest.split_file import ingest_split
from tol_db.settings import Settings

_FILE = click.Path(path_type=Path)


def _print(lines: list[str]) -> None:
    for line in lines:
        click.echo(line)


@click.command()
@click.option("--source", required=True, type=click.Choice(list(SOURCES)), help="Whose images it names.")
@click.argument("path", metavar="PATH", type=_FILE)
@db_settings
def labels(settings: Settings, source: str, path: Path) -> None:
    """Read the names of one source's images and label them.

    PATH is a name lookup of TreeOfLife-10M: JSON, key → [[kingdom … species], common name, class index]. The
    keys are EOL page ids, iNat21 class numbers or BIOSCAN's TreeOfLife ids. For --source bioscan it may also
    be BIOSCAN-1M's own metadata (.tsv, .csv, .jsonl), whose keys are file names. Names are normalised once,
    here. Reading a changed file again labels the images anew; shards that are planned keep their texts.

    \b
    Examples:
      tol-db ingest labels --source eol metadata/naming/eol_name_lookup.json
      tol-db ingest labels --source bioscan BIOSCAN_Insect_Dataset_metadata.tsv
    """
    _print(ingest_lookup(opened(settings), source, path).describe())


@click.command()
@click.argument("path", metavar="PATH", type=_FILE)
@db_settings
def licences(settings: Settings, path: Path) -> None:
    """Read licences and owners of EOL images from licenses.csv.

    Rows that name no image are counted and the first ones shown; so are rows whose EOL ids are not those of
    the image.

    \b
    Example:
      tol-db ingest licences metadata/licenses.csv
    """
    _print(ingest_licences(opened(settings), path).describe())


@click.command()
@click.argument("name", metavar="NAME")
@click.argument("path", metavar="FILE", type=_FILE)
@click.option("--within", metavar="SPLIT", help="A split that all of these images must be in.")
@click.option("--except", "complement_of", metavar="SPLIT", help="A split that none of them may be in.")
@click.option("--allow-unmatched", is_flag=True, help="Accept a file of which no id is an image here.")
@db_settings
def split(
    settings: Settings,
    name: str,
    path: Path,
    within: str | None,
    complement_of: str | None,
    allow_unmatched: bool,
) -> None:
    """Make split NAME of the ids that FILE lists.

    FILE has one TreeOfLife id per line (# begins a comment), or is CSV with a column treeoflife_id; if that
    has a column split, as catalog.csv, the rows of split NAME count.

    \b
    Examples:
      tol-db ingest split holdout ids.txt
      tol-db ingest split mini ids.csv --within train --except holdout
    """
    result = ingest_split(
        opened(settings),
        name,
        path,
        parent=within,
        complement_of=complement_of,
        allow_unmatched=allow_unmatched,
    )
    _print(result.describe())


@click.command()
@click.argument("name", metavar="NAME")
@click.option("--images", multiple=True, type=_FILE, help="Only the images it lists stay out (repeat).")
@click.option("--species", multiple=True, type=_FILE, help="Its species and the images it lists stay out (repeat).")
@click.option("--reason", default="", help="Why; kept with the list.")
@click.option("--allow-unmatched", is_flag=True, help="Accept a file of which nothing is in this database.")
@db_settings
def blacklist(
    settings: Settings,
    name: str,
    images: tuple[Path, ...],
    species: tuple[Path, ...],
    reason: str,
    allow_unmatched: bool,
) -> None:
    """Read images and species that stay out of every dataset, as blacklist NAME.

    A file is JSON, species → list of paths, or a plain list of one path, id or species name per line. Entries
    are kept as they stand and looked up again by every plan: images by EOL content id or TreeOfLife id,
    species by genus and species unless the kingdoms differ. What matches nothing is counted and shown.

    \b
    Examples:
      tol-db ingest blacklist rare --images seen_in_training.json --species unseen_in_training.json
      tol-db ingest blacklist mine --images ids.txt --reason "taken down by their owners"
    """
    result = ingest_blacklist(
        opened(settings),
        name,
        images=images,
        species=species,
        reason=reason,
        allow_unmatched=allow_unmatched,
    )
    _print(result.describe())
