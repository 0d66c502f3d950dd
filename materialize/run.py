"""Writes what is pending, with a pool of processes on this machine.

The story: take the lease, check that this environment writes the planned bytes, bring disk and database to
agree, hand units to workers, enter their receipts, give the lease back.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

from materialize import lease
from materialize.dataset import Dataset, load_dataset, require_same_recipe
from materialize.pool import Pool, RunReport
from materialize.recipe import check_resizer
from materialize.reconcile import Findings, reconcile, reopen_for_retry
from materialize.shard import cannot_write
from materialize.stop import Stop, stop_signals
from materialize.unit_rows import pending_units
from tol_db.db.bulk import query
from tol_db.db.engine import Database
from tol_db.errors import Interrupted, TolDbError
from tol_db.progress import track


def materialize(
    db: Database,
    name: str | None,
    *,
    workers: int,
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
        shards, units: only these numbers.
        retry: outcomes (``decode_error`` …) whose images are to be tried again: their shards are rewritten.
        on_findings: called with what the reconciliation found, before the writing starts.

    Raises:
        LeaseHeld: another run works on the dataset.
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
        try:
            with db.read() as conn:  # again: it may have been planned anew until the lease was ours
                dataset = load_dataset(conn, dataset.name)
            check_resizer(dataset.recipe)
            require_same_recipe(dataset)
            return _write(db, dataset, keeper, stop, workers, shards, units, retry, on_findings)
        finally:
            # a lease that cannot be given back now is taken over: this process will be gone
            with suppress(TolDbError):
                keeper.release()


def _write(
    db: Database,
    dataset: Dataset,
    keeper: lease.Keeper,
    stop: Stop,
    workers: int,
    shards: range | None,
    units: range | None,
    retry: Sequence[str],
    on_findings: Callable[[Findings], None],
) -> RunReport:
    def between_steps() -> None:
        stop.check()
        keeper.beat()

    report = RunReport()
    try:
        report.findings = reconcile(db, dataset, between_steps)
        if retry:
            report.reopened = reopen_for_retry(db, dataset, retry, shards, units)
    except OSError as err:
        raise cannot_write(Path(err.filename or dataset.output_root), err) from err
    on_findings(report.findings)
    with db.read() as conn:
        todo = pending_units(conn, dataset, shards, units)
        counts = dict(query(conn, "SELECT number, images FROM work_unit WHERE dataset_id = ?", (dataset.id,)))
    report.units = len(todo)
    start = time.monotonic()
    # a unit that is partly done counts whole: its container is read from the start
    with track(f"materializing {dataset.name}", total=sum(counts[unit] for unit in todo)) as tracker:
        if todo:
            Pool(db, dataset, keeper, report, tracker, stop).run(todo, workers)
    report.seconds = time.monotonic() - start
    try:
        stop.check()
    except Interrupted as err:
        hint = "run it again without --retry to go on" if retry else err.hint
        raise Interrupted(f"{err}: {report.shards} shards were completed", hint=hint) from None
    return report
