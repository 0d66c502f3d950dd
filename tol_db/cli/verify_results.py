"""Tells what became of the results that `verify --results-only` has left."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from tol_db.errors import LeaseHeld, TolDbError

if TYPE_CHECKING:
    from materialize.verify.enter import EnteredResults

LINES = 20
"""Lines of each kind that are told as text; JSON has them all."""


def print_waiting(held: LeaseHeld) -> None:
    click.echo(f"waiting: {held}", err=True)


def print_entered(entered: EnteredResults) -> None:
    click.echo(f"entered {entered.entered:,} results of verify: {entered.good:,} shards are good")
    _print_lines(
        [
            f"{bad.verdict}: shard {bad.shard}, {bad.path}: {finding}"
            for bad in entered.bad
            for finding in bad.findings
        ]
    )
    _print_lines([f"{x.state} since before: shard {x.shard}, {x.path}: {x.detail}" for x in entered.bad_before])
    if entered.known:
        click.echo(f"entered before, or older than what is known: {entered.known:,} results")
    _print_lines([f"dropped: {x.path}: {x.why}" for x in entered.dropped])
    _print_lines([f"not judged, kept for the next time: {x.path}: {x.why}" for x in entered.kept])
    _print_lines([f"broken, left alone: {x.why}" for x in entered.broken])
    if entered.others:
        click.echo(f"results of other datasets, left alone: {entered.others:,}")


def _print_lines(lines: list[str]) -> None:
    for line in lines[:LINES]:
        click.echo(f"  {line}")
    if len(lines) > LINES:
        click.echo(f"  … and {len(lines) - LINES:,} more (--json has all)")


def failure_of(entered: EnteredResults) -> TolDbError:
    """What the command exits with where something was found."""
    missing = sum(bad.verdict == "missing" for bad in entered.bad)
    counts = (
        (len(entered.bad) - missing, "bad shards"),
        (missing, "missing shards"),
        (len(entered.bad_before), "shards bad or missing since before"),
        (len(entered.kept), "results that could not be judged"),
        (len(entered.broken), "broken results"),
    )
    told = ", ".join(f"{number:,} {what}" for number, what in counts if number)
    if entered.bad or entered.bad_before:
        hint = "run `tol-db materialize`: it writes the bad and missing ones anew"
    elif entered.kept:
        hint = "check the disk or mount, then run the same command again"
    else:
        hint = "remove the broken files, and run `tol-db verify --results-only` over their shards again"
    return TolDbError(f"results of verify: {told}", hint=hint)
