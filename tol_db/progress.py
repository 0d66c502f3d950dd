"""Progress of long work: a bar on a terminal, lines with rate and remaining time in a log.

Everything goes to standard error, so that a report on standard output can be piped.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

PLAIN_SECONDS = 10.0
"""How often a line is written where there is no terminal."""

_quiet = False


def be_quiet(quiet: bool) -> None:
    """Turn progress off, or on again, for this process (``--quiet``)."""
    global _quiet
    _quiet = quiet


class Tracker(Protocol):
    """What :func:`track` yields."""

    def advance(self, number: float = 1) -> None:
        """``number`` more units are done."""

    def expect(self, total: float) -> None:
        """The whole is ``total`` units (known only now)."""


class _Silent:
    def advance(self, number: float = 1) -> None:
        pass

    def expect(self, total: float) -> None:
        pass


class _Plain:
    """A line every ten seconds, and one at the end of work that took longer than that."""

    def __init__(self, what: str, total: float | None, unit: str) -> None:
        self.what, self.total, self.unit = what, total, unit
        self.done = 0.0
        self.start = self.last = time.monotonic()

    def advance(self, number: float = 1) -> None:
        self.done += number
        if time.monotonic() - self.last >= PLAIN_SECONDS:
            self.line()

    def expect(self, total: float) -> None:
        self.total = total

    def line(self) -> None:
        self.last = time.monotonic()
        elapsed = self.last - self.start
        rate = self.done / elapsed if elapsed > 0 else 0.0
        text = f"{self.what}: {amount(self.done, self.unit)}"
        if self.total is not None:
            text += f" of {amount(self.total, self.unit)}"
        text += f", {amount(rate, self.unit)}/s"
        if self.total is not None and rate > 0:
            text += f", {duration((self.total - self.done) / rate)} to go"
        sys.stderr.write(text + "\n")
        sys.stderr.flush()

    def close(self) -> None:
        if self.last != self.start:
            self.line()


def say(text: str) -> None:
    """A line about what is being done now, for work whose parts are not counted."""
    if not _quiet:
        sys.stderr.write(f"{text}\n")
        sys.stderr.flush()


@contextmanager
def track(what: str, total: float | None = None, unit: str = "images") -> Iterator[Tracker]:
    """Show the progress of a piece of work.

    Args:
        what: what is being done, a few words.
        total: how many units in all, or None where it is not known.
        unit: what is counted; ``bytes`` are shown in binary multiples.
    """
    if _quiet:
        yield _Silent()
    elif sys.stderr.isatty():
        with _rich(what, total, unit) as tracker:
            yield tracker
    else:
        plain = _Plain(what, total, unit)
        try:
            yield plain
        finally:
            plain.close()


@contextmanager
def _rich(what: str, total: float | None, unit: str) -> Iterator[Tracker]:
    from rich.console import Console
    from rich.progress import BarColumn, Progress, ProgressColumn, Task, TextColumn, TimeRemainingColumn
    from rich.text import Text

    class Amount(ProgressColumn):
        def render(self, task: Task) -> Text:
            whole = f" of {amount(task.total, unit)}" if task.total is not None else ""
            rate = f", {amount(task.speed, unit)}/s" if task.speed else ""
            return Text(f"{amount(task.completed, unit)}{whole}{rate}")

    columns = (TextColumn("{task.description}"), BarColumn(), Amount(), TimeRemainingColumn(compact=True))
    with Progress(*columns, console=Console(stderr=True), transient=False) as bars:
        task = bars.add_task(what, total=total)

        class Bar:
            def advance(self, number: float = 1) -> None:
                bars.advance(task, number)

            def expect(self, total: float) -> None:
                bars.update(task, total=total)

        yield Bar()


def amount(number: float, unit: str) -> str:
    """``1,234 images``, ``1.2 GiB``."""
    if unit != "bytes":
        return f"{number:,.0f} {unit}" if number >= 10 or number == int(number) else f"{number:.1f} {unit}"
    for prefix in ("B", "KiB", "MiB", "GiB"):
        if number < 1024:
            return f"{number:.0f} {prefix}" if prefix == "B" else f"{number:.1f} {prefix}"
        number /= 1024
    return f"{number:.1f} TiB"


def duration(seconds: float) -> str:
    """``45 s``, ``3 min``, ``2 h 05 min``."""
    if seconds < 90:
        return f"{max(0.0, seconds):.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60} h {minutes % 60:02d} min"
