"""``tol-db fetch metadata|eol|inat21|bioscan|manifest``: the four downloads of TreeOfLife-10M."""

from __future__ import annotations

import math
import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from tol_db.cli.options import NumberRange, db_settings, opened
from tol_db.errors import InputError, UsageError, printed
from tol_db.fetch.aria2 import find_aria2c
from tol_db.fetch.items import Wishes, look
from tol_db.fetch.manifest import Section, built_in_text, read_manifest
from tol_db.fetch.manners import Manners
from tol_db.fetch.run import fetch as fetch_section
from tol_db.fetch.space import free_bytes
from tol_db.progress import amount
from tol_db.settings import Settings

TOKEN = "TOL_DB_FETCH_TOKEN"
_MANIFEST = click.Path(path_type=Path, dir_okay=False)


class Rate(click.ParamType[float]):
    """``500K``, ``20M``, ``1.5G``: bytes per second, in multiples of 1,024."""

    name = "RATE"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        match = re.fullmatch(r"(\d{1,12}(?:\.\d{1,6})?)([KMG]?)", str(value), re.IGNORECASE)
        rate = float(match[1]) * 1024 ** " KMG".index(match[2].upper() or " ") if match else math.nan
        if not rate >= 1:
            self.fail(f"{value!r}: bytes a second are wanted, such as 500K or 20M", param, ctx)
        return rate


@dataclass(frozen=True, slots=True)
class How:
    """The options that the four downloads share."""

    tree: Path
    manifest: Path | None
    dry_run: bool
    aria2: bool | None
    connections: int
    jobs: int
    rate: float | None
    retries: int
    retry_wait: float
    timeout: float


_SHARED = (
    click.argument("tree", metavar="DIR", type=click.Path(path_type=Path, file_okay=False)),
    click.option("--manifest", type=_MANIFEST, help="Addresses and sums.  [default: built in]"),
    click.option("--dry-run", is_flag=True, help="Say what would be fetched, and fetch nothing."),
    click.option("--aria2/--no-aria2", default=None, help="Fetch by aria2c.  [default: where it is installed]"),
    click.option(
        "--connections", type=click.IntRange(1, 16), default=4, show_default=True, help="Of aria2c, for each file."
    ),
    click.option("--jobs", type=click.IntRange(1, 64), default=2, show_default=True, help="Files fetched at once."),
    click.option("--limit-rate", "rate", type=Rate(), help="Bytes a second of all together: 500K, 20M, 1G."),
    click.option(
        "--retries", type=click.IntRange(0), default=8, show_default=True, help="Tries in a row that bring nothing."
    ),
    click.option(
        "--retry-wait",
        type=click.FloatRange(0, 3600),
        default=1.0,
        show_default=True,
        help="Seconds before the first new try; doubled each time.",
    ),
    click.option(
        "--timeout",
        type=click.FloatRange(0.1, 3600),
        default=60.0,
        show_default=True,
        help="Seconds of silence that end a connection.",
    ),
)


def _shared(command: Callable[..., None]) -> Callable[..., None]:
    """Adds the options of :class:`How`."""

    def with_how(settings: Settings, **values: Any) -> None:
        how = How(**{name: values.pop(name) for name in How.__dataclass_fields__})
        command(settings, how, **values)

    with_how.__name__, with_how.__doc__ = command.__name__, command.__doc__
    decorated: Callable[..., None] = db_settings(with_how)
    for decorate in reversed(_SHARED):
        decorated = decorate(decorated)
    return decorated


_EXTRACT = click.option("--extract/--no-extract", default=True, help="Take the archive apart.  [default: extract]")
_KEEP = click.option(
    "--keep-archive/--remove-archive",
    default=True,
    help="Whether the archive stays when it was taken apart.  [default: keep]",
)
_THREADS = click.option(
    "--threads", type=click.IntRange(1, 256), default=4, show_default=True, help="That write images."
)


@click.group()
def fetch() -> None:
    """Download what TreeOfLife-10M is made of: metadata, EOL archives, iNat21, BIOSCAN-1M.

    Files come under hidden names and get their own when size and sums are right. Every command can be killed
    at any moment and run again: it goes on, and fetches nothing twice. With a database (--db), what came is
    registered there. Proxies are those of the environment (http_proxy, https_proxy, no_proxy); a token in
    TOL_DB_FETCH_TOKEN is sent to the hub alone.
    """


@fetch.command()
@_shared
def metadata(settings: Settings, how: How) -> None:
    """Fetch catalog, licences, taxonomy and name lookups into DIR/metadata.

    DIR is the TreeOfLife-10M folder; it is made where it is new.

    \b
    Example:
      tol-db fetch metadata /data/TreeOfLife-10M
    """
    _fetch(settings, "metadata", how, Wishes(jobs=how.jobs))


@fetch.command()
@click.option("--archives", type=NumberRange(), help="Only these, by their number: 7 or 1-20.")
@click.option("--as-tar", is_flag=True, help="Inflate each to .tar, in its place: for `plan --order shuffled`.")
@_shared
def eol(settings: Settings, how: How, archives: range | None, as_tar: bool) -> None:
    """Fetch the EOL archives into DIR/dataset/eol: 63 of about 30 GB.

    With --as-tar each .tar.gz is replaced by its .tar as soon as that is whole; pictures hardly compress, so
    that it is no larger, and images can then be read in any order.

    \b
    Examples:
      tol-db fetch eol /data/TreeOfLife-10M --dry-run
      tol-db fetch eol /data/TreeOfLife-10M --archives 1-20 --jobs 4 --limit-rate 100M
    """
    _fetch(settings, "eol", how, Wishes(numbers=archives, as_tar=as_tar, jobs=how.jobs))


@fetch.command()
@_EXTRACT
@_KEEP
@_THREADS
@_shared
def inat21(settings: Settings, how: How, extract: bool, keep_archive: bool, threads: int) -> None:
    """Fetch iNat21's training images (224 GB) and extract them into DIR/dataset/inat21/train.

    \b
    Example:
      tol-db fetch inat21 /data/TreeOfLife-10M --remove-archive
    """
    wishes = Wishes(extract=extract, keep_archive=keep_archive, jobs=how.jobs, threads=threads)
    _fetch(settings, "inat21", how, wishes)


@fetch.command()
@_EXTRACT
@_KEEP
@_THREADS
@_shared
def bioscan(settings: Settings, how: How, extract: bool, keep_archive: bool, threads: int) -> None:
    """Fetch BIOSCAN-1M's cropped images (7 GB) and extract them into DIR/dataset/bioscan/partN.

    They must be 1,128,313.

    \b
    Example:
      tol-db fetch bioscan /data/TreeOfLife-10M --threads 16
    """
    wishes = Wishes(extract=extract, keep_archive=keep_archive, jobs=how.jobs, threads=threads)
    _fetch(settings, "bioscan", how, wishes)


@fetch.command()
@click.option("--manifest", type=_MANIFEST, help="Read this one, and say whether it is good, instead.")
def manifest(manifest: Path | None) -> None:
    """Print the built-in manifest, to be edited or mirrored.

    \b
    Examples:
      tol-db fetch manifest > mine.toml
      tol-db fetch manifest --manifest mine.toml
      tol-db fetch eol /data/TreeOfLife-10M --manifest mine.toml
    """
    if manifest is None:
        click.echo(built_in_text(), nl=False)
        return
    for section in read_manifest(manifest).values():
        click.echo(f"{section.key}: {len(section.files):,} files, to {section.folder}")


# ------------------------------------------------------------------ what they share


def _fetch(settings: Settings, key: str, how: How, wishes: Wishes) -> None:
    sections = read_manifest(how.manifest)
    if key not in sections:
        raise UsageError(
            f"{how.manifest}: has no section [{key}]", hint="`tol-db fetch manifest` prints a whole one"
        )
    section = sections[key]
    if how.dry_run:
        _describe(section, how.tree, wishes)
        return
    token = _token()
    aria2c = None if how.aria2 is False else find_aria2c()
    if how.aria2 and aria2c is None:
        raise UsageError("aria2c is not installed", hint="leave --aria2 out: files are fetched without it")
    db = opened(settings) if settings.database.exists() else None
    if db is None:
        _say(
            f"no database at {settings.database}: what is fetched is not registered; after `tol-db init`, run again"
        )
    result = fetch_section(
        section,
        how.tree,
        wishes=wishes,
        manners=Manners(how.retries, how.retry_wait, how.timeout, how.connections, aria2c),
        rate=how.rate,
        token=token,
        db=db,
        say=_say,
    )
    for line in result.describe():
        click.echo(line)
    result.require_sound()


def _describe(section: Section, tree: Path, wishes: Wishes) -> None:
    items = look(section, tree, wishes)
    for item in items:
        click.echo(item.describe())
    todo = [item for item in items if item.state in ("missing", "begun")]
    sizes = [item.file.size for item in todo]
    known = sum(max(0, (item.file.size or 0) - item.have) for item in todo)
    unknown = f", and {sizes.count(None)} files of unknown size" if None in sizes else ""
    free = amount(free_bytes(tree), "bytes")
    click.echo(f"to fetch: {len(todo):,} files, about {amount(known, 'bytes')}{unknown}; {free} are free")


def _say(line: str) -> None:
    click.echo(printed(line), err=True)


def _token() -> str | None:
    """Raises: InputError, where a header could not hold it; it is never shown."""
    token = os.environ.get(TOKEN) or None
    if token is not None and not (token.isascii() and token.isprintable() and " " not in token):
        raise InputError(
            f"{TOKEN}: holds a blank, a newline or a letter beyond ASCII", hint="set it to the bare token"
        )
    return token
