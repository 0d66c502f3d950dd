"""``tol-db ingest tol10m|containers|eol|inat21|bioscan``: images and where they lie."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import click

from tol_db.cli.options import NumberRange, ShareOf, db_settings, opened
from tol_db.errors import UsageError
from tol_db.ingest.containers import ingest_containers
from tol_db.ingest.layout import KEYS, find_roots
from tol_db.ingest.raw_folders import RawResult, ingest_bioscan, ingest_eol, ingest_inat21
from tol_db.ingest.scan_report import ContainersResult
from tol_db.ingest.scan_shares import Share, leave_scans
from tol_db.ingest.seek_indexes import SeekWish
from tol_db.ingest.tol10m import ingest_tree
from tol_db.settings import Settings

_FOLDER = click.argument("folder", metavar="DIR", type=click.Path(path_type=Path))


def _print(lines: list[str], scan: ContainersResult | None) -> None:
    """All there is to say, and then, as the exit code, what was wrong."""
    for line in lines:
        click.echo(line)
    if scan is not None:
        scan.require_sound()


def _seek_options(command: Callable[..., None]) -> Callable[..., None]:
    """Adds ``--seek-index`` with its options."""
    for option in (
        click.option(
            "--seek-spacing",
            type=click.IntRange(64, 65536),
            default=4096,
            show_default=True,
            metavar="KIB",
            help="Of --seek-index: KiB of data from one point to the next. 4096: 8 MB of index per GB, "
            "8 ms to find a picture; half: twice the size, half the time.",
        ),
        click.option(
            "--seek-index-dir",
            type=click.Path(path_type=Path, file_okay=False),
            metavar="FOLDER",
            help="Where the indexes go.  [beside each archive]",
        ),
        click.option(
            "--seek-index",
            is_flag=True,
            help="Make an index NAME.tar.gz.gzidx of each .tar.gz, by which single members are read, "
            "for `plan --order shuffled`.",
        ),
    ):
        command = option(command)
    return command


def _tell_absence(scans: Path | None) -> None:
    if scans is not None and not scans.is_dir():
        click.echo(f"no scans in {scans}: every container is read", err=True)


def _seek_wish(asked: bool, folder: Path | None, kib: int) -> SeekWish | None:
    if asked:
        return SeekWish(folder, kib << 10)
    if folder is not None:
        raise UsageError("--seek-index-dir says where indexes go, and none is wanted", hint="add --seek-index")
    return None


_scans_option = click.option(
    "--scans",
    type=click.Path(path_type=Path, file_okay=False),
    metavar="FOLDER",
    help="Use what `ingest containers --scan-to FOLDER` has left, where it tells of the containers as they are.",
)


@click.command()
@_FOLDER
@click.option("--no-scan", is_flag=True, help="Leave the archives and folders for `ingest containers`.")
@_scans_option
@_seek_options
@db_settings
def tol10m(
    settings: Settings,
    folder: Path,
    no_scan: bool,
    scans: Path | None,
    seek_index: bool,
    seek_index_dir: Path | None,
    seek_spacing: int,
) -> None:
    """Read everything that is in a TreeOfLife-10M tree.

    DIR is the TreeOfLife-10M folder, or the one that holds it. Read are metadata/naming/*.json,
    metadata/mapping.sqlite with its splits, metadata/licenses.csv, and the containers under dataset/. Run it
    again at any time: it goes on where it was, and reads only what is new or changed. mapping.sqlite is never
    written to.

    \b
    Examples:
      tol-db ingest tol10m /data/TreeOfLife-10M
      tol-db ingest tol10m /data/TreeOfLife-10M --seek-index
      tol-db ingest tol10m /data/TreeOfLife-10M --scans /data/scans
    """
    seek = _seek_wish(seek_index, seek_index_dir, seek_spacing)
    if seek is not None and no_scan:
        raise UsageError(
            "--seek-index is made by the scan, and --no-scan leaves it out", hint="leave out one of them"
        )
    if scans is not None and no_scan:
        raise UsageError("--scans is for the scan, and --no-scan leaves it out", hint="leave out one of them")
    _tell_absence(scans)
    result = ingest_tree(opened(settings), folder, scan=not no_scan, seek=seek, scans=scans)
    _print(result.describe(), result.containers)


@click.command()
@_FOLDER
@click.option("--source", type=click.Choice(KEYS), help="Only this source; whose folder DIR is.")
@click.option(
    "--containers",
    "only",
    type=NumberRange(),
    help="Only these, by the number in their names (image_set_07.tar.gz: 7, part12: 12), "
    "or by place in natural order, from 1, where not every name has a number of its own.",
)
@click.option("--rehash", is_flag=True, help="Compare checksums also where size and time are unchanged.")
@click.option(
    "--scan-to",
    type=click.Path(path_type=Path, file_okay=False),
    metavar="FOLDER",
    help="Open no database: leave a scan file of each container in FOLDER, for --scans.",
)
@click.option(
    "--share",
    type=ShareOf(),
    help="Of --scan-to: every N-th container of all sources, from the K-th on; K counts from 0.",
)
@_scans_option
@_seek_options
@db_settings
def containers(
    settings: Settings,
    folder: Path,
    source: str | None,
    only: range | None,
    rehash: bool,
    scan_to: Path | None,
    share: tuple[int, int] | None,
    scans: Path | None,
    seek_index: bool,
    seek_index_dir: Path | None,
    seek_spacing: int,
) -> None:
    """Scan archives and folders: which file is which image, and where it lies.

    DIR is a TreeOfLife-10M tree or the folder of one source. What was scanned before is read again only when
    its size or time changed. A damaged archive is recorded up to its fault; the others go on. With --seek-index
    archives that were scanned before get their index too, and an index that is there and whole is kept.

    By many processes at once, on as many nodes: each runs --scan-to at its --share (or --containers) and leaves a
    small file per container, without a database; then one run with --scans enters them. A file counts for the
    container as it was scanned: one that is damaged, or older than its container, is named, and the container is
    read. Run both as often as you like.

    \b
    Examples:
      tol-db ingest containers /data/TreeOfLife-10M
      tol-db ingest containers /data/TreeOfLife-10M --scan-to /data/scans --share 0/63
      tol-db ingest containers /data/TreeOfLife-10M --scans /data/scans
      tol-db ingest containers /data/TreeOfLife-10M --source eol --containers 7-9
      tol-db ingest containers /data/eol --rehash
      tol-db ingest containers /data/eol --seek-index --seek-index-dir /blue/group/indexes
    """
    seek = _seek_wish(seek_index, seek_index_dir, seek_spacing)
    if share is not None and scan_to is None:
        raise UsageError("--share is for --scan-to FOLDER", hint="one process enters all scans, with --scans")
    if scans is not None and scan_to is not None:
        raise UsageError("--scan-to leaves scans, and --scans enters them", hint="leave out one of them")
    db = opened(settings) if scan_to is None else None
    roots = find_roots(folder, source)
    if only is not None and len(list(roots.items())) > 1:
        raise UsageError(
            "--containers counts within one source, and this tree has several",
            hint="add --source eol, --source inat21 or --source bioscan",
        )
    if scan_to is not None:
        mine = Share(*share) if share is not None else None
        left = leave_scans(roots, scan_to, only=only, share=mine, rehash=rehash, seek=seek)
        for line in left.describe():
            click.echo(line)
        left.require_sound()
    if db is not None:
        _tell_absence(scans)
        result = ingest_containers(db, roots, only=only, rehash=rehash, seek=seek, scans=scans)
        _print(result.describe(), result)


def _raw(settings: Settings, folder: Path, ingest: Callable[..., RawResult]) -> None:
    result = ingest(opened(settings), folder)
    _print(result.describe(), result.scan)


@click.command()
@_FOLDER
@db_settings
def eol(settings: Settings, folder: Path) -> None:
    """Read original EOL archives, without a mapping.

    DIR holds .tar.gz, .tgz or .tar files whose members are named <content_id>_<page_id>_eol….jpg. The ids of
    the images follow from these numbers, so they are the same on every machine.

    \b
    Example:
      tol-db ingest eol /data/eol
    """
    _raw(settings, folder, ingest_eol)


@click.command()
@_FOLDER
@db_settings
def inat21(settings: Settings, folder: Path) -> None:
    """Read an iNat21 folder, without a mapping.

    DIR holds the class folders, or train/ with them: 00371_Animalia_Chordata_…. A class that no lookup names
    (`tol-db ingest labels --source inat21 FILE`) is labelled by the name of its folder.

    \b
    Example:
      tol-db ingest inat21 /data/inat21
    """
    _raw(settings, folder, ingest_inat21)


@click.command()
@_FOLDER
@db_settings
def bioscan(settings: Settings, folder: Path) -> None:
    """Read a BIOSCAN-1M folder, without a mapping.

    DIR holds the folders part1, part2, …: as many as there are.

    \b
    Example:
      tol-db ingest bioscan /data/bioscan
    """
    _raw(settings, folder, ingest_bioscan)
