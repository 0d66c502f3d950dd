"""Writes what is pending, with a pool of processes on this machine.

The story: take the lease, check that this environment writes the planned bytes, bring disk and database to
agree, hand units to workers, enter their receipts, give the lease back.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path

from materialize import lease
from materialize.books import Books, LedgerBooks
from materialize.dataset import Dataset, load_dataset, require_same_recipe
from materialize.notes import require_over
from materialize.pool import Pool, RunReport
from materialize.recipe import check_resizer
from materialize.reconcile import Findings, reconcile, reopen_for_retry
from materialize.shard import cannot_write
from materialize.stop import Stop, stop_signals
from materialize.unit_rows import pending_units, unit_sizes
from tol_db.db.engine import Database
from tol_db.errors import Interrupted
from tol_db.progress import track
from tol_db.settings import IMAGE_TIMEOUT


def materialize(
    db: Database,
    name: str | None,
    *,
    workers: int,
    image_timeout: float = IMAGE_TIMEOUT,
    shards: range | None = None,
    units: range | None = None,
    retry: Sequence[str] = (),
    on_findings: Callable[[Findings], None] = lambda _findings: None,
) -> RunReport:
    """Write all shards of a dataset that are to be written, or those in the ranges.

    Args:
        db: the database; this process is the only writer of shard state while it runs.
        name: of the dataset; None where there is only one.
        workers: how many processes.
        image_timeout: seconds that decoding one image may take before it is tried alone, and then given up.
        shards, units: only these numbers.
        retry: outcomes (``decode_error`` …) whose images are to be tried again: their shards are rewritten.
        on_findings: called with what the reconciliation found, before the writing starts.

    Raises:
        LeaseHeld: another run works on the dataset, or runs that only leave receipts are not over.
        OutputNotMounted: its root is not there.
        RecipeChanged: this environment would write other bytes.
        CannotWrite: what a crash left in the root cannot be put right.
        Interrupted: by a signal; what is complete is kept.
    """
    with stop_signals() as stop:
        with db.read() as conn:
            dataset = load_dataset(conn, name)
        keeper = lease.Keeper(db, dataset, lease.here())
        keeper.acquire()
        with keeper.released_at_the_end():
            with db.read() as conn:  # again: it may have been planned anew until the lease was ours
                dataset = load_dataset(conn, dataset.name)
            check_resizer(dataset.recipe)
            require_same_recipe(dataset)
            report = RunReport()
            todo = _todo(db, dataset, report, keeper, stop, shards, units, retry)
            on_findings(report.findings)
            _write(
                db,
                dataset,
                LedgerBooks(db, dataset, keeper, lambda: stop.asked),
                todo,
                report,
                stop,
                workers,
                image_timeout,
            )
            try:
                stop.check()
            except Interrupted as err:
                hint = "run it again without --retry to go on" if retry else err.hint
                raise Interrupted(f"{err}: {report.shards} shards were completed", hint=hint) from None
            return report


def _todo(
    db: Database,
    dataset: Dataset,
    report: RunReport,
    keeper: lease.Keeper,
    stop: Stop,
    shards: range | None,
    units: range | None,
    retry: Sequence[str],
) -> dict[int, list[int]]:
    """Put right what earlier runs left; what is to be written then."""

    def between_steps() -> None:
        stop.check()
        keeper.beat()

    try:
        require_over(dataset.output_root, dataset.uuid, dataset.name)
        report.findings = reconcile(db, dataset, between_steps, guard=keeper.guard)
        if retry:
            report.reopened = reopen_for_retry(
                db, dataset, retry, shards, units, between_steps=between_steps, guard=keeper.guard
            )
    except OSError as err:
        raise cannot_write(Path(err.filename or dataset.output_root), err) from err
    with db.read() as conn:
        return pending_units(conn, dataset, shards, units)


def _write(
    db: Database,
    dataset: Dataset,
    books: Books,
    todo: dict[int, list[int]],
    report: RunReport,
    stop: Stop,
    workers: int,
    image_timeout: float,
) -> None:
    with db.read() as conn:
        sizes = unit_sizes(conn, dataset)
    report.units = len(todo)
    start = time.monotonic()
    # a unit that is partly done counts whole: its container is read from the start
    with track(f"materializing {dataset.name}", total=sum(sizes[unit] for unit in todo)) as tracker:
        if todo:
            Pool(db.path, dataset, books, report, tracker, stop, image_timeout).run(todo, workers)
    report.seconds = time.monotonic() - start
