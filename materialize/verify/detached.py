"""Checks shards without ever writing the database: tasks of an array, on any machine that sees the output root.

Each result is a file (:mod:`materialize.verify.results`); :mod:`materialize.verify.enter` enters it.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Collection, Sequence
from contextlib import nullcontext, suppress
from dataclasses import replace
from pathlib import Path

from materialize.dataset import Dataset, load_dataset
from materialize.shard import cannot_write
from materialize.stop import Stop, stop_signals
from materialize.verify.check import Checking, GoingOn, VerifyReport, chosen_of, require_root, todo_of
from materialize.verify.results import Result, new_result, read_result, result_files, write_result
from materialize.verify.rows import CHECKABLE, ShardRow, shard_rows
from materialize.verify.shard import Checked, Level, Seen, Verdict, seen_at
from materialize.verify.worker import Unreadable
from tol_db.db.engine import Database
from tol_db.errors import InputError


def leave_results(
    db: Database,
    name: str | None,
    *,
    workers: int,
    deep: bool = False,
    shards: Collection[int] | None = None,
    restart: bool = False,
    on_going_on: Callable[[GoingOn], None] = lambda _going_on: None,
    stop: Stop | None = None,
) -> VerifyReport:
    """Check the complete shards of a dataset and leave a result file for each; the database is only read.

    Any number of such runs may work at once, also beside a run that writes shards: what changes meanwhile is
    found out when the results are entered. Shards that have a good result of this level, of the file that lies
    there now, are not checked again.

    Args:
        db: the database or a copy of it, opened read-only.
        name, workers, deep, shards: as :func:`materialize.verify.check.verify`.
        restart: check them again.
        on_going_on: called before the checking, where results were left before.
        stop: of a caller that has taken the signals over already.

    Raises:
        UsageError: no shard has such a number.
        OutputNotMounted: the root, or the folder of a split that has complete shards, is not there.
        CannotWrite: the root takes no more, or its receipts cannot be listed.
        Interrupted: by a signal; the results are kept.
    """
    level = Level.DEEP if deep else Level.DEFAULT
    with nullcontext(stop) if stop is not None else stop_signals() as stop:
        with db.read() as conn:
            dataset = load_dataset(conn, name)
            known = shard_rows(conn, dataset, level)
        require_root(dataset, known)
        chosen = chosen_of(dataset, known, shards)
        report = VerifyReport(level.value)
        before = _seen_before(dataset, chosen)
        try:
            results = [] if restart else _good_results(dataset, level, chosen, before)
        except OSError as err:
            raise cannot_write(Path(err.filename or dataset.output_root), err) from err
        done = {result.shard for result in results}
        todo = todo_of(chosen, {row.id for row in chosen if row.number in done}, report)
        if results:
            begun_at = min(result.checked_at for result in results)
            report.going_on = GoingOn(begun_at, len(done), len(done) + len(todo))
            on_going_on(report.going_on)
        token = secrets.token_hex(6)

        def leave(row: ShardRow, checked: Checked) -> Unreadable | None:
            assert row.sha256 is not None, "load_expected refuses such a shard"
            if checked.seen is None and checked.verdict is not Verdict.MISSING:
                checked = replace(checked, seen=before.get(row.number))  # its process did not live to tell
                if checked.seen is None:
                    return Unreadable("it came while it was being checked")
            result = new_result(dataset.uuid, row.number, row.sha256, level, checked)
            write_result(dataset.output_root, result, token)
            return None

        Checking(db, dataset, level, report, stop, leave).run(todo, workers)
        return report


def _seen_before(dataset: Dataset, chosen: Sequence[ShardRow]) -> dict[int, Seen | None]:
    """Shard number → its file as it is now, of those whose storage answers."""
    found: dict[int, Seen | None] = {}
    for row in chosen:
        if row.state in CHECKABLE:
            with suppress(OSError):  # the check itself tells
                found[row.number] = seen_at(dataset.output_root / row.path)
    return found


def _good_results(
    dataset: Dataset, level: Level, chosen: Sequence[ShardRow], now: dict[int, Seen | None]
) -> list[Result]:
    """Good results of the very files that lie there now, against what is recorded of them."""
    by_number = {row.number: row for row in chosen if row.state in CHECKABLE}
    found: list[Result] = []
    for number, path in result_files(dataset.output_root, level):
        row = by_number.get(number)
        if row is None or row.sha256 is None:
            continue
        try:
            result = read_result(path)
        except (InputError, FileNotFoundError):
            continue  # whoever enters results names it, or has just entered it
        if (
            result.dataset == dataset.uuid
            and result.checked.verdict is Verdict.GOOD
            and result.sha256 == row.sha256.hex()
            and result.checked.seen == now.get(number)
        ):
            found.append(result)
    return found
