"""``tol-db report status --watch``: looks again and again, until all is written or somebody has seen enough."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import click

from tol_db.cli.options import as_json
from tol_db.db.engine import Database
from tol_db.report.status import Status, status
from tol_db.report.status_text import status_text
from tol_db.report.tables import terminal_width
from tol_db.report.watch import drawn, is_done, plain_lines

Show = Callable[[Status], None]


def watch_status(database: Database, name: str | None, interval: float, *, json_: bool) -> None:
    """Show where the datasets stand until nothing is pending; Ctrl-C (or SIGTERM) is the other way to end it.

    Args:
        database: opened for reading. Each look is a transaction of its own.
        name: of one dataset; None: all.
        interval: seconds between two looks.
        json_: JSON, a line for each look.

    Raises:
        UsageError: no such dataset.
    """
    try:
        found = status(database, name)
        if not found.datasets and not json_:
            click.echo(status_text(found, terminal_width()))
            return
        with _shown(interval, json_) as show:
            show(found)
            while not is_done(found):
                time.sleep(interval)
                found = status(database, name)
                show(found)
    except KeyboardInterrupt:
        return  # how one leaves it: nothing was interrupted


@contextmanager
def _shown(interval: float, json_: bool) -> Iterator[Show]:
    """The way to show it: JSON, plain lines, or in place."""
    if json_:
        yield lambda found: click.echo(as_json(found, indent=None))
    elif sys.stdout.isatty() and os.environ.get("TERM") not in ("dumb", "unknown"):
        with _in_place(interval) as show:
            yield show
    else:
        yield _Lines().show


class _Lines:
    """Lines for a log: those that were not the same at the last look."""

    def __init__(self) -> None:
        self.last: set[str] = set()

    def show(self, found: Status) -> None:
        lines = list(plain_lines(found))
        now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        for line in lines:
            if line not in self.last:
                click.echo(f"{now} {line}")
        sys.stdout.flush()
        self.last = set(lines)


@contextmanager
def _in_place(interval: float) -> Iterator[Show]:
    from rich.console import Console
    from rich.live import Live

    with Live(console=Console(), auto_refresh=False) as live:

        def show(found: Status) -> None:
            end = "" if is_done(found) else f", again every {interval:g} s; Ctrl-C ends this, not the run"
            live.update(drawn(found, f"looked at {time.strftime('%H:%M:%S')}{end}"), refresh=True)

        yield show
