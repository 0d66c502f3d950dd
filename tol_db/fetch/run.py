"""A download from beginning to end: look, check the room, fetch, verify, unpack, write down."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from materialize.stop import stop_signals
from tol_db import progress
from tol_db.db.bulk import utc_now
from tol_db.db.engine import Database
from tol_db.errors import InputError, Interrupted, TolDbError
from tol_db.fetch.context import SLICE, Run, locked
from tol_db.fetch.http import Client
from tol_db.fetch.items import Item, Wishes, look, require_room
from tol_db.fetch.manifest import Section
from tol_db.fetch.manners import Manners, Surroundings
from tol_db.fetch.notes import Fetched
from tol_db.fetch.pace import Pace
from tol_db.fetch.partial import Partial
from tol_db.fetch.sums import fault, sums_of
from tol_db.fetch.transfer import Transfer
from tol_db.fetch.unpacking import unpack_all
from tol_db.fetch.urls import shown

PARTING = 5.0
"""Seconds that the threads have to end: an aria2c writes down how far it is."""
_NOT_OVERWRITTEN = "move it away and run again; nothing of yours is overwritten"


@dataclass(frozen=True, slots=True)
class Result:
    """What a download came to.

    Attributes:
        fetched, kept: files that came now, and that were there already.
        absent: optional files that the server does not have.
        unpacked: files taken out of archives now.
        registered: records that are new in the database.
        errors: of the files that failed.
    """

    fetched: int
    kept: int
    absent: tuple[str, ...]
    unpacked: int
    registered: int
    errors: tuple[TolDbError, ...]

    def describe(self) -> list[str]:
        """Lines to print."""
        lines = [f"fetched {self.fetched:,} files, {self.kept:,} were there already"]
        lines += [f"the server does not have {path}" for path in self.absent]
        if self.unpacked:
            lines.append(f"extracted {self.unpacked:,} images")
        if self.registered:
            lines.append(f"registered {self.registered:,} files in the database")
        if len(self.errors) > 1:
            lines += [f"failed: {err}" for err in self.errors]
        return lines

    def require_sound(self) -> None:
        """Raises: the error of the file that failed, or one that counts them."""
        if len(self.errors) == 1:
            raise self.errors[0]
        if self.errors:
            raise Several(self.errors)


class Several(TolDbError):
    """More than one file failed; the exit code is theirs where they agree."""

    def __init__(self, errors: Sequence[TolDbError]) -> None:
        super().__init__(f"{len(errors):,} files failed; the first: {errors[0]}", hint=errors[0].hint)
        codes = {err.exit_code for err in errors}
        self.exit_code = codes.pop() if len(codes) == 1 else 1


@dataclass(frozen=True, slots=True)
class _Outcome:
    item: Item
    note: Fetched | None
    is_new: bool
    error: TolDbError | None


def fetch(
    section: Section,
    tree: Path,
    *,
    wishes: Wishes,
    manners: Manners,
    rate: float | None = None,
    token: str | None = None,
    db: Database | None = None,
    say: Callable[[str], None] = lambda _line: None,
) -> Result:
    """Fetch a section of the manifest into a tree; what is there and verified is left alone.

    Must be called from the main thread: it takes the signals. Everything can be killed at any moment; the next
    call goes on.

    Args:
        rate: bytes per second of all transfers together, or None.
        token: for files whose entry in the manifest says ``token = true``.
        db: where fetched files are registered, or None.
        say: prints a line.

    Returns:
        Also what failed: a file that does not hinder the others.

    Raises:
        CannotWrite: there is no room, as far as sizes are known.
        UsageError, InputError: as :func:`~tol_db.fetch.items.look`.
        Interrupted: by a signal.
    """
    items = look(section, tree, wishes)
    require_room(items, wishes, section.title)
    with stop_signals() as stop:
        run = Run(section, tree, wishes, db, say, stop)
        outcomes = _fetch_all(run, items, manners, rate, token)
        errors = [outcome.error for outcome in outcomes if outcome.error is not None]
        whole = [(outcome.item, outcome.note) for outcome in outcomes if outcome.note is not None]
        unpacked = 0
        for taken in unpack_all(run, whole):
            unpacked += taken.members
            run.register(taken.item, taken.note)
            errors += [] if taken.error is None else [taken.error]
    return Result(
        fetched=sum(outcome.is_new for outcome in outcomes),
        kept=sum(outcome.note is not None and not outcome.is_new for outcome in outcomes),
        absent=tuple(str(o.item.path) for o in outcomes if o.note is None and o.error is None),
        unpacked=unpacked,
        registered=run.registered,
        errors=tuple(errors),
    )


# ------------------------------------------------------------------ fetching


def _fetch_all(
    run: Run, items: list[Item], manners: Manners, rate: float | None, token: str | None
) -> list[_Outcome]:
    """Fetch what is missing, several files at once."""
    todo: queue.SimpleQueue[Item] = queue.SimpleQueue()
    done: queue.SimpleQueue[_Outcome | BaseException] = queue.SimpleQueue()
    outcomes = [_Outcome(i, i.note, False, None) for i in items if i.state in ("there", "unpacked")]
    for outcome in outcomes:
        if outcome.note is not None:  # it may have come while there was no database
            run.register(outcome.item, outcome.note)
    missing = [item for item in items if item.state not in ("there", "unpacked")]
    for item in missing:
        todo.put(item)
    if not missing:
        return outcomes
    jobs = min(run.wishes.jobs, len(missing))
    sizes = [item.file.size for item in missing]
    total = sum(size for size in sizes if size is not None) if None not in sizes else None
    with progress.track(f"fetching {run.section.key}", total=total, unit="bytes") as tracker:
        advance = locked(tracker.advance)
        advance(sum(item.have for item in missing))
        around = Surroundings(Client(manners.timeout, token), Pace(rate), run.wait, run.say, advance)
        shared = replace(manners, aria2c_rate=rate / jobs if rate else None)
        threads = [
            threading.Thread(target=_work, args=(run, shared, around, todo, done), name="fetch", daemon=True)
            for _ in range(jobs)
        ]
        for thread in threads:
            thread.start()
        try:
            while len(outcomes) < len(items):
                run.stop.check()
                try:
                    came = done.get(timeout=SLICE)
                except queue.Empty:
                    continue
                if isinstance(came, BaseException):
                    raise came
                outcomes.append(came)
                if came.note is not None:
                    run.register(came.item, came.note)
            run.stop.check()  # the last one may have ended by the signal
        finally:
            # a thread that waits for a silent server dies with the process: its partial is good up to there
            run.given_up.set()
            deadline = time.monotonic() + PARTING
            for thread in threads:
                thread.join(max(0.0, deadline - time.monotonic()))
    run.given_up.clear()
    order = {item.path: index for index, item in enumerate(items)}
    return sorted(outcomes, key=lambda outcome: order[outcome.item.path])


def _work(
    run: Run,
    manners: Manners,
    around: Surroundings,
    todo: queue.SimpleQueue[Item],
    done: queue.SimpleQueue[_Outcome | BaseException],
) -> None:
    """A thread: one file after the other."""
    while True:
        try:
            item = todo.get_nowait()
        except queue.Empty:
            return
        try:
            note, is_new = _bring(run, manners, around, item)
            done.put(_Outcome(item, note, is_new, None))
        except TolDbError as err:
            done.put(_Outcome(item, None, False, err))
        except BaseException as err:  # noqa: BLE001  raised again by the main thread
            done.put(err)


def _bring(run: Run, manners: Manners, around: Surroundings, item: Item) -> tuple[Fetched | None, bool]:
    """A whole, verified file with its note, and whether it came now."""
    if item.state == "unverified":
        if item.note is not None:
            return _adopt_inflated(run, item, item.note), False
        return _adopt(run, Transfer(item.file, item.path, manners, around), item), False
    got = Transfer(item.file, item.path, manners, around).run()
    if got is None:
        return None, False
    status = item.path.stat()
    url = shown(item.file.url)
    note = Fetched(url, status.st_size, status.st_mtime_ns, got.sums.sha256, got.sums.md5, utc_now())
    run.write_note(item, note)
    Partial(item.path).forget()
    return note, True


def _adopt(run: Run, transfer: Transfer, item: Item) -> Fetched | None:
    """Verify a file that is there, whoever put it there.

    Returns:
        None where neither the manifest nor the server knows a file that is optional: it is left alone.

    Raises:
        InputError: it is not the one of the manifest, or of the server, or neither says which is.
        InputMissing, Interrupted, TolDbError: as :meth:`~tol_db.fetch.transfer.Transfer.ask`.
    """
    run.say(f"{item.path.name}: is there, looking whether it is the right one")
    file = item.file
    begun = Partial(item.path).note()  # of a run that was killed between the file's name and its note
    announced = begun.sha256 if begun is not None else None
    size = begun.bytes if begun is not None else None
    if file.sha256 is None and file.md5 is None and announced is None and size is None:
        announced, size = _announced(run, transfer)
        if file.bytes is None and announced is None and size is None:
            if file.optional:
                run.say(f"{item.path.name}: is left as it is; nothing tells whether it is the right one")
                return None
            raise InputError(
                f"{item.path}: is there, and neither the manifest nor the server says how long it must be",
                hint="give its bytes or sha256 in a manifest of your own (--manifest), or move it away; run again",
            )
    mtime = item.path.stat().st_mtime_ns  # before it is read: a change while it is read shows
    sums = sums_of(item.path, md5=file.md5 is not None, check=run.check)
    wrong = fault(file, sums, announced)
    if wrong is None and file.bytes is None and size is not None and size != sums.bytes:
        wrong = f"{sums.bytes:,} bytes; the server says {size:,}"
    if wrong is not None:
        raise InputError(f"{item.path}: {wrong}", hint=_NOT_OVERWRITTEN)
    note = Fetched(shown(file.url), sums.bytes, mtime, sums.sha256, sums.md5, utc_now())
    run.write_note(item, note)
    Partial(item.path).forget()
    return note


def _announced(run: Run, transfer: Transfer) -> tuple[str | None, int | None]:
    """Sha256 and bytes of a file as its server says.

    Raises: as :meth:`~tol_db.fetch.transfer.Transfer.ask`, unless the manifest has its length.
    """
    try:
        remote = transfer.ask()
    except Interrupted:
        raise
    except TolDbError as err:
        if transfer.file.bytes is None:
            raise
        run.say(f"{err}; {transfer.final.name} is checked by the length that the manifest says")
        return None, None
    return (remote.sha256, remote.bytes) if remote is not None else (None, None)


def _adopt_inflated(run: Run, item: Item, note: Fetched) -> Fetched:
    """Verify a ``.tar`` by the note of the run that inflated it: its time is another, as after a copy.

    Raises: InputError, where it is not the one that was inflated.
    """
    run.say(f"{item.tar.name}: is there, looking whether it is the right one")
    try:
        mtime, size = item.tar.stat().st_mtime_ns, item.tar.stat().st_size
    except OSError as err:
        raise InputError(f"{item.tar}: cannot be read: {err.strerror}", hint=_NOT_OVERWRITTEN) from None
    if size != note.bytes or sums_of(item.tar, md5=False, check=run.check).sha256 != note.sha256:
        raise InputError(f"{item.tar}: not the one that was inflated from {item.path.name}", hint=_NOT_OVERWRITTEN)
    note = replace(note, mtime_ns=mtime)
    run.write_note(item, note)
    return note
