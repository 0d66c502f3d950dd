"""Takes fetched archives apart, or inflates them, from wherever an earlier run was."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from tol_db import progress
from tol_db.errors import Interrupted, LeaseHeld, TolDbError
from tol_db.fetch.context import Run, locked
from tol_db.fetch.items import Item
from tol_db.fetch.manifest import Extract
from tol_db.fetch.notes import Fetched
from tol_db.fetch.partial import Partial
from tol_db.fetch.unpack import Place, Unpacked, told
from tol_db.fetch.unpack_tar import inflate, unpack_tar
from tol_db.fetch.unpack_zip import unpack_zip


@dataclass(frozen=True, slots=True)
class Taken:
    """What became of a fetched file.

    Attributes:
        item, note: the file, and its note afterwards.
        members: files taken out of it now.
        error: what failed, or None.
    """

    item: Item
    note: Fetched
    members: int
    error: TolDbError | None


def unpack_all(run: Run, whole: list[tuple[Item, Fetched]]) -> list[Taken]:
    """Take apart, or inflate, what is to be; one that fails does not hinder the others."""
    results: list[Taken] = []
    to_inflate: list[tuple[Item, Fetched]] = []
    for item, note in whole:
        if item.file.extract is not None and run.wishes.extract:
            try:
                after, number = _extract(run, item, note, item.file.extract)
                results.append(Taken(item, after, number, None))
            except TolDbError as err:
                results.append(_failed(item, note, err))
        elif run.wishes.as_tar and item.tar != item.path:
            to_inflate.append((item, note))
    return results + _inflate_all(run, to_inflate)


def _failed(item: Item, note: Fetched, err: TolDbError) -> Taken:
    """Raises: Interrupted, the run is to stop; another run's lock only concerns this file."""
    if isinstance(err, Interrupted) and not isinstance(err, LeaseHeld):
        raise err
    return Taken(item, note, 0, err)


@contextmanager
def _held(run: Run, item: Item, note: Fetched) -> Iterator[Fetched]:
    """Within, no other process fetches or unpacks the file; gives its note as it is under the lock.

    The lock is that of the file's partial, of which nothing is left.

    Raises: CannotWrite, LeaseHeld, Interrupted.
    """
    partial = Partial(item.path)
    with partial.held(run.wait):
        try:
            yield run.read_note(item) or note
        finally:
            partial.remove_if_empty()


def _extract(run: Run, item: Item, note: Fetched, extract: Extract) -> tuple[Fetched, int]:
    """Take an archive apart, from wherever an earlier run was."""
    if note.state == "extracted" and (run.wishes.keep_archive or not item.path.exists()):
        return note, 0  # no lock: the tree may not be writable any more
    number = 0
    with _held(run, item, note) as note:
        if note.state != "extracted":
            place = Place(item.path, extract, item.root)
            if note.state != "moving":
                counted = _fill(run, place, note)
                note = replace(note, state="moving", members=counted.members, parts=counted.parts)
                run.write_note(item, note)
            place.move()
            note, number = replace(note, state="extracted"), note.members
            run.write_note(item, note)
        if not run.wishes.keep_archive:
            _remove(item.path)
    return note, number


def _fill(run: Run, place: Place, note: Fetched) -> Unpacked:
    place.open(note.sha256)
    is_zip = place.archive.name.lower().endswith(".zip")
    what = f"extracting {place.archive.name}"
    with progress.track(
        what, total=None if is_zip else note.bytes, unit="images" if is_zip else "bytes"
    ) as tracker:
        advance = locked(tracker.advance)
        if is_zip:
            unpack_zip(place, threads=run.wishes.threads, check=run.check, advance=advance, expect=tracker.expect)
        else:
            unpack_tar(place, threads=run.wishes.threads, check=run.check, advance=advance)
    counted = place.count()
    place.settle()
    return counted


def _inflate_all(run: Run, items: list[tuple[Item, Fetched]]) -> list[Taken]:
    """``.tar.gz`` to ``.tar``, several at once."""
    if not items:
        return []
    todo = sum(note.bytes for _, note in items if note.state != "inflated")
    with progress.track("inflating", total=todo, unit="bytes") as tracker:
        advance = locked(tracker.advance)

        def one(job: tuple[Item, Fetched]) -> Taken:
            item, note = job
            try:
                return Taken(item, _inflate(run, item, note, advance), 0, None)
            except TolDbError as err:
                return _failed(item, note, err)

        with ThreadPoolExecutor(run.wishes.jobs, "inflate") as pool:
            return list(pool.map(one, items))


def _inflate(run: Run, item: Item, note: Fetched, advance: Callable[[float], None]) -> Fetched:
    if note.state == "inflated" and not item.path.exists():
        return note  # no lock: the tree may not be writable any more
    with _held(run, item, note) as note:
        if not (note.state == "inflated" and note.is_of(item.tar)):
            sums, mtime = inflate(item.path, item.tar, check=run.check, advance=advance)
            note = replace(note, state="inflated", bytes=sums.bytes, mtime_ns=mtime, sha256=sums.sha256, md5=None)
            run.write_note(item, note)
        _remove(item.path)  # both would be scanned, and every image found twice
    return note


def _remove(path: Path) -> None:
    with told(path):
        path.unlink(missing_ok=True)
