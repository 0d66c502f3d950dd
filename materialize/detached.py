"""Writes shards and receipts without ever writing the database: for snapshots and other machines.

What it leaves, `collect` enters. While it works, a note per attempt says so under the output root.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Container
from contextlib import nullcontext
from pathlib import Path

from materialize import root
from materialize.books import NoteBooks
from materialize.dataset import Dataset, load_dataset, require_same_recipe
from materialize.pool import Pool, RunReport
from materialize.receipt import receipts_of, receipts_of_shard
from materialize.recipe import check_resizer
from materialize.reconcile import Findings, is_untouched, matching_receipt, set_aside
from materialize.shard import cannot_write
from materialize.stop import Stop, stop_signals
from materialize.unit_rows import digests_and_paths, pending_units, unit_sizes
from tol_db.db.engine import Database
from tol_db.errors import InputError, Interrupted
from tol_db.progress import track
from tol_db.settings import IMAGE_TIMEOUT


def write_receipts(
    db: Database,
    name: str | None,
    *,
    workers: int,
    image_timeout: float = IMAGE_TIMEOUT,
    shards: range | None = None,
    units: Container[int] | None = None,
    on_findings: Callable[[Findings], None] = lambda _findings: None,
    stop: Stop | None = None,
) -> RunReport:
    """Write the shards that neither the database nor a receipt says are done; the database is only read.

    Any number of such runs may work on a dataset at once, also on the same units: equal bytes meet under the
    same names.

    Args:
        db: the database or a snapshot of it, opened read-only.
        name, workers, image_timeout, shards, units, on_findings: as :func:`materialize.run.materialize`.
        stop: of a caller that has taken the signals over already.

    Raises:
        OutputNotMounted: the dataset's root is not there.
        RecipeChanged: this environment would write other bytes.
        CannotWrite: the root takes no more.
        InputError: shards have files of another plan; the others were written.
        Interrupted: by a signal; what is complete is kept.
    """
    with nullcontext(stop) if stop is not None else stop_signals() as stop:
        with db.read() as conn:
            dataset = load_dataset(conn, name)
            check_resizer(dataset.recipe)
            require_same_recipe(dataset)
            root.require(dataset.output_root, dataset.marker)
            pending = pending_units(conn, dataset, shards)
            todo = {unit: numbers for unit, numbers in pending.items() if units is None or unit in units}
            sizes = unit_sizes(conn, dataset)
            places = digests_and_paths(conn, dataset)
        report = RunReport()
        others: list[int] = []
        try:
            todo = _without_written(dataset, todo, places, report.findings, others)
        except OSError as err:
            raise cannot_write(Path(err.filename or dataset.output_root), err) from err
        on_findings(report.findings)
        report.units = len(todo)
        start = time.monotonic()
        with track(f"materializing {dataset.name}", total=sum(sizes[unit] for unit in todo)) as tracker:
            if todo:
                pool = Pool(db.path, dataset, NoteBooks(dataset), report, tracker, stop, image_timeout)
                pool.run(todo, workers)
        report.seconds = time.monotonic() - start
        try:
            stop.check()
        except Interrupted as err:
            raise Interrupted(f"{err}: {report.shards} shards were completed", hint=err.hint) from None
        if others:
            raise InputError(
                f"{db.path}: {len(others)} shards have files that were written for another plan, the first "
                f"{others[0]}; they were left alone",
                hint="the plan was refreshed after this copy of the database was made, or before it: "
                "`tol-db collect`, then take a new copy (`tol-db slurm submit` does both)",
            )
        return report


def _without_written(
    dataset: Dataset,
    todo: dict[int, list[int]],
    places: dict[int, tuple[bytes, Path]],
    findings: Findings,
    others: list[int],
) -> dict[int, list[int]]:
    """Leave out shards whose file is there and has its receipt; what else has their names is set aside.

    Left out as well, and told in ``others``, are files that were written for another plan of their shard: from a
    copy of the database nobody can tell which of the two plans is the older one.
    """
    receipts = receipts_of(dataset.output_root)

    def is_written(number: int) -> bool:
        digest, path = places[number]
        final = dataset.output_root / path
        if not os.path.lexists(final):
            return False
        if matching_receipt(digest, final, receipts.get(number, []), by_stat=True) is not None:
            return True
        # listed again, now that the name was seen: whoever writes it now has left its receipt before
        now = receipts_of_shard(dataset.output_root, number)
        if matching_receipt(digest, final, now, by_stat=True) is not None:
            return True
        if is_untouched(final, now):
            others.append(number)
            return True
        findings.set_aside.append(set_aside(final))
        return False

    left = {unit: [number for number in numbers if not is_written(number)] for unit, numbers in todo.items()}
    return {unit: numbers for unit, numbers in left.items() if numbers}
