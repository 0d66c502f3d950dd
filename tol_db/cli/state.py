"""``tol-db`` alone: what state the database is in, and what one would do next."""

from __future__ import annotations

import shlex
from pathlib import Path

import click

from tol_db.settings import Settings


def show(settings: Settings, *, named: Path | None) -> None:
    """Print it; ``named`` is the database that the command line names, which the next one must name too."""
    from tol_db.report.state import look
    from tol_db.report.tables import indented, named_values, terminal_width

    state, width = look(settings.database), terminal_width()
    click.echo(named_values(state.facts, width))
    start = "tol-db" if named is None else f"tol-db --db {shlex.quote(str(named))}"
    click.echo("\nnext:")
    longest = max(len(step.command) for step in state.next) if width is None or width >= 100 else 0
    for step in state.next:
        click.echo(indented(f"{start} {step.command:<{min(longest, 60)}}  # {step.why}"))
    click.echo("\nall commands: tol-db --help")
