"""What the steps of one download share."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path

from materialize.stop import Stop
from tol_db.db.engine import Database
from tol_db.errors import Interrupted
from tol_db.fetch.items import Item, Wishes
from tol_db.fetch.manifest import Section
from tol_db.fetch.notes import Fetched, Notes
from tol_db.fetch.register import register

SLICE = 0.1
"""Seconds after which a thread that waits looks whether the run is to stop."""


class Run:
    """A download at work.

    Attributes:
        section, wishes: what is fetched.
        db: where it is registered, or None; registered: how many records are new.
        notes: of its tree.
        say: prints a line.
        stop: set by a signal.
        given_up: set when the threads that fetch are to end.
    """

    def __init__(
        self,
        section: Section,
        tree: Path,
        wishes: Wishes,
        db: Database | None,
        say: Callable[[str], None],
        stop: Stop,
    ) -> None:
        self.section = section
        self.wishes = wishes
        self.db = db
        self.registered = 0
        self.notes = Notes(tree)
        self.say = say
        self.stop = stop
        self.given_up = threading.Event()

    def wait(self, seconds: float) -> None:
        """Sleep, in slices. Raises: Interrupted, when the run is to stop."""
        until = time.monotonic() + seconds
        while True:
            self.check()
            left = until - time.monotonic()
            if left <= 0:
                return
            time.sleep(min(SLICE, left))

    def check(self) -> None:
        """Raises: Interrupted, when the run is to stop."""
        self.stop.check()
        if self.given_up.is_set():
            raise Interrupted("stopped", hint="run the same command again to go on")

    def register(self, item: Item, note: Fetched) -> None:
        """Write a file down in the database; from the main thread."""
        self.registered += register(self.db, self.section.key, item.place_of(note), note)

    def read_note(self, item: Item) -> Fetched | None:
        """As it is now: another process may have written it since the look."""
        return self.notes.read(self.section.folder, item.file.path)

    def write_note(self, item: Item, note: Fetched) -> None:
        self.notes.write(self.section.folder, item.file.path, note)


def locked(advance: Callable[[float], None]) -> Callable[[float], None]:
    """For a tracker that several threads tell."""
    lock = threading.Lock()

    def tell(number: float) -> None:
        with lock:
            advance(number)

    return tell
