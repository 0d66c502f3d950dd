"""``tol-db collect``."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import click

from tol_db.cli.findings import few, print_findings
from tol_db.cli.options import as_json, db_settings, opened
from tol_db.cli.verify_results import print_entered, print_waiting
from tol_db.errors import TolDbError
from tol_db.settings import Settings

if TYPE_CHECKING:
    from materialize.collect import Collected
    from materialize.dataset import Dataset
    from materialize.lease import Keeper
    from materialize.verify.enter import EnteredResults
    from tol_db.db.engine import Database


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
@click.option(
    "--verify-order",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="An order of `slurm submit`: make the snapshot by which the array after this job checks the new shards.",
)
@click.option("--json", "json_", is_flag=True, help="JSON instead of text.")
@db_settings
def collect(settings: Settings, name: str | None, wait: float, verify_order: Path | None, json_: bool) -> None:
    """Enter the shards that `materialize --receipts-only` has written, and what `verify --results-only` has found.

    Run it any number of times, while such runs go on or after them. Shards whose file is gone are taken back,
    partial files of dead attempts are removed. Exit code 1 while shards are still to be written.

    \b
    Example:
      tol-db collect --dataset tol
    """
    from materialize.collect import collect as run
    from materialize.slurm.verification import carry_out
    from materialize.verify.enter import enter_results

    results: list[EnteredResults] = []

    def enter(db: Database, dataset: Dataset, keeper: Keeper, between_steps: Callable[[], None]) -> None:
        results.append(enter_results(db, dataset, keeper, between_steps))

    def order(db: Database, dataset: Dataset, keeper: Keeper, between_steps: Callable[[], None]) -> None:
        if verify_order is not None:
            carry_out(db, dataset, verify_order, between_steps)

    collected = run(opened(settings), name, wait=wait, on_wait=print_waiting, before=enter, after=order)
    if json_:
        click.echo(as_json({"findings": collected.findings, "left": collected.left, "results": results[0]}))
    else:
        _print(collected, results[0])
    if collected.left:
        shards = sum(map(len, collected.left.values()))
        raise TolDbError(
            f"{shards} shards of {len(collected.left)} work units are still to be written: "
            f"units {few(sorted(collected.left))}",
            hint="wait for who writes them, or run `tol-db materialize`, then `tol-db collect` again",
        )


def _print(collected: Collected, results: EnteredResults) -> None:
    findings = collected.findings
    if not results.is_empty:
        print_entered(results)
    click.echo(f"entered {len(findings.adopted)} shards")
    if findings.working:
        click.echo(f"{findings.working} work units are still being written")
    print_findings(findings, adopted=False)
