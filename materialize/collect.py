"""Enters what runs without the database have left: receipts of array tasks and of other machines.

The only writer of the ledger while such runs go on, and idempotent: any number of times, during them or after.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from materialize import lease
from materialize.dataset import Dataset, load_dataset
from materialize.reconcile import Findings, reconcile
from materialize.shard import cannot_write
from materialize.stop import Stop, stop_signals
from materialize.unit_rows import pending_units
from tol_db.db.engine import Database
from tol_db.errors import LeaseHeld

WAIT_SECONDS = 60.0
"""How long another `collect` is waited for."""

Step = Callable[[Database, Dataset, lease.Keeper, Callable[[], None]], None]
"""What else is done under the lease; the last argument is to be called between steps, and may end the work."""


def _nothing(_db: Database, _dataset: Dataset, _keeper: lease.Keeper, _between_steps: Callable[[], None]) -> None:
    pass


@dataclass(slots=True)
class Collected:
    """What a `collect` found.

    Attributes:
        findings: adopted are the shards that were entered.
        left: unit number → shards that still are to be written.
    """

    findings: Findings = field(default_factory=Findings)
    left: dict[int, list[int]] = field(default_factory=dict)


def collect(
    db: Database,
    name: str | None,
    *,
    wait: float = WAIT_SECONDS,
    on_wait: Callable[[LeaseHeld], None] = lambda _held: None,
    before: Step = _nothing,
    after: Step = _nothing,
) -> Collected:
    """Enter the receipts of a dataset, take back records without files, sweep what dead attempts left.

    Args:
        name: of the dataset; None where there is only one.
        wait: seconds to wait for another run that works on it.
        on_wait: called once, when there is something to wait for.
        before: what else others have left, and is entered first (:func:`materialize.verify.enter.enter_results`).
        after: what is done last (:func:`materialize.slurm.verification.carry_out`).

    Raises:
        LeaseHeld: another run still works on the dataset.
        OutputNotMounted: its root is not there.
        CannotWrite: the database or the root takes no more.
        Interrupted: by a signal; what was entered is kept.
    """
    with holding(db, name, wait, on_wait) as (dataset, keeper, between_steps):
        collected = Collected()
        try:
            before(db, dataset, keeper, between_steps)
            collected.findings = reconcile(db, dataset, between_steps, by_stat=True, guard=keeper.guard)
            after(db, dataset, keeper, between_steps)
        except OSError as err:
            raise cannot_write(Path(err.filename or dataset.output_root), err) from err
        with db.read() as conn:
            collected.left = pending_units(conn, dataset)
        return collected


@contextmanager
def holding(
    db: Database, name: str | None, wait: float, on_wait: Callable[[LeaseHeld], None]
) -> Iterator[tuple[Dataset, lease.Keeper, Callable[[], None]]]:
    """Hold a dataset's lease, with signals taken over; arguments and errors as :func:`collect`.

    Yields the dataset as it is under the lease, its keeper, and what is to be called between steps: it raises
    Interrupted after a signal, and keeps the lease alive.
    """
    with stop_signals() as stop:
        with db.read() as conn:
            dataset = load_dataset(conn, name)
        keeper = lease.Keeper(db, dataset, lease.here())
        acquire(keeper, stop, wait, on_wait)
        with keeper.released_at_the_end():

            def between_steps() -> None:
                stop.check()
                keeper.beat()

            with db.read() as conn:  # again: it may have been planned anew until the lease was ours
                dataset = load_dataset(conn, dataset.name)
            yield dataset, keeper, between_steps


def acquire(keeper: lease.Keeper, stop: Stop, wait: float, on_wait: Callable[[LeaseHeld], None]) -> None:
    """Take a lease, after waiting for whoever has it; arguments and errors as :func:`collect`."""
    deadline = time.monotonic() + wait
    told = False
    while True:
        try:
            keeper.acquire()
            return
        except LeaseHeld as held:
            if time.monotonic() >= deadline:
                raise
            if not told:
                on_wait(held)
                told = True
        time.sleep(0.2)
        stop.check()
