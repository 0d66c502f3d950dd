"""Tells what a run, or `collect`, found in an output root."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from tol_db.errors import printed

if TYPE_CHECKING:
    from materialize.reconcile import Findings


def print_findings(findings: Findings, *, adopted: bool = True) -> None:
    """One line for each kind of thing, on standard error."""

    def say(text: str) -> None:
        click.echo(text, err=True)

    if findings.lost:
        say(f"an earlier run ended without a word: {findings.lost} attempts marked lost")
    if findings.partials:
        say(f"removed {findings.partials} partial files of dead attempts")
    if findings.adopted and adopted:
        say(f"adopted {len(findings.adopted)} shards that were whole and only lacked their record")
    for state, numbers in (("missing", findings.missing), ("bad", findings.bad)):
        if numbers:
            say(f"{len(numbers)} recorded shards are {state} and are written anew: {few(numbers)}")
    for path in findings.set_aside:
        say(f"set aside: {printed(str(path))}")
    for path in findings.foreign:
        say(f"not ours, left alone: {printed(str(path))}")


def few(numbers: Sequence[int]) -> str:
    """The first ten numbers."""
    told = ", ".join(map(str, numbers[:10]))
    return told + (" …" if len(numbers) > 10 else "")
