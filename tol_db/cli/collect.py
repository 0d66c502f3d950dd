"""``tol-db collect``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from tol_db.cli.findings import few, print_findings
from tol_db.cli.options import as_json, db_settings, opened
from tol_db.errors import LeaseHeld, TolDbError
from tol_db.settings import Settings

if TYPE_CHECKING:
    from materialize.collect import Collected


@click.command()
@click.option("--dataset", "name", help="Which dataset.  [the only one]")
@click.option(
    "--wait",
    type=click.FloatRange(0),
    default=60.0,
    show_default=True,
    metavar="SECONDS",
    help="How long to wait for another run that holds the dataset.",
)
@click.option("--json", "json_", is_flag=True, help="JSON instead of text.")
@db_settings
def collect(settings: Settings, name: str | None, wait: float, json_: bool) -> None:
    """Enter the shards that `materialize --receipts-only` has written.

    Run it any number of times, while such runs go on or after them. Shards whose file is gone are taken back,
    partial files of dead attempts are removed. Exit code 1 while shards are still to be written.

    \b
    Example:
      tol-db collect --dataset tol
    """
    from materialize.collect import collect as run

    collected = run(opened(settings), name, wait=wait, on_wait=_print_waiting)
    click.echo(as_json(collected)) if json_ else _print(collected)
    if collected.left:
        shards = sum(map(len, collected.left.values()))
        raise TolDbError(
            f"{shards} shards of {len(collected.left)} work units are still to be written: "
            f"units {few(sorted(collected.left))}",
            hint="wait for who writes them, or run `tol-db materialize`, then `tol-db collect` again",
        )


def _print_waiting(held: LeaseHeld) -> None:
    click.echo(f"waiting: {held}", err=True)


def _print(collected: Collected) -> None:
    findings = collected.findings
    click.echo(f"entered {len(findings.adopted)} shards")
    if findings.working:
        click.echo(f"{findings.working} work units are still being written")
    print_findings(findings, adopted=False)
